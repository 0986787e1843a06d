"""Clean prompts: normalise Unicode, remove special characters, drop what is then too short.

A prompt is put into Unicode's compatibility form (NFKC) and loses its special characters and
superfluous white space. If fewer than ten characters are left, it is dropped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import regex

MIN_CHARACTERS = 10

# Typographers' signs that have a plain counterpart, but not by Unicode's rules.
_PLAIN = str.maketrans(
    dict.fromkeys("‘’‚‛′", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-")
)

# What stays: letters with their accents (and the joiners that some scripts write inside words),
# digits, white space and the punctuation of prose. Brackets and bars go: they are weights to an
# image generator and mean nothing in a sentence.
_PROSE = regex.compile(
    r"""(?:\p{L}[\p{Mn}\p{Mc}\u200c\u200d]*+|[\p{Nd}\p{Nl}\s.,;:!?'"&%+/-]|[。、，！？・])++"""
)
_SPACE = regex.compile(r"\s+")
_SPACE_BEFORE = regex.compile(r"\s+(?=[,.;:!?](?:\s|$))")


@dataclass
class Counts:
    """To how many rows cleaning did what. Only kept rows count as changed."""

    rows: int = 0
    normalised: int = 0  # the Unicode form or typographers' signs changed
    stripped: int = 0  # special characters went
    spaced: int = 0  # white space changed
    dropped: int = 0  # too short afterwards
    kept: int = field(init=False, default=0)


def clean_prompt(text: str) -> str:
    """The prompt, cleaned; it may come out empty.

    >>> clean_prompt("  A “fox” ,  ((masterpiece)) | 8k★ ")
    'A "fox", masterpiece 8k'
    """
    return _tidy(_strip(_normalise(text)))


def clean_texts(
    texts: Iterable[str], min_characters: int = MIN_CHARACTERS
) -> tuple[list[str | None], Counts]:
    """Clean prompts and count what was done.

    Returns
    -------
    The cleaned texts in order, None for those under `min_characters` characters; and the counts.
    """
    cleaned: list[str | None] = []
    counts = Counts()
    for text in texts:
        normalised = _normalise(text)
        stripped = _strip(normalised)
        tidy = _tidy(stripped)
        keep = len(tidy) >= min_characters
        counts.rows += 1
        counts.kept += keep
        counts.dropped += not keep
        if keep:
            counts.normalised += normalised != text
            counts.stripped += stripped != normalised
            counts.spaced += _tidy(normalised) != normalised
        cleaned.append(tidy if keep else None)
    return cleaned, counts


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_PLAIN)


def _strip(text: str) -> str:
    # Removed characters become a space: "cat|dog" are two words.
    return " ".join(_PROSE.findall(text))


def _tidy(text: str) -> str:
    return _SPACE_BEFORE.sub("", _SPACE.sub(" ", text)).strip()
