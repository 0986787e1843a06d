"""The one pipeline that every visitor of this server shares."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import streamlit as st

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
        with st.spinner("Loading the model, the first time only…"):
            return loading.result()
    except Exception:
        start_loading.clear()
        raise
