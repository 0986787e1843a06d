"""What the captions of a set are: entries, and changes of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from img2prompt.clip_tokens import ENDS, tokenizer

# A run of letters and digits, with what joins it: don't, black-and-white.
WORD = re.compile(r"\w+(?:['’-]\w+)*")
HASH = re.compile(r"[0-9a-f]{16}")
DUPLICATE, BLURRED, DARK = "duplicate", "blurred", "dark"
MARKS = (DUPLICATE, BLURRED, DARK)


class Version(NamedTuple):
    """What a picture says at one time."""

    text: str | None  # the caption; None where there is none, not even an empty one
    kept: tuple[str, ...] = ()  # further captions to choose from, the oldest first


@dataclass(frozen=True)
class Entry:
    """A picture of the set and its caption."""

    name: str  # path of the picture below the set's folder, with /
    text: str | None  # None where there is none
    kept: tuple[str, ...] = ()  # further captions to choose from
    labels: tuple[str, ...] = ()  # of those that a model gave it, the ones that are looked for
    stored: str = ""  # the prompt that the picture's file holds, where somebody looked
    problem: str = ""  # why there is no caption, or why it cannot be edited
    edited: bool = False  # has another caption than before the first edit
    marks: frozenset[str] = frozenset()  # of `MARKS`; empty where nobody has looked

    @property
    def caption(self) -> str:
        """The caption, empty where there is none."""
        return self.text or ""

    @property
    def failed(self) -> bool:
        """Whether there is no caption that a trainer could use."""
        return bool(self.problem) or not self.caption.strip()

    @property
    def version(self) -> Version:
        """What a change begins from."""
        return Version(self.text, self.kept)


class Look(NamedTuple):
    """What is kept of a picture that was looked at."""

    stamp: str  # changes when the picture's file changes
    hash: str  # 16 hexadecimal digits
    sharpness: float  # variance of the second derivative of the brightness, as a share of its own variance
    brightness: float  # 0 to 1: nine pixels in ten are darker

    @classmethod
    def checked(cls, stamp: object, hash: object, sharpness: object, brightness: object) -> Look | None:
        """What these values were kept of; None where they are damaged."""
        if not (isinstance(stamp, str) and isinstance(hash, str) and HASH.fullmatch(hash)):
            return None
        if not (isinstance(sharpness, float) and isinstance(brightness, float)):
            return None
        return cls(stamp, hash, sharpness, brightness)


class Change(NamedTuple):
    """What becomes of one entry."""

    name: str
    before: Version
    after: Version


def words(text: str) -> list[str]:
    """The words of a caption, in lower case.

    >>> words("A dog's black-and-white photo, 35mm.")
    ['a', "dog's", 'black-and-white', 'photo', '35mm']
    """
    return [word.casefold() for word in WORD.findall(text)]


def tags(text: str) -> list[str]:
    """The parts between commas, as captions of tags have them; empty ones are left out.

    >>> tags("sks, 1girl, , red hair")
    ['sks', '1girl', 'red hair']
    """
    return [part for part in map(str.strip, text.split(",")) if part]


def token_counts(texts: Sequence[str]) -> list[int]:
    """How many of CLIP's 77 tokens each text takes, the two ends counted.

    Raises
    ------
    WeightsError
        When CLIP's vocabulary is not installed.
    """
    return [len(ids) + len(ENDS) for ids in tokenizer().encode_batch(texts)]
