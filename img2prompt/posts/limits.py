"""Lengths as Instagram counts them, and cuts that hurt no word and no character.

Limits are counted in UTF-16 units, as browsers and phones do; there an emoji counts
two or more, so a text within a limit here is within it everywhere.
"""

from __future__ import annotations

import regex

from img2prompt.posts.post import HOOK_LIMIT

ELLIPSIS = "…"
HOOK_ROOM = HOOK_LIMIT - 12  # leaves room for emoji
# Controls, lone surrogates and the marks that turn the direction of all text after them.
UNWANTED = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u2028-\u202E\u2066-\u2069\uFEFF]+")


def size(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int, mark: str = ELLIPSIS) -> str:
    """At most `limit` UTF-16 units: whole words followed by `mark`, or the text itself if it fits.

    Only a word that alone exceeds the limit is cut inside, then between two characters
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
    kept = text[:end]
    if not text[end].isspace() and (words := kept.rsplit(maxsplit=1)) and len(words) == 2:
        kept = words[0]
    kept = regex.sub(r"[\s,;:\-–—(\[\"“‘]+$", "", kept)
    return kept + mark if kept else ""


def tidy(text: str) -> str:
    """One line of valid Unicode: surrogate pairs joined, controls removed, single spaces."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return " ".join(UNWANTED.sub(" ", joined).split())
