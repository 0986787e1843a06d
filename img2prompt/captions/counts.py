"""What a set's captions are made of: how many, how long, which words and tags how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from img2prompt.captions.table import Entry, tags, token_counts, words
from img2prompt.prompts import CONTEXT

TOP = 20


@dataclass(frozen=True)
class Length:
    """How long captions are, in words or in tokens."""

    shortest: int
    median: float
    longest: int


@dataclass(frozen=True)
class Counts:
    """Counts of a set."""

    pictures: int
    captions: int  # pictures that have one
    failed: int  # pictures that have none, or one that cannot be read
    edited: int
    same: int  # captions that say to the letter what an earlier one says
    too_long: int  # captions of which CLIP does not read the end
    words: Length | None  # of a caption; None without captions
    tokens: Length | None
    top_words: list[tuple[str, int]]  # (word, captions that have it), the most frequent first
    top_tags: list[tuple[str, int]]


def count(entries: Sequence[Entry], top: int = TOP) -> Counts:
    """Count the captions of a set.

    Parameters
    ----------
    top : how many words and tags to name
    """
    captions = [entry.caption for entry in entries if not entry.failed]
    each = [words(caption) for caption in captions]
    tokens = token_counts(captions)
    return Counts(
        pictures=len(entries),
        captions=len(captions),
        failed=len(entries) - len(captions),
        edited=sum(entry.edited for entry in entries),
        same=len(captions) - len(set(captions)),
        too_long=sum(number > CONTEXT for number in tokens),
        words=_length([len(found) for found in each]),
        tokens=_length(tokens),
        top_words=most_frequent(each, top),
        top_tags=most_frequent(map(tags, captions), top),
    )


def most_frequent(captions: Iterable[Iterable[str]], top: int) -> list[tuple[str, int]]:
    """The words or tags in most captions, and in how many: the most frequent first, then by name."""
    counter: Counter[str] = Counter()
    for each in captions:
        counter.update(set(each))
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:top]


def _length(numbers: Sequence[int]) -> Length | None:
    return Length(min(numbers), median(numbers), max(numbers)) if numbers else None
