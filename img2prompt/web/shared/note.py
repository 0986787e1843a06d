"""Ask for the visitor's own words in posts."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.post import MAX_NOTE
from img2prompt.web.shared.i18n import t


def ask(
    label: str,
    key: str,
    value: str = "",
    help: str | None = None,
    persist: Literal["session"] | None = None,
    placeholder: str = "",
) -> str:
    """A note of at most 300 UTF-16 units; of a longer one the beginning, and a warning that says so.

    Parameters
    ----------
    label, key, value, help : of the text input
    persist : "session" for a note that outlasts a visit to another page
    placeholder : an example, for the empty field
    """
    # Not `max_chars`, with which the browser drops a longer text that is pasted, without a word.
    note = tidy(
        st.text_input(
            label,
            value,
            placeholder=placeholder or t("note.placeholder"),
            help=help,
            key=key,
            persist_state=persist,
            live=True,
        )
    )
    if size(note) > MAX_NOTE:
        note = cut(note, MAX_NOTE, mark="")
        st.warning(t("note.cut", most=MAX_NOTE))
    return note
