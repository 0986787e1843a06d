"""The visitor's history: what the Caption page keeps in it. A history that fails never costs a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.connections import SQLConnection

from img2prompt.errors import HistoryError
from img2prompt.history.database import default_url, open_database
from img2prompt.history.record import Variant, record_of
from img2prompt.history.store import History
from img2prompt.posts import Choices
from img2prompt.web.shared import account

if TYPE_CHECKING:
    from img2prompt.posts import Variant as Written
    from img2prompt.web.shared.photo import Photo

MOST_HISTORIES = 32  # owners whose embeddings stay in memory, 77 MB for 100,000 posts


def mine() -> History | None:
    """This visitor's history; None where there is none.

    Raises
    ------
    HistoryError
        When the database cannot be opened.
    """
    owner = account.owner()
    return None if owner is None else _history(default_url(), owner)


@st.cache_resource(show_spinner=False, max_entries=MOST_HISTORIES)
def _history(url: str, owner: str) -> History:
    return History(open_database(url, _connect), owner)


def _connect(url: Any, **options: Any) -> Any:
    """SQLAlchemy's engine for a database, made and shared among visitors by Streamlit."""
    address = url.render_as_string(hide_password=False)
    return st.connection("history", type=SQLConnection, url=address, **options).engine


def keep(photos: Sequence[Photo], choices: Choices, variants: Sequence[Written]) -> None:
    """Save each photo's post, or what was written about it since.

    Raises
    ------
    HistoryError
        When it cannot be saved; the message says what to do.
    """
    history = mine() if account.keeps() else None
    if history is None:
        return
    for photo in photos:
        if photo.post is not None:
            post = replace(
                photo.post,
                choices=choices,
                variants=tuple(Variant(variant.text) for variant in variants),
                hashtags=tuple(dict.fromkeys(tag for variant in variants for tag in variant.hashtags)),
            )
        elif photo.result is not None:
            post = record_of(photo.picture, photo.result, choices, variants, seen=photo.seen)
        else:
            continue
        photo.post = replace(post, id=history.save(post))


def mark(
    photos: Sequence[Photo],
    text: str,
    *,
    copied: bool | None = None,
    starred: bool | None = None,
    edited: str | None = None,
) -> None:
    """Note what the visitor did with a variant, in the post of each photo.

    Raises
    ------
    HistoryError
        When it cannot be saved; the message says what to do.
    """
    history = mine() if account.keeps() else None
    if history is None:
        return
    for photo in photos:
        if photo.post is not None:
            history.mark(photo.post.id, text, copied=copied, starred=starred, edited=edited)


def failed(step: str, engine: str, error: Exception) -> None:
    """Note that something did not work. Whatever becomes of the note, the visitor sees the error itself."""
    try:
        if account.keeps() and (history := mine()):
            history.failed(step, engine, str(error))
    except HistoryError:
        pass
