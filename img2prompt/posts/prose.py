"""Tell captions that are sentences from what an engine may write instead: tags, paragraphs, another language."""

from __future__ import annotations

import re

from img2prompt.posts.grammar import FUNCTION_WORDS
from img2prompt.posts.limits import tidy

LEAST_TAGS = 4  # fewer parts are a sentence with commas in it
LEAST_WORDS = 3  # of a first sentence; "Dr." is none
LATIN = 0.8  # least share of letters that English is written in
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'“‘])")
_COMMA = re.compile(r"[,;|\n]")


def is_tags(caption: str) -> bool:
    """Whether a caption is a list of tags: most of its parts, the first among them, have no "a", "of" or "is".

    >>> is_tags("1girl, long hair, looking at viewer, beach"), is_tags("a plate with eggs, bacon, toast and beans")
    (True, False)
    """
    parts = [part.lower().split() for part in _COMMA.split(caption) if part.strip()]
    bare = [part for part in parts if FUNCTION_WORDS.isdisjoint(part)]
    return len(parts) >= LEAST_TAGS and parts[0] in bare and len(bare) > len(parts) / 2


def is_english(caption: str) -> bool:
    """Whether a caption is written in the letters that English is written in; one without letters is."""
    letters = [letter for letter in caption if letter.isalpha()]
    return sum(letter.isascii() for letter in letters) >= LATIN * len(letters)


def first_sentence(caption: str) -> str:
    """The first of a caption's sentences, which says what the picture is of; empty for tags and other languages.

    >>> first_sentence("A dog runs on a beach. Behind it, waves break.")
    'A dog runs on a beach.'
    """
    if is_tags(caption) or not is_english(caption):
        return ""
    line = tidy(caption)
    return next((part for part in _END.split(line) if len(part.split()) >= LEAST_WORDS), line)
