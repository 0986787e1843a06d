"""Texts in the visitor's language, from ``locales/<language>.json``."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import streamlit as st

from img2prompt.web.shared import cookies, session

LANGUAGES = {"en": "English", "ko": "한국어"}
COOKIE = "language"


def language() -> str:
    """The code of the language: the one that the visitor chose, here or earlier, else the browser's, else English."""
    browser = (st.context.locale or "").split("-")[0]
    wishes = (st.session_state.get(session.LANGUAGE), cookies.remembered(COOKIE), browser)
    return next((wish for wish in wishes if wish in LANGUAGES), "en")


def switch() -> None:
    """Let the visitor choose the language."""
    st.segmented_control(
        "Language · 언어",
        list(LANGUAGES),
        default=language(),
        required=True,
        format_func=LANGUAGES.__getitem__,
        key=session.LANGUAGE,
        persist_state="session",
        width="stretch",
        on_change=_choose,
    )


def remember() -> None:
    """Have the browser remember the language that the visitor chose. Who chose none keeps the browser's."""
    if st.session_state.get(session.LANGUAGE_CHOSEN):
        cookies.remember(COOKIE, language())


def _choose() -> None:
    st.session_state[session.LANGUAGE_CHOSEN] = True


def t(key: str, **values: object) -> str:
    """The text for a key in the current language, with each ``{name}`` replaced by its value.

    Where ``count`` is 1, the text for ``KEY.one`` comes first, in languages that have one. A key without a
    text, such as that of a tone that somebody added, gives its last part:
    ``tone.cheerful`` gives "Cheerful".
    """
    texts = catalogue(language())
    one = texts.get(f"{key}.one") if values.get("count") == 1 else None
    text = one or texts.get(key) or key.rpartition(".")[2].capitalize()
    return text.format(**values) if values else text


@functools.cache
def catalogue(name: str) -> dict[str, str]:
    """Key → text, for one of `LANGUAGES`; English → Korean sentence, for ``ko.sentences``."""
    path = Path(__file__).parents[1] / "locales" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))
