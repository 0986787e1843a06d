"""Measure text as platforms do, and cut it without splitting a word or a character.

Sizes are UTF-16 units, as in browsers and on phones: an emoji has two or more. X has a measure of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import regex

ELLIPSIS = "…"
URL = regex.compile(r"https?://\S+")
URL_WEIGHT = 23  # X shortens every address to so much
LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))  # code points that X counts once
PICTOGRAPH = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}]")
# Control characters, lone surrogates, and marks that reverse the direction of the text after them.
UNWANTED = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u2028-\u202E\u2066-\u2069\uFEFF]+")


def size(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def weight(text: str) -> int:
    """Length as X counts it: an emoji, a Hangul syllable and the like twice, an address as 23.

    See https://docs.x.com/fundamentals/counting-characters.

    >>> weight("sea"), weight("바다"), weight("👨‍👩‍👧‍👦")
    (3, 4, 2)
    """
    addresses = len(URL.findall(text))
    return addresses * URL_WEIGHT + sum(map(_weight, regex.findall(r"\X", URL.sub("", text))))


def _weight(character: str) -> int:
    if PICTOGRAPH.search(character):
        return 2
    return sum(1 if any(first <= ord(c) <= last for first, last in LIGHT) else 2 for c in character)


def cut(text: str, limit: int, mark: str = ELLIPSIS, size: Callable[[str], int] = size) -> str:
    """Shorten text to at most `limit` units of `size`: whole words and `mark`, or the text itself if it fits.

    Only a word that is longer than the limit is cut inside, and then between two characters
    as people see them (an emoji with its skin tone, a letter with its accents).
    """
    if size(text) <= limit:
        return text
    room = limit - size(mark)
    end, used = 0, 0
    for cluster in regex.finditer(r"\X", text):
        used += size(cluster.group())
        if used > room:
            break
        end = cluster.end()
    start = text[:end]
    if (
        not (text[end].isspace() or start[-1:].isspace())
        and (pieces := start.rsplit(maxsplit=1))
        and len(pieces) == 2
    ):
        start = pieces[0]
    start = regex.sub(r"[\s,;:\-–—(\[\"“‘]+$", "", start)
    return start + mark if start else ""


def tidy(text: str) -> str:
    """Make text one line of valid Unicode: surrogate pairs joined, controls removed, single spaces."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return " ".join(UNWANTED.sub(" ", joined).split())


def whole(words: str) -> re.Pattern[str]:
    """A pattern that finds words in whatever letters, but not within others: "Bo" is not in "about".

    Korean letters may follow, as particles do: 부산 is in 부산에서.
    """
    return re.compile(rf"(?<!\w){re.escape(words)}(?![^\W가-힣])", re.IGNORECASE)
