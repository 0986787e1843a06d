"""What no post may say: names, places and numbers that nobody gave, guesses at people, worn phrases.

The phrasebook was written by such rules. What a model writes is held against them, as far as words alone can tell: they
know words and no meanings, so that they refuse some good posts and let some bad ones pass. The lists are in
``rules.toml``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence

import regex

from img2prompt.posts import data
from img2prompt.posts.gender import is_gendered
from img2prompt.posts.grammar import (
    COLLECTIVES,
    COLOURS,
    FUNCTION_WORDS,
    PRONOUNS,
    is_gerund,
    is_noun,
    is_person,
    lemmas,
    singular,
)
from img2prompt.posts.limits import tidy, whole
from img2prompt.posts.mechanics import faults
from img2prompt.posts.neutral import plain_words, without_guesses
from img2prompt.posts.numbers import numbers
from img2prompt.posts.people import caption_words, mentions_people
from img2prompt.posts.phrases import Theme, line_of_descent
from img2prompt.posts.post import TEXT, Choices, Seen
from img2prompt.posts.themes import themes_of

RIGHT_SCRIPT = 0.6  # share of a post's letters that must be those of its language
REPEATED, NOUNS = (
    0.5,
    2,
)  # a post repeats a caption with more than this share of its nouns, and at least so many
QUOTED = 5  # words in a row that no post takes from what can be read in a picture
WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*(?:['’-][\p{L}\p{M}]+)*")
HANGUL, LATIN = regex.compile(r"\p{Hangul}"), regex.compile(r"\p{Latin}")
# Where a capital says nothing: at the start of a text, of a sentence, or of what somebody says.
START = re.compile(r"(?:^|[.!?…:;\n\"“”(–—-])\s*$")
SOME = frozenset("a an two three four several".split())
NEGATED = re.compile(r"[a-z]+n't")
ADDRESS = re.compile(r"://|\bwww\b|[@#]\w|\w\.[^\W\d_]{2}")
MARKUP = re.compile(r"[<>\[\]{}|\\`*_^=]|^\s*(?:[-•]|\d+[.)])\s", re.MULTILINE)


class Rules:
    """The rules for posts about some pictures.

    Parameters
    ----------
    seen : the pictures; a post may have names that can be read in them, and words for their themes
    choices : whose note may say anything, as the person wrote it
    people : "neutral", or "as-seen": then a post may speak of men and women where a caption does
    """

    def __init__(self, seen: Sequence[Seen], choices: Choices, people: str = "neutral"):
        self._choices = choices
        self._captions = [picture.caption for picture in seen]
        shown = [word for picture in seen for theme in themes_of(picture) for word in _words_of(theme)]
        read = [readable(picture) for picture in seen]
        self._given = " ".join([choices.detail, *read, *shown]).casefold()
        self._read = {run for text in read for run in _runs(text)}
        self._words = set(map(_bare, WORD.findall(self._given)))
        told = [choices.detail] if people == "neutral" else [choices.detail, *self._captions]
        self._tells_gender = _says_gender(" ".join(told))
        self._shows_people = mentions_people(" ".join(told)) or any(map(mentions_people, self._captions))
        counts = (number for caption in self._captions for number in numbers(re.sub(r"\d", " ", caption)))
        self._numbers = {*numbers(choices.detail), *counts}
        self._rules: dict[str, Callable[[str], bool]] = {
            "address": self._address,
            "markup": self._markup,
            "language": self._language,
            "number": self._number,
            "stale": self._stale,
            "description": self._description,
            "gender": self._gender,
            "guess": self._guess,
            "people": self._people,
            "name": self._name,
        }

    def broken(self, text: str) -> str:
        """The name of the first rule that the prose of a post breaks, without emoji and hashtags; "" for none."""
        if faults(text, self._choices.language):
            return "mechanics"
        note = self._choices.detail
        own = whole(note).sub(" ", text) if note else text
        return next((name for name, breaks in self._rules.items() if breaks(own)), "")

    def _address(self, text: str) -> bool:
        """Addresses, @names and hashtags; those that suit are added to a post."""
        return bool(ADDRESS.search(text))

    def _markup(self, text: str) -> bool:
        return bool(MARKUP.search(text))

    def _language(self, text: str) -> bool:
        letters = [character for character in text if character.isalpha()]
        script = HANGUL if self._choices.language == "ko" else LATIN
        right = sum(1 for letter in letters if script.match(letter))
        return right < RIGHT_SCRIPT * len(letters)

    def _number(self, text: str) -> bool:
        """Numbers that nobody gave; a caption gives how many there are, and no digits, which may be read from a sign."""
        return not numbers(pattern("sayings").sub(" ", text.lower())) <= self._numbers

    def _stale(self, text: str) -> bool:
        return any(pattern(name).search(text.lower().replace("’", "'")) for name in ("stale", "tics"))

    def _description(self, text: str) -> bool:
        """What says again what the caption says or what can be read there, or that there is a picture."""
        if any(run in self._read for run in _runs(text)):
            return True
        said = {singular(word) for word in re.findall(r"[a-z'-]+", text.lower())}
        return bool(pattern("describes").search(text.lower())) or any(
            _repeats(said, caption) for caption in self._captions
        )

    def _gender(self, text: str) -> bool:
        return not self._tells_gender and _says_gender(text)

    def _guess(self, text: str) -> bool:
        words = [_bare(word) for word in WORD.findall(text.lower())]
        kept = without_guesses(words)
        return len(kept) < len(words) or not data.words("never").isdisjoint(words)

    def _people(self, text: str) -> bool:
        """Somebody who does something, where no picture has people: "a child running"; not "everyone"."""
        return not self._shows_people and any(
            _acts(words, i) for words in [caption_words(text)] for i in range(len(words))
        )

    def _name(self, text: str) -> bool:
        """Names, places and times that nobody gave; and words that no dictionary has, which may be names."""
        return any(self._is_name(match[0], text[: match.start()]) for match in WORD.finditer(text))

    def _is_name(self, word: str, before: str) -> bool:
        if HANGUL.search(word):
            found = pattern_of_names().match(word)
            return found is not None and found[1] not in self._given
        bare = _bare(word)
        if bare in self._words or bare in ("i", *PRONOUNS):
            return False
        if bare in listed("places") | listed("times") or (word[0].isupper() and bare in listed("names")):
            return True
        if word[0].isupper() and not (word.isupper() or START.search(before)):
            return True
        return not _is_word(bare)


def readable(picture: Seen) -> str:
    """The words that can be read in a picture; what has digits is left out, as it may be somebody's number."""
    lines = [match.label for match in picture.labels.get(TEXT, ())]
    words = tidy(" ".join([*lines, picture.text])).split()
    return " ".join(word for word in words if not re.search(r"\d", word))


