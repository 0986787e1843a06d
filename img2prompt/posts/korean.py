"""Korean particles: which one a word takes (바다가, 산이), and words without theirs (미나와, "with Mina" → 미나)."""

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


# Whether what is said last of these ends in a consonant: 영 일 이 삼 사 오 육 칠 팔 구, and the names of letters.
_DIGITS = dict(
    zip("0123456789", (True, True, False, True, False, False, True, True, True, False), strict=True)
)
_LETTERS = frozenset("lmnr")  # 엘 엠 엔 알
_RIEUL = frozenset("178lr")  # 일 칠 팔 엘 알 end in ㄹ, after which "to" is 로
# English words whose last sound Korean writes as a final consonant: 캣, 북, 톱, 런던, 필름, 킹.
_CLOSED = ("ck", "k", "p", "t", "l", "m", "n", "ng")


def with_particle(word: str, pair: str) -> str:
    """A word with the particle that agrees with how it ends.

    Parameters
    ----------
    word : of any script; a number or a Latin word counts as Korean reads it
    pair : the particle after a consonant, and after a vowel: "이/가", "을/를", "은/는", "과/와", "으로/로"

    >>> with_particle("바다", "이/가"), with_particle("산", "이/가"), with_particle("Busan", "은/는")
    ('바다가', '산이', 'Busan은')
    """
    after_consonant, after_vowel = pair.split("/")
    sound = word.rstrip(" .,!?\"')]”’").lower()
    closed = _is_closed(sound)
    if after_consonant == "으로" and closed and _ends_in_rieul(sound):
        closed = False
    return word + (after_consonant if closed else after_vowel)


def _is_closed(sound: str) -> bool:
    """Whether the last sound of a word is a consonant to a Korean ear."""
    last = sound[-1:]
    if last in _DIGITS:
        return _DIGITS[last]
    if last.isascii() and last.isalpha():
        word = sound.rpartition(" ")[2]
        return last in _LETTERS if len(word) == 1 else word.endswith(_CLOSED)
    return bool(last and _ends_in_consonant(last))


def _ends_in_rieul(sound: str) -> bool:
    return sound[-1] in _RIEUL or unicodedata.normalize("NFD", sound[-1]).endswith("\u11af")


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
