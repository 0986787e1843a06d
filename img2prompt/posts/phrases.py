"""The phrasebook: what pictures can be about, and lines that suit every picture of that.

``phrasebook/*.toml`` has an entry for each theme: its ``parent``, the ``words`` by which it is known, its hashtags
and emoji, and lines by tone and language. A line may joke about its theme; it says nothing that a picture of it
might not show. Lines of the user's own join those of a theme: ``phrasebook/*.toml`` in the user's data folder (on
Linux ``~/.local/share/img2prompt``) with the same keys, of which any may be missing. They count from the next start on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from img2prompt.posts import data
from img2prompt.posts.post import LANGUAGES

FOLDER = "phrasebook"
TONES = ("plain", "minimal", "playful", "poetic", "professional", "storytelling")
NOTE = "{note}"  # where a line takes the person's own words
LONGEST_LINE = 200  # characters of a line of the user's own


@dataclass(frozen=True)
class Wording:
    """What a theme says in one language."""

    name: str  # "horses"
    tags: tuple[str, ...]  # hashtags without #, the most specific first
    lines: Mapping[str, tuple[str, ...]]  # by tone
    noted: tuple[str, ...]  # lines with a place for the person's own words: "{note}, and the sea said yes"
    hint: str  # an example of such words, "" for none: "Momo, three today"
    own: frozenset[str] = frozenset()  # those of the lines that the user wrote


@dataclass(frozen=True, eq=False)
class Theme:
    """An entry of the phrasebook."""

    name: str
    parent: str  # another theme, all of whose lines suit this one too; "" for none
    words: frozenset[str]  # of captions and classifiers, in their base form
    emoji: tuple[str, ...]
    wording: Mapping[str, Wording]  # by language


@functools.cache
def themes() -> dict[str, Theme]:
    """The themes by name, with the lines of the user's own.

    Raises
    ------
    DataError
        For a file of the user's that cannot be used; the message names it.
    """
    found = {
        name: _theme(name, entry)
        for file in data.toml_files(FOLDER)
        for name, entry in data.read_toml(f"{FOLDER}/{file}").items()
    }
    for file in data.own_files(FOLDER):
        with data.of_user(file):
            for name, entry in data.read_toml(file.name, file.parent).items():
                if name not in found:
                    raise ValueError(f"there is no theme {name!r}")
                found[name] = _with_own(found[name], entry)
    return found


def line_of_descent(theme: Theme) -> list[Theme]:
    """The theme, its parent, its parent's parent and so on."""
    line = [theme]
    while line[-1].parent:
        line.append(themes()[line[-1].parent])
    return line


@functools.cache
def by_word() -> dict[str, tuple[Theme, ...]]:
    """Word → the themes that are known by it."""
    meant: dict[str, list[Theme]] = {}
    for theme in themes().values():
        for word in theme.words:
            meant.setdefault(word, []).append(theme)
    return {word: tuple(meaning) for word, meaning in meant.items()}


def _theme(name: str, entry: Mapping[str, Any]) -> Theme:
    return Theme(
        name,
        entry["parent"],
        frozenset(entry["words"]),
        tuple(entry["emoji"]),
        {language: _wording(entry, language) for language in LANGUAGES},
    )


def _wording(entry: Mapping[str, Any], language: str) -> Wording:
    return Wording(
        entry[language],
        tuple(entry[f"tags_{language}"]),
        {tone: tuple(lines) for tone, lines in entry[f"lines_{language}"].items()},
        tuple(entry[f"note_{language}"]),
        entry.get(f"hint_{language}", ""),
    )


def _with_own(theme: Theme, entry: object) -> Theme:
    """A theme with lines of the user's own. Raises ValueError for what is no such line."""
    keys = {f"{kind}_{language}" for kind in ("lines", "note") for language in LANGUAGES}
    table = _table(entry, theme.name)
    if unknown := set(table) - keys:
        raise ValueError(f"{theme.name} has {min(unknown)!r}; there are {', '.join(sorted(keys))}")
    wording = {}
    for language, ours in theme.wording.items():
        lines = _table(table.get(f"lines_{language}", {}), theme.name)
        if unknown := set(lines) - set(TONES):
            raise ValueError(f"{theme.name} has a tone {min(unknown)!r}; there are {', '.join(TONES)}")
        own = {tone: tuple(_checked(lines.get(tone, []))) for tone in TONES}
        noted = tuple(_checked(table.get(f"note_{language}", []), slot=True))
        wording[language] = replace(
            ours,
            lines={tone: own[tone] + ours.lines[tone] for tone in TONES},
            noted=noted + ours.noted,
            own=ours.own.union(noted, *own.values()),
        )
    return replace(theme, wording=wording)


def _table(entry: object, name: str) -> Mapping[str, Any]:
    if isinstance(entry, dict):
        return entry
    raise ValueError(f"{name} must be a table, such as [{name}]")


def _checked(lines: object, slot: bool = False) -> Iterator[str]:
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("lines must be a list of texts, such as ['…']")
    for line in lines:
        if (line.count(NOTE) == 1) != slot or re.search("[{}]", line.replace(NOTE, "")):
            raise ValueError(f"{line!r} must have {NOTE} once" if slot else f"{line!r} must have no braces")
        if not line.strip() or len(line) > LONGEST_LINE or "\n" in line:
            raise ValueError(f"{line[:30]!r} must be one line of at most {LONGEST_LINE} characters")
        yield " ".join(line.split())
