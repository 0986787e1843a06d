"""Which of several captions a picture gets: the one that the most evidence speaks for.

Each candidate is judged by one weighted sum, whose weights were fitted on the dev sets (see
MODEL_CARD.md): how likely the captioner holds it, how near its embedding is to the picture, whether
its words and its people are expected, whether it names what the classifier is sure of, and whether
it is more than a name.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from img2prompt.posts import data, grammar
from img2prompt.posts.gender import neutral_people
from img2prompt.posts.people import mentions_people
from img2prompt.posts.themes import ACTIONS

FULL = 6  # words from which a caption is not too short
RARE = 0.03  # probability of a word that was seldom in captions
LEAST = 1e-3  # no evidence counts for less
PADDING = 0.05  # difference of two cosines with the picture that means something
UNEXPECTED = 1.0  # difference of two mean log probabilities that does
COLOURED = 0.08  # vividness from which no picture is black and white
SHORTENED = 4  # words that a shortened caption must have
UNSEEN = 0.05  # probability below which nobody would mention a thing
GREY = 0.01  # vividness below which no colour can be seen
SPARE = (
    grammar.FUNCTION_WORDS
    | grammar.PRONOUNS
    | frozenset(
        "be been being do does did doing get gets getting go goes going make use top side next front back middle".split()
    )
)

# Nouns that guess at people, or say nothing.
NO_THINGS = frozenset(
    """american asian german teenager shirtless blonde life load loading fill sort outstretch spread course space stuff
    power range post pick patch""".split()
)

_BLACK_AND_WHITE = r"(?:an? )?(?:old )?black and white (?:photo|photograph|picture|image)"
_IS_GREY = re.compile(rf"^{_BLACK_AND_WHITE} (?:of|with) (?=\w)|,? in {_BLACK_AND_WHITE}$")
_IS_COLOURED = re.compile(r"\b(?:red|orange|yellow|green|blue|purple|pink|brown|golden|colorful)\b")


@dataclass(frozen=True)
class Candidate:
    """A caption, and the evidence for it. Larger numbers speak for it."""

    text: str
    score: float  # mean log probability of its words to the captioner; 0 for the bare name of a thing
    fit: float  # cosine of its embedding with the picture's
    said: float  # mean log probability that captions of the picture have its words
    people: float  # log probability that captions of the picture mention people, or don't, as it does
    sure: float  # probability of the class that it names; 0 where it names none


@dataclass(frozen=True)
class Weights:
    """What each kind of evidence counts for; one unit is one unit of `Candidate.score`."""

    fit: float
    said: float
    people: float
    sure: float
    short: float  # for each word that is missing to `FULL`


def choose(candidates: Sequence[Candidate], weights: Weights) -> Candidate:
    """The best candidate, the first of equals.

    Raises
    ------
    ValueError
        When there is none.
    """
    return max(candidates, key=lambda candidate: total(candidate, weights))


def without_padding(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates without those that begin with another one and are padded.

    Where the captioner knows nothing to say of a thing, its name is enough.
    """
    return [
        candidate
        for candidate in candidates
        if not any(
            candidate.text.startswith(f"{other.text} ") and _padded(candidate, other) for other in candidates
        )
    ]


def true_colours(written: Sequence[tuple[str, float]], vividness: float) -> list[tuple[str, float]]:
    """Captions, with their scores, without what the picture's pixels contradict.

    "A black and white photo of a cat on a bed" in colour is a cat on a bed. Captions of which hardly
    anything remains, and those that see colours in a grey picture, are left out, if there are others.

    Parameters
    ----------
    vividness : see `img2prompt.posts.facts.vividness`
    """
    if vividness > COLOURED:
        cut = [(_IS_GREY.sub("", text), score) for text, score in written]
        return [
            (text, score)
            for (text, score), (before, _) in zip(cut, written, strict=True)
            if text == before or len(text.split()) >= SHORTENED
        ] or cut
    if vividness < GREY:
        return [pair for pair in written if not _IS_COLOURED.search(pair[0])] or list(written)
    return list(written)


