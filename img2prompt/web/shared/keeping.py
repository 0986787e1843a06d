"""Save posts in the visitor's history.

The Caption page must go on when the history fails, so it shows a `HistoryError` as a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from img2prompt.errors import HistoryError
from img2prompt.history.database import default_url, open_database
from img2prompt.history.record import Variant, record_of
from img2prompt.history.store import History
from img2prompt.posts import Choices, compose
from img2prompt.web.shared import account
from img2prompt.web.shared.registry import Registry

if TYPE_CHECKING:
    from PIL import Image

    from img2prompt import Result
    from img2prompt.posts import Seen
    from img2prompt.posts import Variant as Written
    from img2prompt.web.shared.photo import Photo

MOST_HISTORIES = 32  # owners whose embeddings stay in memory; 100,000 posts take 77 MB


def own_history() -> History | None:
    """This visitor's history; None if they have none.

    Raises
    ------
    HistoryError
        When the database cannot be opened.
    """
    owner = account.owner()
    return None if owner is None else _HISTORIES((default_url(), owner))


def _writable() -> History | None:
    """This visitor's history, if they want their posts saved in it."""
    return own_history() if account.keeps() else None


_DATABASES = Registry(open_database)


def _open(key: tuple[str, str]) -> History:
    url, owner = key
    return History(_DATABASES(url), owner)


_HISTORIES = Registry(_open, MOST_HISTORIES)


def keep(photos: Sequence[Photo], choices: Choices, variants: Sequence[Written]) -> None:
    """Save the post of each photo, or update it with new variants.

    Raises
    ------
    HistoryError
        When a post cannot be saved; the message says what to do.
    """
    history = _writable()
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


def save(owner: str, choices: Choices, picture: Image.Image, result: Result, seen: Seen) -> None:
    """Save a post about a picture in somebody's history, from any thread, and while nobody visits: for batches.

    Raises
    ------
    Img2PromptError
        When it cannot be written or saved.
    """
    history = _HISTORIES((default_url(), owner))
    history.save(record_of(picture, result, choices, compose(seen, choices), seen=seen))


def mark(
    photos: Sequence[Photo],
    text: str,
    *,
    copied: bool | None = None,
    starred: bool | None = None,
    edited: str | None = None,
) -> None:
    """Note in the post of each photo what the visitor did with a variant.

    Raises
    ------
    HistoryError
        When the note cannot be saved; the message says what to do.
    """
    history = _writable()
    gone = False
    for photo in photos:
        if history is not None and photo.post is not None:
            kept = history.mark(photo.post.id, text, copied=copied, starred=starred, edited=edited)
            gone = gone or not kept
    if gone:
        raise HistoryError("The post was deleted there meanwhile. Shuffle, and it is saved again.")


def failed(step: str, engine: str, error: Exception) -> None:
    """Record a failure for the dashboard. If that fails too, it is ignored: the page shows the error itself."""
    try:
        if history := _writable():
            history.failed(step, engine, str(error))
    except HistoryError:
        pass
