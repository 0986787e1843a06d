"""Read the word lists that lie beside this module, each once."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from img2prompt.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


LEXICON = Path(__file__).with_name("lexicon.tsv")  # `img2prompt.training.lexicon` writes it
VERB_FORMS = ("VBZ", "VBG", "VBN", "VBD")


def read_toml(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The content of a TOML file, for example ``"things.toml"``; by default one beside this module."""
    return tomllib.loads((folder or files(__package__)).joinpath(name).read_text(encoding="utf-8"))


def toml_files(folder: str) -> list[str]:
    """Names of the TOML files in a folder beside this module, sorted."""
    found = files(__package__).joinpath(folder).iterdir()
    return sorted(file.name for file in found if file.name.endswith(".toml"))


def own_files(folder: str) -> list[Path]:
    """The TOML files in a folder of the user's data folder (on Linux ``~/.local/share/img2prompt``), sorted."""
    from platformdirs import user_data_path

    try:
        files = sorted((user_data_path("img2prompt", appauthor=False) / folder).iterdir())
    except OSError:  # nearly nobody has such a folder
        return []
    return [file for file in files if file.suffix == ".toml" and not file.name.startswith(".")]


@contextmanager
def of_user(file: Path) -> Iterator[None]:
    """Raise DataError, which names the file, for what goes wrong while a file of the user's is read."""
    problem = ""
    try:
        yield
    except OSError as error:
        problem = f"cannot be read ({error.strerror}). Check its permissions."
    except ValueError as error:  # no TOML, or of another form
        problem = f"{error}."
    if problem:
        raise DataError(f"{file}: {problem}")


class Entry(NamedTuple):
    """What ``lexicon.tsv`` says about a word."""

    lemmas: dict[str, tuple[str, ...]]  # part of speech → base forms; empty for an unknown word
    forms: dict[str, tuple[str, ...]]  # of a verb: Penn Treebank tag → the form
    article: str  # before the word: a or an


def known(word: str) -> Entry | None:
    """The entry of a word in ``lexicon.tsv``; None if it has none."""
    line = _lexicon().get(word)
    if line is None:
        return None
    *columns, article = line.split("\t")
    lemmas, forms = (
        {key: tuple(values.split(",")) for key, values in (entry.split("=") for entry in column.split())}
        for column in columns
    )
    return Entry(lemmas, forms, article)


@functools.cache
def _lexicon() -> dict[str, str]:
    """Word → the rest of its line."""
    lines = LEXICON.read_bytes().decode().splitlines()
    return dict(line.split("\t", 1) for line in lines)


@dataclass(frozen=True)
class Thing:
    """What ``things.toml`` says about a word for something visible."""

    kind: str  # animals, food, nature, sport, places, objects, people or clothes
    tag: str  # what it belongs to: pets, surfing; "" for nothing
    emoji: str  # "" for none


@functools.cache
def things() -> dict[str, Thing]:
    """The entries of ``things.toml``, by word in its base form."""
    known: dict[str, Thing] = {}
    for group in read_toml("things.toml")["group"]:
        for emoji, members in group["words"].items():
            for word in members.split():
                sign = "" if emoji == "none" else emoji
                known.setdefault(word, Thing(group["kind"], group.get("tag", ""), sign))
    return known


@functools.cache
def words(name: str) -> frozenset[str]:
    """One of the word lists in ``words.toml``, by its name there."""
    return frozenset(read_toml("words.toml")[name].split())


@functools.cache
def people(name: str) -> frozenset[str]:
    """One of the word lists in ``people.toml``, by its name there."""
    return frozenset(read_toml("people.toml")[name].split())


@functools.cache
def not_people() -> tuple[str, ...]:
    """Regular expressions of the phrases in ``people.toml`` in which a word for people stands for no one."""
    return tuple(read_toml("people.toml")["not_people"])


@functools.cache
def gender() -> dict[str, Any]:
    """The content of ``gender.toml``: nouns, phrases and the names that stay."""
    return read_toml("gender.toml")


@functools.cache
def replacements() -> dict[str, str]:
    """Words for people → the plain words that replace them, from ``words.toml``."""
    return dict(read_toml("words.toml")["becomes"])


@functools.cache
def mediums() -> dict[str, str]:
    """Medium labels that are worth a hashtag → that hashtag, from ``words.toml``."""
    return dict(read_toml("words.toml")["mediums"])


@functools.cache
def capitals() -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern that finds words written with capitals, and lower case → spelling, from ``words.toml``."""
    written = {
        word.lower(): word for word in " ".join(read_toml("words.toml")["capitals"].split()).split(", ")
    }
    longest_first = sorted(written, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"), written
