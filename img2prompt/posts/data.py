"""The word lists beside this module, read once."""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(name: str) -> dict[str, Any]:
    """A data file of this folder, for example ``"things.toml"``."""
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Thing:
    """What is known of a word for something that can be seen."""

    kind: str  # animals, food, nature, sport, places, objects, people or clothes
    tag: str  # the broad hashtag above it, without #; "" for none
    emoji: str  # "" for none


@functools.cache
def things() -> dict[str, Thing]:
    """Word in its base form → what it is, from ``things.toml``."""
    known: dict[str, Thing] = {}
    for group in read_toml("things.toml")["group"]:
        for emoji, words in group["words"].items():
            for word in words.split():
                sign = "" if emoji == "none" else emoji
                known.setdefault(word, Thing(group["kind"], group.get("tag", ""), sign))
    return known


@functools.cache
def words(name: str) -> frozenset[str]:
    """A list of ``words.toml``."""
    return frozenset(read_toml("words.toml")[name].split())


@functools.cache
def replacements() -> dict[str, str]:
    """Words for people that give way to plain ones, from ``words.toml``."""
    return dict(read_toml("words.toml")["becomes"])


@functools.cache
def mediums() -> dict[str, str]:
    """Label of a medium that is worth a hashtag → the hashtag, from ``words.toml``."""
    return dict(read_toml("words.toml")["mediums"])


@functools.cache
def capitals() -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern of the words of ``words.toml`` that have capitals, and lower case → as written."""
    written = {
        word.lower(): word for word in " ".join(read_toml("words.toml")["capitals"].split()).split(", ")
    }
    longest_first = sorted(written, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"), written
