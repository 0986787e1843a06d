"""Presets: instructions under a name, one TOML file for each.

The user's own lie in ``instructions/`` in the user's data folder (on Linux
``~/.local/share/img2prompt/instructions``); one that is named like a built-in preset does not count. A changed
file counts from the next start on.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from img2prompt.errors import ConfigError
from img2prompt.instructions.template import TOLD, bind, check
from img2prompt.posts.data import of_user, own_files, read_toml
from img2prompt.posts.limits import tidy
from img2prompt.settings import STYLES

BUILT_IN = tuple("describe short detailed alt-text sdxl-tags flux training product post".split())
FOLDER = Path(__file__).with_name("presets")
KEYS = ("text", "style", "name_en", "name_ko", "use_en", "use_ko")
LANGUAGES = {"en": "English", "ko": "Korean"}  # what {language} is


@dataclass(frozen=True)
class Preset:
    """An instruction under a name."""

    key: str  # what the command line calls it: "sdxl-tags"
    text: str  # the instruction, with placeholders
    style: str  # form of the prompt that goes with it; empty for the one that is set anyway
    names: Mapping[str, str]  # language → what people call it
    uses: Mapping[str, str]  # language → what it is for; empty where its file does not say


def presets() -> list[str]:
    """Names of all presets: the built-in ones, then the user's own."""
    return [*BUILT_IN, *sorted(_own())]


@functools.cache
def load_preset(key: str) -> Preset:
    """A preset, by its name.

    Raises
    ------
    ConfigError
        When there is no such preset; the message names those that there are.
    DataError
        When the file of one of the user's own cannot be read, is not TOML, has no text, or an unknown key,
        style or placeholder; the message names the file.
    """
    if key in BUILT_IN:
        return _read(key, FOLDER / f"{key}.toml")
    file = _own().get(key)
    if file is None:
        raise ConfigError(f"preset is {key!r}; choose one of {', '.join(presets())}.")
    with of_user(file):
        return _read(key, file)


def _own() -> dict[str, Path]:
    return {file.stem: file for file in own_files("instructions") if file.stem not in BUILT_IN}


def _read(key: str, file: Path) -> Preset:
    """The preset in a file; ValueError where it has another form."""
    content = read_toml(file.name, file.parent)
    if unknown := sorted(set(content) - set(KEYS)):
        raise ValueError(f"unknown key {unknown[0]!r}; there are {', '.join(KEYS)}")
    if wrong := [name for name, value in content.items() if not isinstance(value, str)]:
        raise ValueError(f"{wrong[0]!r} must be a text in quotes")
    text, style = content.get("text", "").strip(), content.get("style", "")
    if not text:
        raise ValueError("it has no 'text', which is the instruction")
    if style and style not in STYLES:
        raise ValueError(f"style is {style!r}; choose one of {', '.join(STYLES)}")
    try:
        check(text)
    except ConfigError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    called = {language: content.get(f"name_{language}") or key for language in LANGUAGES}
    uses = {language: content.get(f"use_{language}", "") for language in LANGUAGES}
    return Preset(key, text, style, called, uses)


def words_of(instruction: str = "", preset: str = "") -> str:
    """The text of a preset, where one is named, and after it a person's own words.

    Raises
    ------
    ConfigError, DataError
        As `load_preset`.
    """
    return "\n".join(filter(None, [load_preset(preset).text if preset else "", instruction.strip()]))


def settings_for(
    instruction: str = "", preset: str = "", trigger: str = "", note: str = "", language: str = ""
) -> dict[str, str]:
    """The settings that a person's wishes come to; none where they wish nothing.

    Parameters
    ----------
    instruction : in the person's words; after that of a preset, where one is named
    preset : one of `presets`
    trigger : the word that captions are to begin with
    note : what ``{note}`` is
    language : "en" or "ko", which ``{language}`` says in words

    Returns
    -------
    Values of ``instruction``, in which ``{name}``, ``{folder}``, ``{labels}`` and ``{trigger}`` are still open,
    of ``trigger``, and of ``style``, where the preset has one. Without an empty one.

    Raises
    ------
    ConfigError
        For an unknown preset, placeholder or language, or what is too long.
    DataError
        For a preset of the user's own whose file is malformed.
    """
    if language and language not in LANGUAGES:
        raise ConfigError(f"language is {language!r}; choose one of {', '.join(LANGUAGES)}.")
    words = words_of(instruction, preset)
    check(words)
    bound = bind(words, note=note, language=LANGUAGES.get(language, ""))
    check(bound, TOLD)
    told = {
        "instruction": bound,
        "trigger": tidy(trigger).strip(" ,"),
        "style": load_preset(preset).style if preset else "",
    }
    return {name: value for name, value in told.items() if value}
