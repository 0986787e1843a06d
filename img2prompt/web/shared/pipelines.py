"""The pipelines that visitors of this server share: one for all who want the same settings."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.engines.full.parts import find_parts
from img2prompt.errors import WeightsError
from img2prompt.settings import Settings
from img2prompt.web.shared import session
from img2prompt.web.shared.i18n import t

if TYPE_CHECKING:
    from img2prompt import Pipeline

MOST_PIPELINES = 2  # the one used longest ago makes room; full takes gigabytes


def settings() -> Settings:
    """The server's settings, with what this visitor chose on the Models page.

    Raises
    ------
    ConfigError
        For a setting that cannot be used.
    """
    return Settings.load(**st.session_state.get(session.MODEL_CHOICE, {}))


def choose(**choice: str) -> None:
    """Use other settings for the rest of this visit; none at all for the server's."""
    st.session_state[session.MODEL_CHOICE] = choice


def missing(wanted: Settings) -> WeightsError | None:
    """What parts of the full engine are not installed, and how to get them, where it is wanted."""
    try:
        if wanted.engine == "full":
            find_parts(wanted)
    except WeightsError as error:
        return error
    return None


def start_loading() -> Future[Pipeline]:
    """Load this visitor's pipeline in the background, while they pick a photo; it is tried again if it failed.

    With parts of the full engine missing, lite goes on instead.
    """
    wanted = settings()
    if missing(wanted):
        wanted = replace(Settings.load(), engine="lite")
    loading = pipelines(wanted)
    if loading.done() and loading.exception():
        pipelines.clear(wanted)
        loading = pipelines(wanted)
    return loading


@st.cache_resource(show_spinner=False, max_entries=MOST_PIPELINES)
def pipelines(wanted: Settings) -> Future[Pipeline]:
    """The pipeline for some settings, loading in the background: once per server."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load-model")
    loading = worker.submit(_load, wanted)
    worker.shutdown(wait=False)
    return loading


def _load(wanted: Settings) -> Pipeline:
    from img2prompt import load_pipeline  # torch is slow to import: not while the page is drawn

    return load_pipeline(wanted)


def shared() -> Pipeline:
    """The pipeline, waiting under a spinner for as long as it still loads.

    Raises
    ------
    Img2PromptError
        When it cannot be loaded. The next call tries again.
    """
    loading = start_loading()
    if loading.done():
        return loading.result()
    with st.spinner(t("loading")):
        return loading.result()
