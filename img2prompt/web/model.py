"""The pipelines that visitors of this server share: one for all who want the same settings."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.captions import see
from img2prompt.engines import find_parts
from img2prompt.errors import WeightsError
from img2prompt.settings import Settings
from img2prompt.web.frame import show_error
from img2prompt.web.photos import Photo
from img2prompt.web.translate import t

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
    return Settings.load(**st.session_state.get("model_choice", {}))


def choose(**choice: str) -> None:
    """Use other settings for the rest of this visit; none at all for the server's."""
    st.session_state.model_choice = choice


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


def shared_pipeline() -> Pipeline:
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


def ask(photos: list[Photo]) -> None:
    """Note that the model shall look at these photos.

    Streamlit ends a run when the next click comes, and its button with it; the note lasts until there is an answer.
    """
    for photo in photos:
        photo.asked = True


def look_at(photos: list[Photo]) -> None:
    """Let the model look at each photo that it has not seen yet, and keep what it says there.

    Says so where parts of the full engine are missing and lite looks instead.

    Raises
    ------
    Img2PromptError
        When the pipeline cannot be loaded.
    """
    try:
        _look_at(photos)
    except Exception:  # an answer too, unlike the end of a run, which is a BaseException
        _answered(photos)
        raise


def _answered(photos: list[Photo]) -> None:
    for photo in photos:
        photo.asked = False


def _look_at(photos: list[Photo]) -> None:
    if error := missing(settings()):
        show_error(f"{error} {t('models.instead')}")
    pipeline = shared_pipeline()
    others = st.session_state.get("looked_with") != pipeline.settings  # they were seen by another model
    unseen = [photo for photo in photos if others or photo.result is None]
    with st.spinner(t("reading", count=len(unseen))):
        results = pipeline([photo.picture for photo in unseen])
        # Before the spinner stops, where this run may end.
        for photo, result in zip(unseen, results, strict=True):
            photo.seen = see(result, photo.picture)
            photo.result = result
            photo.post = None
        st.session_state.looked_with = pipeline.settings
        _answered(photos)
