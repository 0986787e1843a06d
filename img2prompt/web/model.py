"""The one pipeline that every visitor of this server shares."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.captions import see
from img2prompt.web.photos import Photo
from img2prompt.web.translate import t

if TYPE_CHECKING:
    from img2prompt import Pipeline


def _load() -> Pipeline:
    from img2prompt import load_pipeline  # torch is slow to import: not while the page is drawn

    return load_pipeline()


@st.cache_resource(show_spinner=False)
def start_loading() -> Future[Pipeline]:
    """Load the model in the background, once per server, while the visitor picks a photo."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load-model")
    loading = worker.submit(_load)
    worker.shutdown(wait=False)
    return loading


def loading() -> Future[Pipeline]:
    """The pipeline to come; tried again if it could not be loaded."""
    future = start_loading()
    if future.done() and future.exception():
        start_loading.clear()
        future = start_loading()
    return future


def shared_pipeline() -> Pipeline:
    """The pipeline, waiting under a spinner for as long as it still loads.

    Raises
    ------
    Img2PromptError
        When it cannot be loaded. The next call tries again.
    """
    loading = start_loading()
    try:
        if loading.done():
            return loading.result()
        with st.spinner(t("loading")):
            return loading.result()
    except Exception:
        start_loading.clear()
        raise


def look_at(photos: list[Photo]) -> None:
    """Let the model look at each photo that it has not seen yet, and keep what it says there.

    Raises
    ------
    Img2PromptError
        When the pipeline cannot be loaded.
    """
    unseen = [photo for photo in photos if photo.result is None]
    pipeline = shared_pipeline()
    with st.spinner(t("reading", count=len(unseen))):
        results = pipeline([photo.picture for photo in unseen])
    for photo, result in zip(unseen, results, strict=True):
        photo.seen = see(result, photo.picture)
        photo.result = result
