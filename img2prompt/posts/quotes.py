"""Words that can be read in a picture, in its caption and alt text: "a sign that says “No bicycles”"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from img2prompt.posts import data
from img2prompt.posts.grammar import is_noun, is_plural

if TYPE_CHECKING:
    from img2prompt.results import Line

SURE = 0.9  # score from which a line is repeated
MOST_CHARACTERS = 60  # of what is repeated
MOST_LINES = 3
BIG = 0.6  # of the largest line's height: what stands beside it
LEAST = 0.02  # of the picture's height: what people would not read is not repeated

_MARKS = re.compile("[“”]")
_QUOTE = re.compile(" that says? “[^”]*”")


def quote(lines: Sequence[Line]) -> str:
    """What a person would read first: the largest lines that are surely right, from top to bottom; "" without.

    >>> from img2prompt.results import Line
    >>> quote([Line("No bicycles", 0.99, ((0, 0.4), (1, 0.4), (1, 0.6), (0, 0.6)))])
    'No bicycles'
    """
    sure = [
        line
        for line in lines
        if line.score >= SURE
        and line.height >= LEAST
        and sum(letter.isalpha() for letter in line.text) >= 2
        and not _MARKS.search(line.text)
    ]
    largest = max((line.height for line in sure), default=0.0)
    said: list[str] = []
    for line in sorted((line for line in sure if line.height >= BIG * largest), key=lambda line: line.top):
        text = " ".join(line.text.split())
        if len(said) == MOST_LINES or len(" ".join([*said, text])) > MOST_CHARACTERS:
            break
        said.append(text)
    return " ".join(said)


def with_quote(caption: str, quoted: str) -> str:
    """The caption with what can be read, where it names a thing that bears words; else as it is.

    >>> with_quote("a red sign on a wall", "No bicycles")
    'a red sign that says “No bicycles” on a wall'
    >>> with_quote("a dog on a wall", "No bicycles")
    'a dog on a wall'
    """
    words = caption.split()
    if not quoted or quoted.lower() in caption.lower():
        return caption
    bearers = data.words("bearers")
    for i, word in enumerate(words):
        is_last = i + 1 == len(words) or not is_noun(words[i + 1])  # not the sign of "a sign post"
        if is_last and (word in bearers or word.removesuffix("s") in bearers):
            says = "that say" if is_plural(word) else "that says"
            return " ".join([*words[: i + 1], says, f"“{quoted}”", *words[i + 1 :]])
    return caption


def without_quote(caption: str) -> str:
    """A caption without what `with_quote` put into it."""
    return _QUOTE.sub("", caption)
