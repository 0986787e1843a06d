"""What the journal keeps of a picture, as values of SQLite, and the check of values that come back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from img2prompt.embeddings import WIDTH
from img2prompt.results import MOST_STEPS, Stored

MOST_PIXELS = 2**31  # a side; more is no picture's
LARGEST = 2**64  # seeds are below

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
    colours: tuple[str, ...] = ()  # names of the dominant ones, the largest first
    stored: Stored | None = None  # what the file itself says of its prompt
    post: str = ""  # about the picture, where one was asked for; never kept, as it derives from the others
    edited: bool = False  # whether the caption is a person's
    held: frozenset[str] = frozenset()  # texts that the file itself has, where that was looked up; never kept


def encode(row: Row) -> tuple[str | int | bytes | None, ...]:
    """The values to keep of a row, in the order of its fields, without the last three."""
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
        json.dumps(row.colours),
        json.dumps(row.stored.record()) if row.stored else "",
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
    colours: object,
    stored: object,
) -> Row:
    """The row that these values were kept of.

    Raises
    ------
    ValueError
        When no row has such values: they are damaged.
    """
    return Row(
        text_of(name),
        text_of(caption),
        text_of(prompt),
        {
            text_of(table): [(text_of(label), _finite(cosine)) for label, cosine in _each(pairs)]
            for table, pairs in _parsed(labels, dict).items()
        },
        text_of(alt_text),
        tuple(map(text_of, _parsed(hashtags, list))),
        _side(width),
        _side(height),
        None if text_of(error) else _vector(embedding),
        text_of(error),
        tuple(map(text_of, _parsed(colours, list))),
        stored_of(stored),
    )


def stored_of(value: object) -> Stored | None:
    """The prompt of a file that this value was kept of; None for an empty one.

    Raises
    ------
    ValueError
        When none has such a value.
    """
    if value == "":
        return None
    said = _parsed(value, dict)
    texts = {name: said.get(name) for name in ("prompt", "negative", "model", "sampler", "tool")}
    size = said.get("size")
    if size is not None and (not isinstance(size, list) or len(size) != 2 or None in map(_side, size)):
        raise ValueError("not a size")
    steps = _count(said.get("steps"))
    return Stored(
        **{name: None if text is None else text_of(text) for name, text in texts.items()},
        steps=steps if steps is None or steps < MOST_STEPS else None,  # earlier versions kept any
        seed=_count(said.get("seed")),
        size=(size[0], size[1]) if size else None,
    )


def is_text(value: object) -> bool:
    """Whether a value is a text that can be written as UTF-8."""
    try:
        text_of(value)
    except ValueError:
        return False
    return True


def text_of(value: object) -> str:
    """A value as the text that it is.

    Raises
    ------
    ValueError
        When it is none that can be written as UTF-8.
    """
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - one kind of error for all that is damaged
    value.encode()  # a UnicodeEncodeError, which is a ValueError, where a byte was no UTF-8
    return value


def _parsed(text: object, kind: type[Parsed]) -> Parsed:
    try:
        value = json.loads(text_of(text))
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


def _count(value: object) -> int | None:
    if value is not None and (
        isinstance(value, bool) or not (isinstance(value, int) and 0 <= value < LARGEST)
    ):
        raise ValueError("not a number")
    return value


def _vector(value: object) -> np.ndarray:
    vector = np.frombuffer(value, "<f4") if isinstance(value, bytes) else np.empty(0)
    if len(vector) != WIDTH or not np.isfinite(vector).all():
        raise ValueError("not an embedding")
    return vector
