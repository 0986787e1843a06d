"""Find one's way in a long list: a field to search it, and its pages."""

from __future__ import annotations

from typing import Literal, TypeVar

import streamlit as st

Entry = TypeVar("Entry")


def search(label: str, key: str, persist: Literal["session"] | None = None) -> str:
    """What the visitor looks for, as they type it.

    Parameters
    ----------
    label : what can be found, which stands in the empty field
    key : of the text input
    persist : "session" for a search that outlasts a visit to another page
    """
    return st.text_input(
        label,
        placeholder=label,
        icon=":material/search:",
        key=key,
        live=True,
        persist_state=persist,
        label_visibility="collapsed",
    )


def page_of(entries: list[Entry], size: int, key: str) -> list[Entry]:
    """The entries of the page that the visitor turned to, of `size` each; another key begins at the first."""
    pages = -(-len(entries) // size)
    page = st.pagination(pages, key=key) if pages > 1 else 1
    return entries[(page - 1) * size : page * size]
