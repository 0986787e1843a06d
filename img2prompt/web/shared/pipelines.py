"""The pipelines of this server: visitors share one if they differ in no setting, or only in ``people`` and ``read_text``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.engines.full.parts import find_parts
from img2prompt.engines.registry import choose as choose_engine
from img2prompt.errors import WeightsError
from img2prompt.settings import Settings
from img2prompt.web.shared import session
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.registry import Registry

if TYPE_CHECKING:
    from img2prompt import Pipeline

MOST_PIPELINES = 2  # in memory, where full takes gigabytes; the one that was not used for longest is dropped


def wished() -> Settings:
    """The server's settings, with what this visitor chose on the Models page.

    Raises
    ------
    ConfigError
        For a setting that cannot be used.
    """
    engine = st.session_state.get(session.MODEL_CHOICE, {})
    return Settings.load(
        **engine,
        people=st.session_state.get(session.PEOPLE_CHOICE),
        read_text=st.session_state.get(session.TEXT_CHOICE),
    )


def gives_stored() -> bool:
    """Whether the prompts that files hold are shown and exported, as this visitor or the server wants it."""
    chosen = st.session_state.get(session.STORED_CHOICE)
    return Settings.load().stored if chosen is None else bool(chosen)


def settings() -> Settings:
    """The same, with the engine and parts that `auto` stands for now: weights may have been installed since."""
    return choose_engine(wished()).settings


def choose(**choice: str) -> None:
    """Use these settings for the rest of the visit; without arguments, those of the server."""
    st.session_state[session.MODEL_CHOICE] = choice


def missing(chosen: Settings) -> WeightsError | None:
    """An error that names the missing parts of the full engine; None if the settings can be used."""
    try:
        if chosen.engine == "full":
            find_parts(chosen)
    except WeightsError as error:
        return error
    return None


def start_loading() -> Future[Pipeline]:
    """Load this visitor's pipeline in the background, while they choose a photo.

    Loading that failed is tried again. If parts of the full engine are missing, lite is used
    instead.
    """
    chosen = settings()
    if missing(chosen):
        chosen = replace(Settings.load(), engine="lite")
    chosen = replace(
        chosen, people=Settings.people, read_text=Settings.read_text
    )  # in which `loader` lets pipelines differ
    loading = pipelines(chosen)
    if loading.done() and loading.exception():
        pipelines.drop(chosen, loading)
        loading = pipelines(chosen)
    return loading


def _load_in_background(chosen: Settings) -> Future[Pipeline]:
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load-model")
    loading = worker.submit(_load, chosen)
    worker.shutdown(wait=False)
    return loading


def _load(chosen: Settings) -> Pipeline:
    from img2prompt import load_pipeline  # imports torch, which is slow: not while the page is drawn

    return load_pipeline(chosen)


pipelines = Registry(_load_in_background, MOST_PIPELINES)


def loader() -> Callable[[], Pipeline]:
    """A function that waits for this visitor's pipeline and returns it, from any thread."""
    loading, chosen = start_loading(), settings()
    return lambda: loading.result().with_people(chosen.people).with_text(chosen.read_text)


def shared() -> Pipeline:
    """This visitor's pipeline; shows a spinner while it loads.

    Raises
    ------
    Img2PromptError
        When the pipeline cannot be loaded. The next call tries again.
    """
    load = loader()
    if start_loading().done():
        return load()
    with st.spinner(t("loading")):
        return load()


def writer() -> Pipeline | None:
    """This visitor's pipeline, if it is loaded and its engine can write posts; else None."""
    loading = start_loading()
    if not loading.done() or loading.exception() or not loading.result().engine.chats:
        return None
    return loader()()
