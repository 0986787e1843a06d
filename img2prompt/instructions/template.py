"""The placeholders of instructions, and what is put in their place.

What is put there is data: it is one line, it is cut where it is long, and no placeholder is looked for in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from img2prompt.errors import ConfigError
from img2prompt.posts.limits import cut, tidy
from img2prompt.posts.post import MAX_NOTE, THINGS

if TYPE_CHECKING:
    from img2prompt.results import Match

# Characters of an instruction as somebody writes it, of which all built-in ones have fewer than 700, and with what
# is put in.
MOST, TOLD = 4000, 8000
# Placeholder → characters that it takes at most.
PLACEHOLDERS = MappingProxyType(
    {"note": MAX_NOTE, "name": 100, "folder": 100, "labels": 300, "language": 40, "trigger": 60}
)
LABELS = MappingProxyType({THINGS: 6, "mediums": 1, "movements": 1, "flavors": 3})  # that {labels} names
# A doubled brace, which stands for one; else what is in braces; else a brace that is left over.
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def check(text: str, most: int = MOST) -> None:
    """Raise ConfigError for an instruction of more characters, or with a placeholder that there is not."""
    if len(text) > most:
        raise ConfigError(f"The instruction has {len(text)} characters; at most {most} are taken.")
    check_placeholders(text)


def check_placeholders(text: str) -> None:
    """Raise ConfigError for an instruction with a placeholder that there is not."""
    for match in _TOKEN.finditer(text):
        if match[0] not in ("{{", "}}") and match[1] not in PLACEHOLDERS:
            raise ConfigError(
                f"The instruction has {cut(tidy(match[0]), 60)} in it. What is in braces is one of "
                f"{_listed()}; a brace that is to stay is doubled."
            )


def _listed() -> str:
    return " ".join(f"{{{name}}}" for name in PLACEHOLDERS)


def names(text: str) -> set[str]:
    """The names of the placeholders in an instruction."""
    return {match[1] for match in _TOKEN.finditer(text) if match[1] in PLACEHOLDERS}


def bind(text: str, **values: str) -> str:
    """An instruction with these placeholders filled, to be filled with others later; empty values stay open.

    Raises
    ------
    ConfigError
        As `check`, for more than `TOLD` characters: some values may be in the text already.

    >>> bind("{name}, in {language}", name="{labels}")
    '{{labels}}, in {language}'
    """
    check(text, TOLD)
    clean = {name: _clean(name, value) for name, value in values.items()}

    def filled(match: re.Match[str]) -> str:
        value = clean.get(match[1] or "", "")
        return re.sub(r"[{}]", r"\g<0>\g<0>", value) or match[0]

    return _TOKEN.sub(filled, text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """An instruction with all placeholders filled, as an engine is told it.

    A line with a placeholder for which there is no value is left out, unless no line would be left. What is longer
    than `TOLD` then is cut: a picture with a long name is no reason to stop.

    Raises
    ------
    ConfigError
        As `check_placeholders`.

    >>> fill("Describe this picture.\\nIt shows: {labels}.", {})
    'Describe this picture.'
    """
    check_placeholders(text)
    clean = {name: _clean(name, value) for name, value in values.items()}
    lines = text.strip().splitlines()
    kept = [line for line in lines if all(map(clean.get, names(line)))]

    def filled(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else clean.get(match[1], "")

    told = _TOKEN.sub(filled, "\n".join(kept if any(map(str.strip, kept)) else lines)).strip()
    return cut(told, TOLD, mark="", size=len)


def _clean(name: str, value: str) -> str:
    return cut(tidy(value), PLACEHOLDERS[name], mark="")


def labels_in_words(labels: Mapping[str, Sequence[Match]]) -> str:
    """What ``{labels}`` is for a picture: the best of its labels, with commas between them."""
    best = (match.label for table, count in LABELS.items() for match in labels.get(table, ())[:count])
    return ", ".join(dict.fromkeys(best))


def place_of(path: str | Path) -> dict[str, str]:
    """What ``{name}`` and ``{folder}`` are for a file: its name without suffix, and the folder that it is in."""
    whole = Path(path).absolute()
    return {"name": whole.stem, "folder": whole.parent.name}


def begin_with(trigger: str, caption: str) -> str:
    """A caption that begins with the trigger word, which is put there if an engine has not.

    >>> begin_with("ohwx", "a dog on a beach"), begin_with("ohwx", "Ohwx on a beach")
    ('ohwx, a dog on a beach', 'ohwx on a beach')
    """
    if not trigger or not caption:
        return trigger or caption
    if begins := re.match(rf"{re.escape(trigger)}(?!\w)", caption, re.IGNORECASE):
        return trigger + caption[begins.end() :]
    return f"{trigger}, {caption}"
