"""What a language model wrote, as it is passed on: without its thoughts, without loops, as a caption."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

THINK, THOUGHT = "<think>", "</think>"
LONGEST_LOOP = 32  # tokens
REPEATED = 24  # tokens that say the same again, from which it is a loop
COPIES = 3  # at least
ABBREVIATIONS = frozenset("mr mrs ms dr st jr sr vs no ca etc mt ft prof inc ltd co".split())
# A sentence's end, with the word before it and the beginning of another after it.
END = re.compile(r"(?P<word>[\w'’-]*)(?P<stop>[.!?]+[\"'”’)*_]*)\s+(?=[\"'“‘(*_]*[A-Z0-9])")


def spoken(text: str) -> str:
    """A text without the thoughts before it; empty as long as it is only thoughts.

    >>> spoken("<think>A cat, I think.</think> A cat.")
    'A cat.'
    """
    text = text.lstrip()
    _, closed, answer = text.partition(THOUGHT)
    if closed:
        return answer.lstrip()
    return "" if text.startswith(THINK) or THINK.startswith(text) else text


def copies(period: int) -> int:
    """How often so many tokens must come in a row to be a loop: at least three times, and more of few."""
    return max(COPIES, -(-REPEATED // period))


def loop(tokens: Sequence[int]) -> int:
    """The period of the loop in which the tokens end, 0 where they end in none."""
    for period in range(1, LONGEST_LOOP + 1):
        tail = tokens[-period * copies(period) :]
        if len(tail) == period * copies(period) and tail[period:] == tail[:-period]:
            return period
    return 0


def unlooped(tokens: Sequence[int]) -> Sequence[int]:
    """Tokens without the loop at their end, of which the first time is kept.

    >>> unlooped([7, *[1, 2] * 12])
    [7, 1, 2]
    """
    period = loop(tokens)
    if not period:
        return tokens
    start = len(tokens) - period
    while start and tokens[start - 1] == tokens[start - 1 + period]:
        start -= 1
    return tokens[: start + period]


def first_sentence(text: str) -> str:
    """The first sentence of a text.

    >>> first_sentence("A view of St. Paul's. It rains.")
    "A view of St. Paul's."
    """
    for match in END.finditer(text):
        word = match["word"]
        if match["stop"][0] != "." or not (word.lower() in ABBREVIATIONS or len(word) == 1):
            return text[: match.end("stop")]
    return text


def as_caption(text: str) -> str:
    """A sentence in lower case on one line, without marks of Markdown, quotes around it and a full stop.

    >>> as_caption('**A dog runs.**')
    'a dog runs'
    """
    text = " ".join(re.sub(r"[*_`#]+", "", text).split()).strip("\"“”'‘’ ")
    return text.removesuffix(".").rstrip().lower()


def with_schema(text: str, schema: Mapping[str, Any] | None) -> str:
    """A question that asks for JSON by this schema, in words."""
    if schema is None:
        return text
    written = json.dumps(schema, ensure_ascii=False)
    return f"{text}\n\nAnswer with JSON alone, no other words, that follows this JSON schema:\n{written}"
