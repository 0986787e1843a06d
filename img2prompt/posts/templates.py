"""Tones of the user's own: sentences with slots, one TOML file for each.

They lie in ``tones/`` in the user's data folder (on Linux ``~/.local/share/img2prompt/tones``);
``docs/own-tone.toml`` is an example. A changed file counts from the next start on. What the built-in
tones say is in the phrasebook.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2prompt.errors import ConfigError
from img2prompt.posts import data
from img2prompt.posts.phrases import TONES, themes
from img2prompt.posts.topic import Topic

SECTIONS = ("hooks", "looks", "thoughts", "question", "save", "tag")
KINDS = ("any", "people", "animals", "food", "things", "single", "several")
SLOTS = frozenset(
    "sentence scene what subject definite action place first second loved colour colours format count are".split()
)
_FORMATTER = string.Formatter()


@dataclass(frozen=True, eq=False)  # compared by identity, which makes it a cheap key of caches
class Template:
    """A sentence with slots, for example ``"Just here for {definite}."``"""

    text: str

    @functools.cached_property
    def slots(self) -> frozenset[str]:
        """The names in braces, their first letter in lower case."""
        names = (name for _, name, _, _ in _FORMATTER.parse(self.text) if name is not None)
        return frozenset(name[:1].lower() + name[1:] for name in names)

    def fill(self, parts: Mapping[str, str]) -> str:
        """The sentence with its slots replaced by `parts`, which also has those with a capital: ``{Scene}``."""
        return self.text.format_map(parts)


@dataclass(frozen=True)
class Tone:
    """A tone's name and its templates."""

    name: str
    sections: Mapping[str, Mapping[str, tuple[Template, ...]]]  # section → kind of subject → templates

    def usable(self, section: str, topic: Topic, parts: Mapping[str, str]) -> list[Template]:
        """The templates of a section that fit the subject and whose slots can all be filled."""
        kinds = ["any", "single", topic.kind] if topic.count == 1 else ["any", "several"]
        templates = (t for kind in kinds for t in self.sections[section].get(kind, ()))
        return [template for template in templates if all(parts.get(slot) for slot in template.slots)]


def tones() -> list[str]:
    """Names of all tones: plain first, then the other built-in ones, then the user's own."""
    return [*TONES, *sorted(_own())]


def check_tone(name: str) -> None:
    """Raise ConfigError for an unknown tone; the message lists the known ones.

    Raise DataError where the tone, or lines of the user's own, cannot be used.
    """
    if name not in tones():
        raise ConfigError(f"tone is {name!r}; choose one of {', '.join(tones())}.")
    if name in TONES:
        themes()
    else:
        load_tone(name)


@functools.cache
def load_tone(name: str) -> Tone:
    """One of the user's own tones, by its name.

    Raises
    ------
    DataError
        For a file that cannot be read, is not TOML, or has an unknown section, kind or slot; the
        message names the file.
    """
    file = _own()[name]
    shared = {goal: {"any": calls} for goal, calls in data.read_toml("calls.toml")["en"]["any"].items()}
    with data.of_user(file):
        content = data.read_toml(file.name, file.parent)
        tone = _build(name, content, shared)
        if problem := next(_problems(tone, set(content) - set(SECTIONS)), ""):
            raise ValueError(problem.removesuffix("."))
    return tone


def _own() -> dict[str, Path]:
    """Name → file of the user's own tones. One that is named like a built-in tone does not count."""
    return {file.stem: file for file in data.own_files("tones") if file.stem not in TONES}


def _build(name: str, content: Mapping[str, Any], shared: Mapping[str, Any]) -> Tone:
    sections = {}
    for section in SECTIONS:
        kinds: dict[str, tuple[Template, ...]] = {}
        for source in (content, shared) if section in shared else (content,):
            lists = source.get(section, {})
            if not _holds_lists_of_texts(lists):
                raise ValueError(f"section {section!r} must hold lists of sentences, such as any = ['…']")
            for kind, texts in lists.items():
                kinds[kind] = kinds.get(kind, ()) + tuple(map(Template, texts))
        sections[section] = kinds
    return Tone(name, sections)


def _holds_lists_of_texts(section: object) -> bool:
    return isinstance(section, dict) and all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in section.values()
    )


def _problems(tone: Tone, unknown: set[str]) -> Iterator[str]:
    for section in sorted(unknown):
        yield f"unknown section {section!r}; there are {', '.join(SECTIONS)}."
    for section, kinds in tone.sections.items():
        for kind, templates in kinds.items():
            if kind not in KINDS:
                yield f"{section}: unknown kind {kind!r}; there are {', '.join(KINDS)}."
            for template in templates:
                for slot in sorted(template.slots - SLOTS):
                    yield f"{template.text!r}: unknown slot {slot!r}; there are {', '.join(sorted(SLOTS))}."
        if not kinds.get("any"):
            yield f"section {section!r} needs a list {'any'!r}."