def _words_of(theme: Theme) -> Iterator[str]:
    """The words by which a theme and those above it are known, "Christmas" among them, and their Korean names."""
    for above in line_of_descent(theme):
        yield from above.words
        yield from (above.wording["ko"].name, *above.wording["ko"].tags)


def _runs(text: str) -> Iterator[str]:
    """All the words of a text that stand in a row, so many at a time."""
    words = [word.casefold() for word in WORD.findall(text)]
    return (" ".join(words[i : i + QUOTED]) for i in range(len(words) - QUOTED + 1))


def _repeats(said: set[str], caption: str) -> bool:
    """Whether words, in the singular, are those of a caption: all that mean something, or most of its nouns."""
    words = plain_words(caption)
    if (telling := said - FUNCTION_WORDS - PRONOUNS) and telling <= set(map(singular, words)):
        return True
    nouns = {singular(word) for word in words if is_noun(word) and word not in COLOURS}
    return len(nouns & said) >= NOUNS and len(nouns & said) > REPEATED * len(nouns)


def _acts(words: Sequence[str], i: int) -> bool:
    is_somebody = i > 0 and words[i - 1] in SOME and is_person(words[i]) and words[i] not in COLLECTIVES
    return is_somebody and i + 1 < len(words) and is_gerund(words, i + 1)


def _says_gender(text: str) -> bool:
    told = pattern("genderless").sub(" ", text.lower().replace("’", "'"))
    return is_gendered(text) or bool(_gender().search(told) or pattern("gender_ko").search(text))


def _bare(word: str) -> str:
    """A word in small letters, without what hangs on it by an apostrophe: Mina's → mina; "don't" stays."""
    word = word.casefold().replace("’", "'")
    return word if NEGATED.fullmatch(word) else word.partition("'")[0]


@functools.lru_cache(maxsize=10_000)
def _is_word(word: str) -> bool:
    if word in FUNCTION_WORDS | listed("words") or NEGATED.fullmatch(word) or word in data.things():
        return True
    return bool(lemmas(word)) or ("-" in word and all(map(_is_word, word.split("-"))))


@functools.cache
def pattern(name: str) -> re.Pattern[str]:
    """One of the regular expressions in ``rules.toml``, whose lines are joined."""
    return re.compile(data.read_toml("rules.toml")[name].replace("\n", ""))


@functools.cache
def _gender() -> re.Pattern[str]:
    """An English word that says a gender; not the first part of one with a hyphen, as in "king-size"."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(listed('gender')))})(?:e?s)?(?![\w-])")


@functools.cache
def listed(name: str) -> frozenset[str]:
    """One of the word lists in ``rules.toml``."""
    return frozenset(data.read_toml("rules.toml")[name].split())


@functools.cache
def pattern_of_names() -> re.Pattern[str]:
    """A Korean word that is a name, a place or a time, by itself or with a particle."""
    names = [word for name in ("places", "times", "names") for word in listed(name) if HANGUL.match(word)]
    longest_first = "|".join(sorted(names, key=lambda name: (-len(name), name)))
    particles = (
        "이랑|랑|이|가|은|는|을|를|의|에|에서|에게|한테|와|과|야|아|도|로|으로|네|씨|님|부터|까지|처럼|표"
    )
    return re.compile(rf"({longest_first})(?:{particles}|이의|이는|이가|이를|이도)*$")
