"""Captions of the visitor's own, whose manner the posts follow."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from img2prompt.errors import ConfigError
from img2prompt.files import replacing
from img2prompt.posts.voice import captions_in
from img2prompt.web.shared import visitor
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.sentences import say

KEY = "voice"
MOST = 20_000  # characters of ten captions, with room


def ask() -> tuple[str, ...]:
    """Captions that the visitor wrote; none where nothing is pasted, or nothing can be read in it.

    Who sits at this machine finds them again at the next visit; other visitors' are forgotten with their session.
    """
    kept = _read()
    with st.expander(t("voice"), icon=":material/record_voice_over:"):
        text = st.text_area(
            t("voice.label"),
            kept,
            placeholder=t("voice.placeholder"),
            help=t("voice.help.kept") if visitor.sits_here() else t("voice.help"),
            height=160,
            key=KEY,
            persist_state="session",
        )[:MOST]
        if not text.strip():
            _keep("", kept)
            return ()
        try:
            captions = captions_in(text)
        except ConfigError as error:
            show_error(say(str(error)))
            return ()
        _keep(text, kept)
        st.caption(t("voice.read", count=len(captions)))
        return captions


def _file() -> Path:
    from platformdirs import user_data_path

    return user_data_path("img2prompt", appauthor=False) / "voice.txt"


def _read() -> str:
    if not visitor.sits_here():
        return ""
    try:
        with open(_file(), encoding="utf-8") as file:
            return file.read(MOST)
    except (OSError, ValueError):
        return ""


def _keep(text: str, kept: str) -> None:
    """Keep the captions for the next visit; where that fails, they last as long as the session."""
    if not visitor.sits_here() or text == kept:
        return
    try:
        if text:
            _file().parent.mkdir(parents=True, exist_ok=True)
            with replacing(_file()) as file:
                file.write(text.encode())
        else:
            _file().unlink(missing_ok=True)
    except OSError:
        pass
