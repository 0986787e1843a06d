"""Check what was read from the database: files are damaged, and other programs write into them.

SQLite keeps any value in any column, so each may be of another kind, out of range, or missing.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import Result

from img2prompt.embeddings import WIDTH
from img2prompt.errors import ConfigError
from img2prompt.history.record import Post

# What SQLAlchemy and the types of a post raise about values that they cannot take.
DAMAGE = (ValueError, TypeError, ConfigError)

logger = logging.getLogger(__name__)


def vector(encoded: object) -> np.ndarray:
    """The embedding (384,) float16 that a row holds.

    Raises
    ------
    ValueError
        When it has another length, or values that are no numbers.
    """
    if not isinstance(encoded, bytes) or len(encoded) != WIDTH * np.dtype(np.float16).itemsize:
        raise ValueError("the embedding has another length")
    values = np.frombuffer(encoded, np.float16)
    if not np.isfinite(values).all():
        raise ValueError("the embedding is not all numbers")
    return values


def check(post: Post) -> Post:
    """Return a post whose values are all of the right kind.

    Raises
    ------
    ValueError
        When one is not. The ranges of `Choices`, and the embedding, are checked where they are made.
    """
    choices, pictures = post.choices, post.pictures
    texts = [post.engine, post.language, choices.tone, choices.note, *post.hashtags]
    texts += [*post.versions, *post.versions.values()]
    texts += [text for variant in post.variants for text in (variant.text, variant.now, variant.writer)]
    numbers: list[float] = []
    whole = [choices.hashtags, choices.variants, choices.seed]
    for picture in pictures:
        seen = picture.seen
        matches = [match for table in seen.labels.values() for match in table]
        texts += [picture.content_hash, picture.prompt, *picture.objects, *picture.timings]
        texts += [seen.caption, seen.orientation, *seen.colours, *seen.labels]
        texts += [match.label for match in matches]
        numbers += [*picture.timings.values(), *(match.score for match in matches)]
        whole += picture.size
    for values, kind in ((texts, str), (numbers, int | float), (whole, int), ([post.created_at], datetime)):
        if not all(isinstance(value, kind) for value in values):
            raise ValueError("a value is of another kind")
    if not all(map(math.isfinite, numbers)) or min(min(picture.size) for picture in pictures) < 1:
        raise ValueError("a number is out of range")
    for picture in pictures:
        webp = picture.thumbnail
        if (
            not isinstance(webp, bytes)
            or webp[:4] + webp[8:12] != b"RIFFWEBP"
            or len(webp) != _riff_size(webp)
        ):
            raise ValueError("the thumbnail is no whole WebP file")
        try:
            Image.open(io.BytesIO(webp), formats=("WEBP",)).close()
        except (OSError, SyntaxError) as error:
            raise ValueError("the thumbnail cannot be opened") from error
    return post


def _riff_size(file: bytes) -> int:
    """The size in bytes that a file claims; WebP is a kind of RIFF."""
    return 8 + int.from_bytes(file[4:8], "little")


def rows(result: Result[Any]) -> Iterator[Any]:
    """The rows of a result, one by one; those with values that cannot be read are left out, and logged."""
    left_out = 0
    while True:
        try:
            row = result.fetchone()
        except DAMAGE:
            left_out += 1
            continue
        if row is None:
            break
        yield row
    if left_out:
        logger.warning("%d damaged rows of the history were left out.", left_out)
