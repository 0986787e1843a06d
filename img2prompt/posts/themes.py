"""What pictures are about, and lines that suit every picture of that: the phrasebook.

``phrasebook/*.toml`` has an entry for each theme: its ``parent``, the ``words`` of captions that show it, and lines
by tone and language. A line may joke about its theme; it says nothing that a picture of it might not show.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from img2prompt.posts import data
from img2prompt.posts.grammar import caption_verb
from img2prompt.posts.post import Seen
from img2prompt.posts.style import is_photo
from img2prompt.posts.topic import Topic, topic

FOLDER = "phrasebook"
PEOPLE = "people"
PHOTOS, PICTURES = "photographs", "pictures"  # themes of all that are one
# What people do, or are called for it → a word of the theme.
DOING = {
    **dict.fromkeys(("surf", "surfer"), "surfboard"),
    **dict.fromkeys(("ski", "skier"), "ski"),
    **dict.fromkeys(("snowboard", "snowboarder"), "snowboard"),
    **dict.fromkeys(("skateboard", "skateboarder"), "skateboard"),
    **{
        sport: sport
        for sport in "tennis baseball basketball soccer golf volleyball hockey rugby cricket".split()
    },
}
NOT_REAL = frozenset(
    "stuffed toy plush teddy fake statue sculpture painting drawing cartoon picture photo poster".split()
)


@dataclass(frozen=True)
class Theme:
    """An entry of the phrasebook."""

    name: str
    parent: str  # another theme, all of whose lines suit this one too; "" for none
    words: tuple[str, ...]  # of captions, in their base form
    lines: Mapping[str, tuple[str, ...]]  # English, by tone


def lines_for(seen: Seen, tone: str) -> list[str]:
    """Lines in a tone that suit a picture, all different: those of its theme first, those of any picture last."""
    theme = theme_of(topic([seen]))
    themes = [theme, *_parents(theme)] if theme else []
    photo = is_photo(seen)
    if photo is not None:
        themes.append(_themes()[PHOTOS if photo else PICTURES])
    return list(dict.fromkeys(line for theme in themes for line in theme.lines.get(tone, ())))


def theme_of(content: Topic) -> Theme | None:
    """What a caption is about: the first thing that it names of which there is a theme; else people, if it names any.

    A word that several themes have counts only for the one that is called so. Of what is made of plush or painted
    on a wall it is not known what the picture is about.
    """
    if not NOT_REAL.isdisjoint(content.words):
        return None
    words = [thing.base for thing in content.things if thing.whole]
    if content.kind == "people":
        doing = (DOING.get(word) or DOING.get(caption_verb(word), "") for word in content.words)
        words = [*filter(None, doing), *words]
    for word in words:
        names = _by_word().get(word, [])
        called = [name for name in names if name in (word, f"{word}s", f"{word}es")]
        if len(names) == 1 or called:
            return _themes()[(called or names)[0]]
    return _themes()[PEOPLE] if content.kind == "people" else None


def _parents(theme: Theme) -> Iterator[Theme]:
    while theme.parent:
        theme = _themes()[theme.parent]
        yield theme


@functools.cache
def _themes() -> dict[str, Theme]:
    entries: dict[str, Theme] = {}
    for file in data.toml_files(FOLDER):
        for name, entry in data.read_toml(f"{FOLDER}/{file}").items():
            # In braces stands a place or a name, which nobody knows here.
            lines = {
                tone: tuple(line for line in texts if "{" not in line)
                for tone, texts in entry["lines_en"].items()
            }
            entries[name] = Theme(name, entry["parent"], tuple(entry["words"]), lines)
    return entries


@functools.cache
def _by_word() -> dict[str, list[str]]:
    """Word → names of the themes that it may mean."""
    meant: dict[str, list[str]] = {}
    for theme in _themes().values():
        for word in theme.words:
            meant.setdefault(word, []).append(theme.name)
    return meant
