"""A caption as a sentence."""

from __future__ import annotations


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
