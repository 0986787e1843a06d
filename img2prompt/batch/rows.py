"""What the journal keeps of a picture, as values of SQLite, and the check of values that come back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from img2prompt.embeddings import WIDTH

MOST_PIXELS = 2**31  # a side; more is no picture's

Labels = dict[str, list[tuple[str, float]]]  # table → (label, cosine), best first
Parsed = TypeVar("Parsed", dict, list)


@dataclass(frozen=True, eq=False)
class Row:
    """The results of one picture: words and a vector, or an error."""

    name: str
    caption: str = ""
    prompt: str = ""
    labels: Labels = field(default_factory=dict)
    alt_text: str = ""
    hashtags: tuple[str, ...] = ()
    width: int | None = None  # pixels of the upright picture
    height: int | None = None
    embedding: np.ndarray | None = None  # (384,) float32; None where there is an error
    error: str = ""


def encode(row: Row) -> tuple[str | int | bytes | None, ...]:
    """The values to keep of a row, in the order of its fields."""
    return (
        row.name,
        row.caption,
        row.prompt,
        json.dumps(row.labels),
        row.alt_text,
        json.dumps(row.hashtags),
        row.width,
        row.height,
        None if row.embedding is None else row.embedding.astype("<f4").tobytes(),
        row.error,
    )


def decode(
    name: object,
    caption: object,
    prompt: object,
    labels: object,
    alt_text: object,
    hashtags: object,
    width: object,
    height: object,
    embedding: object,
    error: object,
) -> Row:
    """The row that these values were kept of.

    Raises
    ------
    ValueError
        When no row has such values: they are damaged.
    """
    return Row(
        _text(name),
        _text(caption),
        _text(prompt),
        {
            _text(table): [(_text(label), _finite(cosine)) for label, cosine in _each(pairs)]
            for table, pairs in _parsed(labels, dict).items()
        },
        _text(alt_text),
        tuple(map(_text, _parsed(hashtags, list))),
        _side(width),
        _side(height),
        None if _text(error) else _vector(embedding),
        _text(error),
    )


def is_text(value: object) -> bool:
    """Whether a value is a text that can be written as UTF-8."""
    try:
        _text(value)
    except ValueError:
        return False
    return True


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - one kind of error for all that is damaged
    value.encode()  # a UnicodeEncodeError, which is a ValueError, where a byte was no UTF-8
    return value


def _parsed(text: object, kind: type[Parsed]) -> Parsed:
    try:
        value = json.loads(_text(text))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, kind):
        raise ValueError(f"not a {kind.__name__}")  # noqa: TRY004
    return value


def _each(pairs: object) -> list[tuple[object, object]]:
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ValueError("no labels with scores")
    return [(label, score) for label, score in pairs]


def _finite(value: object) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError("not a score")
    return value


def _side(value: object) -> int | None:
    if value is not None and not (isinstance(value, int) and 0 < value < MOST_PIXELS):
        raise ValueError("not a size")
    return value


def _vector(value: object) -> np.ndarray:
    vector = np.frombuffer(value, "<f4") if isinstance(value, bytes) else np.empty(0)
    if len(vector) != WIDTH or not np.isfinite(vector).all():
        raise ValueError("not an embedding")
    return vector
