"""A caption as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from img2prompt.results import Result


def as_sentence(text: str) -> str:
    """A caption as a sentence: first letter in upper case, a full stop at the end.

    >>> as_sentence("a brown dog runs on the beach")
    'A brown dog runs on the beach.'
    """
    text = text.strip()
    if not text:
        return ""
    stop = "" if text.endswith((".", "!", "?", "…")) else "."
    return text[0].upper() + text[1:] + stop


def caption_of(result: Result) -> str:
    """A result's caption as people read it: a sentence, but word for word where it was said how to write it."""
    return result.caption if result.instruction or result.trigger else as_sentence(result.caption)
