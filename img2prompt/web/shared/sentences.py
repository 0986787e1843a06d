"""What is not of the pages in the visitor's language: errors, and the words of plots.

They are written, and kept by batches and histories, as English sentences. So a translation is found by
its sentence, in ``locales/<language>.sentences.json``: ``{name} is empty.`` stands for any file's.
"""

from __future__ import annotations

import functools
from string import Formatter
from typing import NamedTuple

from img2prompt.web.shared.i18n import catalogue, language

DEEPEST = 4  # sentences in a sentence: "{model} cannot be used: a.bin is missing (b.bin is a pickle)."


class _Sentence(NamedTuple):
    words: list[str]  # before, between and after the values
    names: list[str]  # of the values
    translation: str


def say(sentence: Exception | str) -> str:
    """An English sentence in the current language, or as it is if there is no translation."""
    return str(sentence) if language() == "en" else translated(str(sentence), language())


def translated(text: str, language: str, depth: int = 0) -> str:
    """An English sentence in another language, with the values that it was made with."""
    for sentence in _sentences(language) if depth < DEEPEST else ():
        values = _values(text, sentence.words)
        if values is not None:
            known = dict(zip(sentence.names, values, strict=True))
            return sentence.translation.format_map(
                {name: translated(value, language, depth + 1) for name, value in known.items()}
            )
    return text


def _values(text: str, words: list[str]) -> list[str] | None:
    """What stands between the words in a text; None if they are not in it.

    Each value ends where the next words first are, so that no text, whoever made it up, takes long.
    """
    if len(words) == 1 or not text.startswith(words[0]):
        return [] if [text] == words else None
    values, rest = [], text[len(words[0]) :]
    for following in words[1:-1]:
        value, found, rest = rest.partition(following)
        if not found:
            return None
        values.append(value)
    return [*values, rest.removesuffix(words[-1])] if rest.endswith(words[-1]) else None


@functools.cache
def _sentences(language: str) -> list[_Sentence]:
    """All sentences, those with the most words of their own first."""
    sentences = []
    for english, translation in catalogue(f"{language}.sentences").items():
        parts = list(Formatter().parse(english))
        names = [name for _, name, _, _ in parts if name is not None]
        words = [words for words, _, _, _ in parts] + [""] * (len(names) == len(parts))
        sentences.append(_Sentence(words, names, translation))
    return sorted(sentences, key=lambda sentence: -sum(map(len, sentence.words)))
