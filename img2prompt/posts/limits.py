"""Measure text as Instagram does, and cut it without splitting a word or a character.

Limits are counted in UTF-16 units, as in browsers and on phones. There an emoji counts
two or more, so a text that fits here fits everywhere.
"""

from __future__ import annotations

import regex

from img2prompt.posts.post import HOOK_LIMIT

ELLIPSIS = "…"
HOOK_ROOM = HOOK_LIMIT - 12  # UTF-16 units; the rest is for emoji
# Control characters, lone surrogates, and marks that reverse the direction of the text after them.
UNWANTED = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u2028-\u202E\u2066-\u2069\uFEFF]+")


def size(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int, mark: str = ELLIPSIS) -> str:
    """Shorten text to at most `limit` UTF-16 units: whole words and `mark`, or the text itself if it fits.

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
