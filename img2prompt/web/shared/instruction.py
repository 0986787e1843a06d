"""Ask how pictures are to be described, by an engine that follows instructions."""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

import streamlit as st

from img2prompt.errors import Img2PromptError
from img2prompt.instructions import load_preset, names, presets, settings_for, words_of
from img2prompt.instructions.template import PLACEHOLDERS
from img2prompt.web.shared import pipelines
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import language, t

if TYPE_CHECKING:
    from img2prompt import Pipeline
    from img2prompt.engines.base import Engine

EVERY = 1.0  # seconds between looks whether the model is loaded


def is_ignored() -> bool:
    """Whether this visitor's engine is loaded, and follows no instructions."""
    engine = pipelines.engine(pipelines.start_loading())
    return engine is not None and not engine.follows


def ask(key: str, note: str = "", waits: bool = False) -> dict[str, str]:
    """Show a fold with a preset and a field for the visitor's own words, which outlast a visit to another page.

    Parameters
    ----------
    key : begins the keys of the widgets
    note : what ``{note}`` is
    waits : whether pictures are described right now: then a model that is loading is waited for, if there was a
        wish before

    Returns
    -------
    The settings that the wishes come to, as `img2prompt.instructions.settings_for` does; none where there is no
    wish, the engine follows none, or they cannot be used: then the page says so. While a model loads, those that
    it was told before; another one may follow none.
    """
    loading, model = pipelines.start_loading(), pipelines.settings({})
    last_model, last = st.session_state.get(f"{key}-told", (model, {}))
    if waits and last and not loading.done():
        with st.spinner(t("loading")):
            wait([loading])
    engine = pipelines.engine(loading)
    told: dict[str, str] = {}
    try:
        with st.expander(t("instruction"), icon=":material/edit_note:"):
            if engine is None:  # nobody knows yet whether it follows
                st.fragment(_wait, run_every=EVERY)(loading)
                return last if waits or last_model == model else {}
            if engine.follows:
                st.session_state[f"{key}-told"] = model, told  # if the wishes cannot be used
                told = _ask(key, note)
                st.session_state[f"{key}-told"] = model, told
            else:
                _explain(engine)
    except Img2PromptError as error:
        show_error(error)  # below the fold, which may be closed
    return told


def _wait(loading: Future[Pipeline]) -> None:
    """Draw the page again when the model is loaded; a page that is being drawn is finished before."""
    if pipelines.engine(loading):
        st.rerun()
    st.caption(t("loading"))


def _explain(engine: Engine) -> None:
    """Say that an engine follows no instructions, and which do."""
    own = engine.captioner in (None, engine.name)
    model = t(f"models.{engine.name}") if own else as_it_is(str(engine.captioner))
    st.markdown(t("instruction.none", model=model))
    st.page_link("pages/models.py", label=t("instruction.models"), icon=":material/tune:")


def _ask(key: str, note: str) -> dict[str, str]:
    """Ask for a preset, the visitor's own words, and the trigger word if they take one; the settings of it.

    Raises
    ------
    ConfigError, DataError
        When they cannot be used.
    """
    preset = _preset(key)
    text = st.text_area(
        t("instruction.own"),
        placeholder=t("instruction.own.placeholder"),
        help=t("instruction.own.help", placeholders=" ".join(f"`{{{name}}}`" for name in PLACEHOLDERS)),
        key=f"{key}-own",
        persist_state="session",
    )
    trigger = ""
    if "trigger" in names(words_of(text, preset)):
        trigger = st.text_input(
            t("instruction.trigger"),
            placeholder="ohwx",
            help=t("instruction.trigger.help"),
            key=f"{key}-trigger",
            persist_state="session",
            live=True,
        )
    told = settings_for(text, preset, trigger, note, language())
    pipelines.settings(told)  # refuses a trigger word that is too long
    return told


def _preset(key: str) -> str:
    """The preset that the visitor chooses; empty for none."""
    called = {preset: _called(preset) for preset in ("", *presets())}
    options, chosen = list(called), st.session_state.get(key, "")
    preset = st.selectbox(
        t("instruction.preset"),
        options,
        index=options.index(chosen) if chosen in options else 0,
        format_func=called.__getitem__,
        key=f"{key}-preset-{language()}",  # a selectbox keeps the words it was first drawn with
    )
    st.session_state[key] = preset  # for the other language, and after a visit to another page
    if preset and (use := _use(preset)):
        st.caption(as_it_is(use))
    return preset


def _called(preset: str) -> str:
    if not preset:
        return t("instruction.preset.none")
    try:
        return load_preset(preset).names[language()]
    except Img2PromptError:  # of which `ask` tells once it is chosen
        return preset


def _use(preset: str) -> str:
    try:
        return load_preset(preset).uses[language()]
    except Img2PromptError:
        return ""
