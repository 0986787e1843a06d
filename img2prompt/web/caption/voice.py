"""Captions of the visitor's own, whose manner the posts follow."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import streamlit as st

from img2prompt.errors import ConfigError, DataError
from img2prompt.files import replacing
from img2prompt.posts.voice import captions_in
from img2prompt.web.shared import visitor
from img2prompt.web.shared.frame import show_error
from img2prompt.web.shared.i18n import t
from img2prompt.web.shared.identity import has_sign_in
from img2prompt.web.shared.sentences import say

KEY = "voice"
MOST = 20_000  # characters of ten captions, with room


def ask() -> tuple[str, ...]:
    """Captions that the visitor wrote; none where nothing is pasted, or nothing can be read in it.

    Who sits at this machine finds them again at the next visit; other visitors' are forgotten with their session.
    """
    with st.expander(t("voice"), icon=":material/record_voice_over:"):
        text = st.text_area(
            t("voice.label"),
            _kept(),
            placeholder=t("voice.placeholder"),
            help=t("voice.help.kept") if _keeps() else t("voice.help"),
            height=160,
            key=KEY,
            persist_state="session",
            on_change=_keep,
        )[:MOST]
        if not text.strip():
            return ()
        try:
            captions = captions_in(text)
        except ConfigError as error:
            show_error(say(str(error)))
            return ()
        st.caption(t("voice.read", count=len(captions)))
        return captions


def _keeps() -> bool:
    """Whether this visitor sits at the machine, which only one person does where nobody signs in."""
    return visitor.sits_here() and not has_sign_in()


def _file() -> Path:
    from platformdirs import user_data_path

    return user_data_path("img2prompt", appauthor=False) / "voice.txt"


def _kept() -> str:
    if not _keeps():
        return ""
    try:
        with open(_file(), encoding="utf-8") as file:
            return file.read(MOST)
    except (OSError, ValueError):
        return ""


def _keep() -> None:
    """Keep the captions for the next visit; where that fails, they last as long as the session."""
    if not _keeps():
        return
    file, text = _file(), st.session_state[KEY].strip()
    with suppress(OSError, DataError):
        if not text:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(file) as stream:
            stream.write(text.encode())
        file.chmod(0o600)
