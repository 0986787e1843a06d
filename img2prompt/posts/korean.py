"""Korean words without the particle that is written onto them: 미나와, "with Mina" → 미나."""

from __future__ import annotations

import functools
import unicodedata

from img2prompt.posts import data

# Particle → fewest syllables before it, and whether the last of them ends in a consonant; None if either may.
# Many words end in 은, 는, 이, 가, 도, 로 or 의 by themselves (고양이, 작가), so that these are taken only off a
# known noun.
_SURE = {
    "에게서": (1, None),
    "한테서": (1, None),
    "에서": (1, None),
    "에게": (1, None),
    "한테": (1, None),
    "까지": (1, None),
    "부터": (1, None),
    "하고": (2, None),
    "으로": (1, True),
    "에": (2, None),
    "과": (2, True),
    "을": (2, True),
    "와": (2, False),
    "를": (2, False),
    "랑": (2, False),
}
_OTHERS = ("이랑", "은", "는", "이", "가", "도", "로", "의", "만")


def without_particle(word: str) -> str:
    """A word without the particle at its end, where it is sure to be one; any other word as it is.

    A particle must agree with the syllable before it: 과 follows a consonant and 와 a vowel.
    """
    if word in _words("nouns"):
        return word
    for particle in (*_SURE, *_OTHERS):
        if word.removesuffix(particle) in _words("nouns"):
            return word.removesuffix(particle)
    if word.endswith(tuple(_words("endings"))):
        return word
    for particle, (syllables, closed) in _SURE.items():
        noun = word.removesuffix(particle)
        if noun != word and len(noun) >= syllables and closed in (None, _ends_in_consonant(noun)):
            return noun
    return word


def _ends_in_consonant(word: str) -> bool | None:
    """Whether the last syllable ends in a consonant; None if it is no Hangul."""
    last = unicodedata.normalize("NFD", word[-1])  # a syllable's consonants and vowels
    return len(last) == 3 if "가" <= word[-1] <= "힣" else None


@functools.cache
def _words(name: str) -> frozenset[str]:
    return frozenset(data.read_toml("korean.toml")[name].split())
