"""Photos that a thread describes while runs of the page come and go: who leaves the line, and who stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
import streamlit as st
from PIL import Image

from img2prompt.engines.base import Request
from img2prompt.settings import Settings
from img2prompt.web.caption import work
from img2prompt.web.shared.photo import Photo

PATIENCE = 300  # seconds


class _Ended(Exception):
    """The end of a run of the page."""


class Line:
    """In place of a pipeline, which looks at the line when it likes: here it looks, and ends, when it is told to."""

    settings = Settings(engine="lite")

    def __init__(self) -> None:
        self.look, self.looked, self.end = threading.Event(), threading.Event(), threading.Event()

    def request(self, name: str) -> Request:
        return Request()

    def describe(
        self, pictures: Sequence[Image.Image], waiting: Callable[[int], None], requests: Sequence[Request]
    ) -> list[str]:
        assert self.look.wait(PATIENCE)
        try:
            waiting(1)
        finally:
            self.looked.set()
            assert self.end.wait(PATIENCE)
        return ["described" for _ in pictures]


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    for event in (line.look, line.end):
        event.set()
    st.session_state.clear()


def begin(line: Line) -> work.Work:
    """Work whose run of the page has ended."""
    begun = work.current(line, [Photo("a", lambda: Image.new("RGB", (8, 8)))])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(_Ended):

        def ended(*_: object) -> None:
            raise _Ended

        patch.setattr(work, "wait", ended)
        begun.watch()
    return begun


def test_who_comes_back_in_time_keeps_the_place_in_the_line(line):
    begun = begin(line)
    assert work.current(line, begun.photos) is begun
    line.look.set()
    line.end.set()
    assert begun.watch() == ["described"]


def test_who_comes_back_in_the_moment_of_leaving_begins_anew(line):
    begun = begin(line)
    line.look.set()
    assert line.looked.wait(PATIENCE)  # it has left the line, and its thread has not ended yet
    again = work.current(line, begun.photos)
    assert again is not begun
    line.end.set()
    assert again.watch() == ["described"]
