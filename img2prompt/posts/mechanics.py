"""Mechanical faults of posts: what no reader should find, whatever a line says."""

from __future__ import annotations

import re

from img2prompt.posts.post import Choices, Variant

_ANY_LANGUAGE = re.compile(
    r"[ ]{2}|\s[.,;:!?](?!\w)|(?<!\.)\.\.(?!\.)|,,|[,;:]\s*$|[,:;]\s*[.!?]|^\s|\s$|[{}]|\bNone\b"
)
_ENGLISH = re.compile(
    r"""
    (?i:\b(?:an?|the)\ (?:an?|the)\b)  # doubled
    | \b[Aa]\ (?=[aeio][a-z])(?!one\b|once|euro|ewe) | \b[Aa]n\ (?=[bcdfgjkpqtvwyz][a-z])  # wrong article
    | \b[Aa]n?\ (?:men|women|people|dogs|children)\b(?!')
    """,
    re.VERBOSE,
)
# A particle that does not agree with the syllable before it: 바다을, 산가.
_CLOSED = "".join(chr(c) for c in range(0xAC00, 0xD7A4) if (c - 0xAC00) % 28)
_KOREAN = re.compile(
    rf"[가-힣]*[{_CLOSED}](?:를|와)(?![가-힣])|[가-힣]*[^{_CLOSED}\W](?<!마)(?<!노)(?<!가)을(?![가-힣])"
)
_SIGNS = re.compile(r"[ ]?[^\w\s.,;:!?'’…/+\-\"“”(){}#~·]+")  # emoji


def faults(text: str, language: str = "en") -> list[str]:
    """What is mechanically wrong with a text: spaces, punctuation, articles, particles, gaps, brackets."""
    found = []
    for line in filter(None, text.split("\n")):
        bare = _SIGNS.sub("", line)
        for pattern in (_ANY_LANGUAGE, _ENGLISH if language == "en" else _KOREAN):
            found += [match.group() for match in pattern.finditer(bare)]
    if any(text.count(a) != text.count(b) for a, b in ("()", "“”")) or text.count('"') % 2:
        found.append("unbalanced")
    return found


def faults_of(variant: Variant, choices: Choices) -> list[str]:
    """What is mechanically wrong with a post: its prose, its sizes, its hashtags, a note that is not in it."""
    place = choices.place
    found = faults(prose(variant), choices.language)
    if not variant.hook.strip() or not variant.text.startswith(variant.hook):
        found.append("no first line")
    if place.size(variant.hook) > place.fold or place.size(variant.text) > place.post:
        found.append("too long")
    different = {tag.casefold() for tag in variant.hashtags}
    if len(different) < len(variant.hashtags) or len(variant.hashtags) > place.hashtags:
        found.append("hashtags")
    if choices.note and choices.note.lower() not in variant.text.lower():
        found.append("the note is missing")
    return found


def prose(variant: Variant) -> str:
    """A post without its hashtags."""
    return (
        variant.text.removesuffix(" ".join(variant.hashtags)).rstrip() if variant.hashtags else variant.text
    )
