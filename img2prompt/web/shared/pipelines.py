"""The pipelines of this server: visitors share one if they differ in no setting, or only in `WORDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.engines import endpoint
from img2prompt.engines.full.parts import find_parts
from img2prompt.engines.registry import choose as choose_engine
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.settings import Settings
from img2prompt.web.shared import session
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.registry import Registry

if TYPE_CHECKING:
    from img2prompt import Pipeline
    from img2prompt.engines.base import Engine

# Settings in which visitors of one model may differ.
WORDS = ("people", "read_text", "style", "instruction", "trigger")
MOST_PIPELINES = 2  # in memory, where full takes gigabytes; the one that was not used for longest is dropped


def wished(told: Mapping[str, str] | None = None) -> Settings:
    """The server's settings, with what this visitor chose on the Models page and how pictures are to be described.

    Parameters
    ----------
    told : the settings of an instruction, in place of those that the visitor gave on the Caption page

    Raises
    ------
    ConfigError
        For a setting that cannot be used.
    """
    engine = st.session_state.get(session.MODEL_CHOICE, {})
    told = st.session_state.get(session.TOLD, {}) if told is None else told
    chosen = Settings.load(
        **engine,
        **told,
        people=st.session_state.get(session.PEOPLE_CHOICE),
        read_text=st.session_state.get(session.TEXT_CHOICE),
    )
    return with_own_key(chosen)


def gives_stored() -> bool:
    """Whether the prompts that files hold are shown and exported, as this visitor or the server wants it."""
    chosen = st.session_state.get(session.STORED_CHOICE)
    return Settings.load().stored if chosen is None else bool(chosen)


def settings(told: Mapping[str, str] | None = None) -> Settings:
    """As `wished`, with the engine and parts that `auto` stands for now: weights may have been installed since."""
    return choose_engine(wished(told)).settings


def with_own_key(chosen: Settings) -> Settings:
    """These settings without the key, unless their address is the server's own: no key goes where a visitor says."""
    is_own = chosen.endpoint_url == Settings.load().endpoint_url
    return chosen if is_own else replace(chosen, endpoint_key="")


def choose(**choice: str | bool) -> None:
    """Use these settings for the rest of the visit; without arguments, those of the server."""
    st.session_state[session.MODEL_CHOICE] = choice


def missing(chosen: Settings) -> WeightsError | ConfigError | None:
    """An error that names what the chosen engine lacks; None if the settings can be used."""
    try:
        if chosen.engine == "full":
            find_parts(chosen)
        elif chosen.engine == "endpoint":
            endpoint.check(chosen)
    except (WeightsError, ConfigError) as error:
        return error
    return None


def start_loading() -> Future[Pipeline]:
    """Load this visitor's pipeline in the background, while they choose a photo.

    Loading that failed is tried again. If the chosen engine lacks something, lite is used instead.
    """
    chosen = settings()
    if missing(chosen):
        chosen = replace(Settings.load(), engine="lite")
    chosen = replace(chosen, **{name: getattr(Settings, name) for name in WORDS})  # which `loader` puts in
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


def loader(told: Mapping[str, str] | None = None) -> Callable[[], Pipeline]:
    """A function that waits for this visitor's pipeline and returns it, from any thread; `told` as for `settings`."""
    loading, mine = start_loading(), settings(told)
    words = {name: getattr(mine, name) for name in WORDS}
    return lambda: loading.result().with_words(**words)


def engine(loading: Future[Pipeline]) -> Engine | None:
    """The engine of a pipeline that `start_loading` loads; None until it is there."""
    return loading.result().engine if loading.done() and not loading.exception() else None


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