def compounds(more: str) -> bool:
    """Whether what the captioner writes after a name makes another thing of it: "an ocarina", and on " boy"."""
    word = more.split(maxsplit=1)[0] if more.strip() else ""
    if word in grammar.COLOURS or "ADJ" in grammar.lemmas(word) and word not in data.things():
        return False
    return grammar.is_noun(word) and not grammar.caption_verb(word) and word not in SPARE


def without_unseen(text: str, probabilities: np.ndarray, numbers: Mapping[str, int]) -> str:
    """A caption without what stands at its end, after "with", where none of it is to be expected.

    "A plate of food with a sandwich" is a plate of food, unless there may be a sandwich.

    Parameters
    ----------
    probabilities, numbers : see `said`
    """
    head, found, tail = text.rpartition(" with ")
    if not found or len(head.split()) < SHORTENED or head.endswith("ed"):  # lined, filled, covered
        return text
    things = [numbers.get(base(word)) for word in tail.split() if len(word) > 2 and grammar.is_noun(word)]
    if not things or any(number is None or probabilities[number] >= UNSEEN for number in things):
        return text
    return head


def _padded(longer: Candidate, shorter: Candidate) -> bool:
    """Whether what a caption adds to its beginning fits the picture less, or is not expected in it at all."""
    fits_better = longer.fit - shorter.fit
    return fits_better < -PADDING or (fits_better < PADDING and longer.said < shorter.said - UNEXPECTED)


def total(candidate: Candidate, weights: Weights) -> float:
    """What speaks for a candidate, summed up."""
    missing = max(0, FULL - len(candidate.text.split()))
    return (
        candidate.score
        + weights.fit * candidate.fit
        + weights.said * candidate.said
        + weights.people * candidate.people
        + weights.sure * candidate.sure
        - weights.short * missing
    )


@functools.lru_cache(maxsize=20_000)
def base(word: str) -> str:
    """A word as it is looked for: nouns in the singular, verbs without ending."""
    if grammar.is_noun(word):
        return grammar.singular(word)
    verbs = grammar.lemmas(word).get("VERB")
    return verbs[0] if verbs else word


def content_words(text: str) -> set[str]:
    """The words of a caption that say what is there, in their base form."""
    return {base(word) for word in text.split() if len(word) > 2 and word not in SPARE}


@functools.lru_cache(maxsize=10_000)
def thing(word: str) -> str:
    """A word as the name of something visible or something done, without anybody's gender; "" if it is none.

    >>> thing("girl"), thing("surf"), thing("beautiful")
    ('child', 'surf', '')
    """
    if word in ACTIONS:
        return word
    known = grammar.lemmas(word)
    if (
        word in grammar.COLOURS | NO_THINGS | data.words("vague")
        or "ADJ" in known
        and word not in data.things()
    ):
        return ""
    if not grammar.is_noun(word) or grammar.caption_verb(word) and word not in data.things():
        return ""
    return neutral_people(f"a {word}").partition(" ")[2]


def said(text: str, probabilities: np.ndarray, numbers: Mapping[str, int]) -> float:
    """Mean log probability that captions of the picture have the words of this one.

    Parameters
    ----------
    probabilities : (W,) of each word that is looked for
    numbers : word → its place in `probabilities`
    """
    words = content_words(text)
    if not words:
        return math.log(RARE)
    found = [float(probabilities[numbers[word]]) if word in numbers else RARE for word in words]
    return sum(math.log(max(probability, LEAST)) for probability in found) / len(found)


def people(text: str, somebody: float, lean: float) -> float:
    """Log probability that a caption is right to mention people, or not to.

    Parameters
    ----------
    somebody : probability that captions of the picture mention people
    lean : added to its log odds
    """
    odds = math.log(max(somebody, LEAST) / max(1 - somebody, LEAST)) + lean
    return -math.log1p(math.exp(-odds if mentions_people(text) else odds))
