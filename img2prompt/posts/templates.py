"""The sentences of each tone, read from ``tones/*.toml`` and checked."""

from __future__ import annotations

import functools
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from img2prompt.errors import ConfigError, DataError
from img2prompt.posts import data
from img2prompt.posts.topic import Topic

SECTIONS = ("hooks", "looks", "thoughts", "question", "save", "tag")
KINDS = ("any", "people", "animals", "food", "things", "single", "several")
SLOTS = frozenset(
    "sentence scene what subject definite action place first second loved colour colours format count are".split()
)
_FORMATTER = string.Formatter()


@dataclass(frozen=True, eq=False)  # each line of a file is itself; found in caches at once
class Template:
    """A sentence with slots, for example ``"Just here for {definite}."``"""

    text: str

    @functools.cached_property
    def slots(self) -> frozenset[str]:
        """The names in braces, lower case."""
        return frozenset(name.lower() for _, name, _, _ in _FORMATTER.parse(self.text) if name is not None)

    def fill(self, parts: Mapping[str, str]) -> str:
        """The sentence with its parts, among them those with a capital: ``{Scene}``."""
        return self.text.format_map(parts)


@dataclass(frozen=True)
class Tone:
    """Sections (hooks, looks, thoughts, question, save, tag) → kind of subject → templates."""

    name: str
    sections: Mapping[str, Mapping[str, tuple[Template, ...]]]

    def usable(self, section: str, topic: Topic, parts: Mapping[str, str]) -> list[Template]:
        """The templates of a section that fit the subject and whose slots all have a part."""
        kinds = ["any", "single", topic.kind] if topic.count == 1 else ["any", "several"]
        found = [t for kind in kinds for t in self.sections[section].get(kind, ())]
        return [template for template in found if all(parts.get(slot) for slot in template.slots)]


def tones() -> list[str]:
    """Names of the tones there are, plain first."""
    found = sorted(
        file.name.removesuffix(".toml")
        for file in files(__package__).joinpath("tones").iterdir()
        if file.name.endswith(".toml")
    )
    return sorted(found, key=lambda name: name != "plain")


@functools.cache
def load_tone(name: str) -> Tone:
    """A tone by name.

    Raises
    ------
    ConfigError
        For a name without a file; the message lists those that have one.
    DataError
        For a file that is no TOML or has a section, kind or slot that does not exist.
    """
    if name not in tones():
        raise ConfigError(f"tone is {name!r}; choose one of {', '.join(tones())}.")
    shared = data.read_toml("goals.toml")
    try:
        content = data.read_toml(f"tones/{name}.toml")
        tone = _build(name, content, shared)
        problem = next(_problems(tone, set(content) - set(SECTIONS)), None)
    except ValueError as error:  # no TOML, or braces that do not match
        problem = f"{error}."
    if problem:
        raise DataError(f"posts/tones/{name}.toml: {problem}")
    return tone


def _build(name: str, content: Mapping[str, Any], shared: Mapping[str, Any]) -> Tone:
    sections = {}
    for section in SECTIONS:
        kinds: dict[str, tuple[Template, ...]] = {}
        for source in (content, shared) if section in shared else (content,):
            for kind, texts in source.get(section, {}).items():
                kinds[kind] = kinds.get(kind, ()) + tuple(map(Template, texts))
        sections[section] = kinds
    return Tone(name, sections)


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
