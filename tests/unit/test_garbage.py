"""Garbage is collected by the app, now and then."""

import gc
import weakref

import streamlit as st

from img2prompt.web.shared.garbage import Collector


class Knot:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def knot() -> weakref.ref:
    return weakref.ref(Knot())


def test_all_garbage_is_collected_but_not_at_every_call():
    collect = Collector(seconds=1_000_000)
    gc.disable()
    try:
        first = knot()
        collect()
        second = knot()
        collect()
        assert first() is None and second() is not None
        Collector(seconds=1_000_000)()
        assert second() is None
    finally:
        gc.enable()


def test_streamlit_does_not_collect_after_every_run():
    assert st.get_option("runner.postScriptGC") is False
