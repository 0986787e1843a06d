"""The frame of every page: title, logo, sidebar, style and error messages."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from img2prompt.errors import ConfigError
from img2prompt.files import resource
from img2prompt.settings import HISTORY, switch
from img2prompt.web import components
from img2prompt.web.shared import i18n, identity, navigation
from img2prompt.web.shared.sentences import say

ASSETS = resource("assets")

# What Markdown, or Streamlit beside it, reads as markup in a line: anywhere, at the edge of a word, at the start.
_MARKUP = re.compile(r"[\\`*\[\]$<~:&]|(?<![^\W_])_|_(?![^\W_])|^[#>+-]")
_NUMBER = re.compile(r"^(\d+)(?=[.)])")  # of a list
# What both look for in the text that is left, where an escape no longer counts: addresses (https://…, www.…,
# a@b.c), icons and emoji (:material/home:, :smile:), arrows and signs (->, --, >=).
_REPLACED = re.compile(r"(?<=:)(?=\S)|(?<=www)(?=\.)|(?=@)|(?<=[<>~-])(?=[->=])", re.IGNORECASE)
_NOTHING = ":small[]"  # parts the text and shows nothing

_LANGUAGE = components.register("language")


def begin(title: str) -> None:
    """Start a page; call this first. The page ends here if it cannot be told whose history a visitor sees."""
    navigation.ensure()
    st.set_page_config(page_title=title, page_icon=str(ASSETS / "favicon.png"), layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "mark.svg"))
    st.html(Path(__file__).with_name("style.css"))
    with st.sidebar:
        i18n.switch()
    st.title(title, anchor=False)
    try:
        switch(HISTORY)
        identity.has_sign_in()
    except ConfigError as error:
        show_error(error)
        st.stop()


def end(privacy: str) -> None:
    """Finish the sidebar of a page; `privacy` says where pictures are kept."""
    with st.sidebar:
        st.caption(privacy)
        _LANGUAGE(key="page-language", data=i18n.language())
        i18n.remember()


def as_it_is(text: str) -> str:
    """Write a text so that Markdown shows it unchanged, on one line.

    For names of files and other words that are not the app's, where Streamlit takes Markdown only.
    """
    line = " ".join(text.split())
    escaped = _NUMBER.sub(r"\1\\", _MARKUP.sub(r"\\\g<0>", line))
    return _REPLACED.sub(_NOTHING, escaped)


def delete_button(label: str, key: str) -> bool:
    """A button that deletes for good, and looks it; says whether it was pressed."""
    # The style sheet knows it by its key: Streamlit has no type of button for this.
    return st.button(label, type="primary", icon=":material/delete_forever:", key=f"delete-for-good-{key}")


def show_error(error: Exception | str) -> None:
    """Show an error message in the visitor's language, without reading it as Markdown."""
    st.error(as_it_is(say(error)))
