"""Keywords of a picture, as photo libraries are searched by."""

from __future__ import annotations

from img2prompt.posts.grammar import singular
from img2prompt.posts.hashtags import LIKELY
from img2prompt.posts.post import THINGS, Seen
from img2prompt.posts.themes import themes_of
from img2prompt.posts.topic import topic


def keywords(seen: Seen, most: int = 10) -> tuple[str, ...]:
    """At most so many keywords: the themes that a picture is surely about, and the things that are likely there.

    Where the engine gives things no probability, or a person wrote the caption, they are those that it names. None is
    of the tables of mediums, movements and artists: those say what a picture is nearest to, not what is in it.

    >>> keywords(Seen("a dog on the beach"))
    ('dogs', 'beach')
    """
    themes = [theme.wording["en"].name for theme in themes_of(seen)]
    if THINGS in seen.labels:
        things = [name for name, chance in seen.labels[THINGS] if chance >= LIKELY]
    else:
        things = [thing.base for thing in topic([seen]).things]
    # A theme is called "dogs" where the thing is a dog.
    first: dict[str, str] = {}
    for word in (*themes, *things):
        first.setdefault(singular(word), word)
    return tuple(first.values())[:most]
