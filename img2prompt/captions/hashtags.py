"""Hashtags from what was seen and from the person's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import regex

from img2prompt.captions import data
from img2prompt.captions.limits import cut, size, tidy
from img2prompt.captions.post import MAX_NOTE, Choices, Seen
from img2prompt.captions.topic import topic

LONGEST = 30  # UTF-16 units of a tag, without #
BROAD = ("photography", "photooftheday", "picoftheday", "instadaily", "everydaymoments")
NOT_IN_TAG = regex.compile(r"[^\p{L}\p{M}\p{N}_]+")
SMALL_WORDS = frozenset(
    """a an and as at but by for from in is it me my of on or our so that the this to us was we were with you your i
    im am are be he she his her they their its not no yes very just all too""".split()
)


def hashtags(seen: Seen | Sequence[Seen], choices: Choices) -> tuple[str, ...]:
    """At most `choices.hashtags` tags, broad before specific; the person's own words come last.

    Made of letters, digits and underscores of any script; no two differ only by case, and
    none is on the list of tags that Instagram restricts (``words.toml``).
    """
    pictures = [seen] if isinstance(seen, Seen) else list(seen)
    own = list(_usable(_from_note(choices.note)))
    things = topic(pictures).things if pictures else ()
    known = data.things()
    nouns = list(_usable(things))
    topics = list(_usable(known[thing].tag for thing in things if thing in known))
    # What says most about this picture is kept when few are wanted …
    wanted = list(
        dict.fromkeys([*own[:2], *nouns[:1], *topics[:1], *own[2:], *nouns[1:], *topics[1:], *BROAD])
    )
    kept = set(_distinct(wanted)[: choices.hashtags])
    # … and written from broad to specific.
    ordered = _distinct([*(tag for tag in BROAD if tag in kept), *topics, *nouns, *own])
    return tuple(f"#{tag}" for tag in ordered if tag in kept)


def _from_note(note: str) -> Iterator[str]:
    for word in cut(tidy(note), MAX_NOTE, mark="").split():
        tag = NOT_IN_TAG.sub("", regex.sub(r"['’]s\b", "", word))
        if tag.lower() not in SMALL_WORDS:
            yield tag


def _usable(words: Sequence[str] | Iterator[str]) -> Iterator[str]:
    blocked = data.words("blocked_hashtags")
    for word in words:
        tag = NOT_IN_TAG.sub("", word)
        if len(tag) > 1 and not tag.isdigit() and size(tag) <= LONGEST and tag.lower() not in blocked:
            yield tag


def _distinct(tags: Sequence[str]) -> list[str]:
    """The first of those that differ only by case."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag.casefold(), tag)
    return list(first.values())
