"""Save posts in the visitor's history.

The Caption page must go on when the history fails, so it shows a `HistoryError` as a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from img2prompt.errors import HistoryError
from img2prompt.history.database import default_url, open_database
from img2prompt.history.record import Picture, Post, picture_of, record_of, rewritten
from img2prompt.history.store import History
from img2prompt.posts import Choices, compose
from img2prompt.web.shared import account
from img2prompt.web.shared.registry import Registry

if TYPE_CHECKING:
    from PIL import Image

    from img2prompt.posts import Seen
    from img2prompt.posts import Variant as Written
    from img2prompt.results import Result
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


def last() -> Post | None:
    """The newest post of this visitor's history; None without one, or where it fails or is switched off."""
    try:
        history = _writable()
        return next(iter(history.posts(limit=1)), None) if history else None
    except HistoryError:
        return None


def keep(photos: Sequence[Photo], choices: Choices, variants: Sequence[Written]) -> None:
    """Save the post about these photos, which were described, or update it with new variants.

    Raises
    ------
    HistoryError
        When the post cannot be saved; the message says what to do.
    """
    history = _writable()
    if history is None:
        return
    post = _post_about(photos)
    if post is not None and all(
        picture.prompt == photo.prompt or photo.result is None
        for picture, photo in zip(post.pictures, photos, strict=True)
    ):
        post = rewritten(post, choices, variants)
    else:
        results = [photo.result for photo in photos if photo.result]
        pictures = [_record(photo, result) for photo, result in zip(photos, results, strict=True)]
        post = record_of(pictures, results[0].engine, choices, variants)
    post = replace(post, id=history.save(post))
    for photo in photos:
        photo.post = post


def _post_about(photos: Sequence[Photo]) -> Post | None:
    """The post about exactly these photos, if they have one."""
    post = photos[0].post
    is_theirs = post is not None and len(post.pictures) == len(photos)
    return post if is_theirs and all(photo.post is post for photo in photos) else None


def _record(photo: Photo, result: Result) -> Picture:
    """A photo as the history saves it, made once for each result and prompt."""
    # Without a post, the result may be a new one.
    if photo.record is None or photo.post is None or photo.record.prompt != photo.prompt:
        photo.record = picture_of(photo.picture, replace(result, prompt=photo.prompt), seen=photo.seen)
    return photo.record


def save(owner: str, choices: Choices, picture: Image.Image, result: Result, seen: Seen) -> None:
    """Save a post about a picture in somebody's history, from any thread, and while nobody visits: for batches.

    A post about this picture that is there already stays as its owner left it.

    Raises
    ------
    Img2PromptError
        When it cannot be written or saved.
    """
    history = _HISTORIES((default_url(), owner))
    pictures = [picture_of(picture, result, seen=seen)]
    history.save(record_of(pictures, result.engine, choices, compose(seen, choices)), replace=False)


def mark(
    photos: Sequence[Photo],
    text: str,
    *,
    copied: bool | None = None,
    starred: bool | None = None,
    edited: str | None = None,
) -> None:
    """Note in the post about these photos what the visitor did with a variant.

    Raises
    ------
    HistoryError
        When the note cannot be saved; the message says what to do.
    """
    history = _writable()
    post = photos[0].post
    if history is None or post is None:
        return
    if not history.mark(post.id, text, copied=copied, starred=starred, edited=edited):
        raise HistoryError("The post was deleted there meanwhile. Shuffle, and it is saved again.")


def failed(step: str, engine: str, error: Exception) -> None:
    """Record a failure for the dashboard. If that fails too, it is ignored: the page shows the error itself."""
    try:
        if history := _writable():
            history.failed(step, engine, str(error))
    except HistoryError:
        pass
