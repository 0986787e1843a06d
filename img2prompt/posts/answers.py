"""Read posts out of a model's answer while it comes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import regex

LONGEST = 60_000  # characters of an answer that are read; 20 long posts have a third of it
LONGEST_POST = 8_000  # characters of one object
THOUGHTS = regex.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", regex.DOTALL)
THINKS = regex.compile(r"<think(?:ing)?>")
# From a brace to the next, in which no other object begins; braces in strings do not count. In one pass, whatever comes.
OBJECT = regex.compile(r'\{[^{}"]*+(?:"(?:[^"\\]|\\.)*+"[^{}"]*+)*+\}', regex.DOTALL)


def objects_with(key: str, pieces: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects that have a key and hold no other object, each as soon as its last brace came.

    They may stand in a list, in another object, in a code block or among prose, and the answer may break off. What is
    no JSON is passed over, and so is what a model thinks before it answers.

    Parameters
    ----------
    pieces : of the answer, cut anywhere

    >>> list(objects_with("hook", ['Sure! {"posts": [{"hook": "h', 'i"}, {"hook": ']))
    [{'hook': 'hi'}]
    """
    rest, tried, length = "", 0, 0
    for piece in pieces:
        rest += piece
        length += len(piece)
        if THOUGHTS.search(rest):
            rest, tried = THOUGHTS.sub(" ", rest), 0
        if ("}" in piece or ">" in piece) and not THINKS.search(rest):
            end = 0
            for found in OBJECT.finditer(rest):
                # What is no JSON may have begun inside a string of an object that is still to come, so it stays.
                if found.end() > tried and (value := _read(found[0])):
                    end = found.end()
                    if key in value:
                        yield value
            rest = rest[end:][-LONGEST_POST:]
            tried = len(rest)
        if length > LONGEST:
            return


def _read(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, strict=False)  # small models write line breaks into strings
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
