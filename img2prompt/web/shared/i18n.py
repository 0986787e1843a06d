"""Texts in the visitor's language, from ``locales/<language>.json``."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import streamlit as st

from img2prompt.web.shared import session

LANGUAGES = {"en": "English", "ko": "한국어"}


def language() -> str:
    """The code of the language: the one that the visitor chose, else the browser's, else English."""
    browser = (st.context.locale or "").split("-")[0]
    return st.session_state.get(session.LANGUAGE) or (browser if browser in LANGUAGES else "en")


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
    )


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
def catalogue(language: str) -> dict[str, str]:
    """Key → text, for one of `LANGUAGES`."""
    path = Path(__file__).parents[1] / "locales" / f"{language}.json"
    return json.loads(path.read_text("utf-8"))
