"""What a model is asked about a picture, and its answer: read, repaired, or refused with its own words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from pydantic_core import from_json

from img2prompt.errors import AnswerError
from img2prompt.files import without_controls
from img2prompt.results import Description
from img2prompt.wording import LONGEST, as_unicode

RULES = "Say only what can be seen. Where you are not sure, say less. Guess at nobody's name, origin, faith or health."
ASK = f"""Describe this picture for somebody who cannot see it. {RULES}
Answer with one JSON object with these fields:
caption: one short sentence of what the picture shows, without "a picture of"
detailed: a paragraph of everything that can be seen
prompt: the words that could make this picture with an image generator: subject, setting, medium, style, light
tags: up to ten single words for what is in it
text: the words that can be read in the picture, as they are written; empty if there are none
alt: an alt text of at most 125 characters"""
ASK_PLAIN = f"""Write one short sentence of what this picture shows, without "a picture of". {RULES}
Answer with this sentence only."""
FOLLOW = f"{RULES} Answer with what is asked for only."

MOST_BEGINNINGS = 10  # places where a record could begin
MOST = {"caption": 1000, "detailed": 4000, "prompt": 2000, "text": 4000, "alt": 1000}  # characters
MOST_TAGS, LONGEST_TAG = 30, 60
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("caption", "detailed", "prompt")},
        "tags": {"type": "array", "items": {"type": "string"}},
        **{name: {"type": "string"} for name in ("text", "alt")},
    },
    "required": ["caption", "detailed", "prompt", "tags", "text", "alt"],
    "additionalProperties": False,
}

_THINKING = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_THOUGHT = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_FENCED = re.compile(r"```[\w-]*\n(.*?)\n?```", re.DOTALL)
# How chat models begin in spite of what they were asked.
_PREAMBLE = re.compile(
    r"""(?:(?:sure|certainly|of\ course|here\ is|here's)\b[^:\n]{0,80}:\s*)?
    (?:(?:caption|description)\s*:\s*)?
    (?:(?:the|this)\s(?:image|picture|photo|photograph)\s(?:shows|depicts|features|captures|is\ of)\s)?""",
    re.VERBOSE | re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"(?:i['’]?m|i am)\s(?:really\s)?(?:sorry|unable)\b|(?:sorry,?\s)?(?:but\s)?i\s(?:can['’]?t|cannot|am not able to)\s",
    re.IGNORECASE,
)
_BEGINNING = re.compile(r'\{\s*"')  # of a record
_COMMA_TOO_MANY = re.compile(r",(\s*[}\]])")
# The caption in a record that is still coming, as far as its characters are complete.
_CAPTION = re.compile(r'"caption"\s*:\s*"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)')
_UNREADABLE = "it is no JSON with a caption"


def describe(answer: str, model: str) -> Description:
    """What an answer to `ASK` or `ASK_PLAIN` says, whichever form the model gave it.

    Parameters
    ----------
    model : its name, for the message

    Raises
    ------
    AnswerError
        When nothing in it is a caption.
    """
    text = unwrapped(answer)
    if "{" not in text:
        return Description(as_caption(_sentence(text), model, answer))
    record = _record(text)
    if not isinstance(record.get("caption"), str):
        raise _refused(model, _UNREADABLE, answer)
    fields = {name: cleaned(record.get(name), most) for name, most in MOST.items()}
    fields["caption"] = as_caption(fields["caption"], model, answer)
    return Description(**fields, tags=_tags(record.get("tags")))


def follow(answer: str, model: str) -> Description:
    """What an answer to somebody's own instruction says: its words as they are; errors as of `describe`."""
    text = unwrapped(answer)
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    text = cleaned(text, MOST["detailed"], in_lines=True)
    if not text:
        raise _refused(model, "it is empty", answer)
    return Description(text)


def heard(answer: str) -> str:
    """The caption in an answer that is still coming; empty before there is one."""
    text = unwrapped(answer)
    if "{" not in text:
        return "" if text.startswith(("<", "`")) else text  # a thought or a fence begins
    begun = _CAPTION.search(text)
    return as_unicode(json.loads(f'"{begun[1]}"', strict=False)) if begun else ""


def unwrapped(answer: str) -> str:
    """An answer without the thoughts that some models put before it."""
    text = _THOUGHT.split(answer)[-1]
    return "" if _THINKING.search(text) else text.strip()


def cleaned(value: object, most: int, in_lines: bool = False) -> str:
    """A text of at most so many characters, cut at a word, without characters that command a terminal."""
    if not isinstance(value, str):
        return ""
    lines = [" ".join(without_controls(line).split()) for line in as_unicode(value).strip().splitlines()]
    text = ("\n" if in_lines else " ").join(lines).strip()
    if len(text) <= most:
        return text
    words = text[:most].rsplit(" ", 1)[0]
    return words if len(words) > most // 2 else text[:most]


def as_caption(text: str, model: str, answer: str) -> str:
    """A caption as engines write it: without what chat models put before it, and without a final full stop."""
    text = cleaned(text, MOST["caption"])
    text = text[_PREAMBLE.match(text).end() :].strip().strip('"“”*').rstrip(".").strip()  # type: ignore[union-attr]
    if not text:
        raise _refused(model, "it is empty", answer)
    if _REFUSAL.match(text):
        raise _refused(model, "it refuses", answer)
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first[1:] == first[1:].lower() else text  # not of "NASA", "iPhone"


def _record(text: str) -> dict[str, Any]:
    """The first record in a text: with words around it, with commas too many, or cut off; {} if there is none."""
    for begun in islice(_BEGINNING.finditer(text), MOST_BEGINNINGS):
        rest = text[begun.start() :]
        for written in (rest, _COMMA_TOO_MANY.sub(r"\1", rest)):
            with suppress(ValueError, RecursionError):
                return dict(json.JSONDecoder(strict=False).raw_decode(written)[0])
        with suppress(ValueError):
            return dict(from_json(rest, allow_partial="trailing-strings"))
    return {}


def _sentence(text: str) -> str:
    """The first paragraph that is not in a fence and ends in no colon."""
    text = _FENCED.sub(r"\1", text)
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return next((part for part in paragraphs if not part.endswith(":")), "")


def _tags(value: object) -> tuple[str, ...]:
    """Tags from a list, or from one text with commas."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    tags = [cleaned(part, LONGEST_TAG).lstrip("#") for part in parts]
    return tuple(dict.fromkeys(filter(None, tags)))[:MOST_TAGS]


def _refused(model: str, why: str, answer: str) -> AnswerError:
    quoted = cleaned(answer, LONGEST) or "nothing"
    return AnswerError(f"The answer of {model} cannot be used, as {why}: {quoted}")
