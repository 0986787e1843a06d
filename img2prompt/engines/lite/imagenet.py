"""Use the 1,000 ImageNet classes, which know things that captions seldom name: an espresso, a tabby.

`Naming` finds the class that a picture confidently shows and tells whether a caption mentions it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KNOWN = 0.3  # probability from which a breed is named, and not just its animal
SUREST = 0.999  # no class is more probable than this

# First class, last class, what people call them. ImageNet keeps relatives together.
EVERYDAY: tuple[tuple[int, int, str], ...] = (
    (0, 6, "fish"),
    (7, 24, "bird"),
    (25, 29, "lizard"),
    (30, 32, "frog"),
    (33, 37, "turtle"),
    (38, 48, "lizard"),
    (49, 50, "alligator"),
    (52, 68, "snake"),
    (72, 77, "spider"),
    (80, 100, "bird"),
    (101, 101, "elephant"),
    (105, 105, "koala"),
    (106, 106, "kangaroo"),
    (118, 121, "crab"),
    (122, 123, "lobster"),
    (127, 146, "bird"),
    (147, 148, "whale"),
    (149, 150, "seal"),
    (151, 268, "dog"),
    (269, 275, "wolf"),
    (277, 280, "fox"),
    (281, 285, "cat"),
    (286, 287, "wildcat"),
    (288, 289, "leopard"),
    (290, 290, "jaguar"),
    (291, 291, "lion"),
    (292, 292, "tiger"),
    (293, 293, "cheetah"),
    (294, 297, "bear"),
    (300, 307, "beetle"),
    (308, 309, "insect"),
    (310, 320, "insect"),
    (321, 326, "butterfly"),
    (330, 332, "rabbit"),
    (333, 333, "hamster"),
    (335, 335, "squirrel"),
    (339, 339, "horse"),
    (340, 340, "zebra"),
    (341, 343, "pig"),
    (345, 346, "cow"),
    (347, 347, "bison"),
    (348, 349, "sheep"),
    (350, 350, "goat"),
    (351, 353, "deer"),
    (354, 354, "camel"),
    (355, 355, "llama"),
    (365, 384, "monkey"),
    (385, 386, "elephant"),
    (387, 388, "panda"),
    (389, 397, "fish"),
)


def everyday(index: int) -> str | None:
    """What people call an animal class: "dog" for a golden retriever; None for other things."""
    return next((word for first, last, word in EVERYDAY if first <= index <= last), None)


@dataclass(frozen=True)
class Thing:
    """A confidently recognised class."""

    shown: str  # how a caption names it: "a tabby cat"; "a cat" when the breed is unsure
    written: str | None  # what the captioner can write in its place: "a cat"
    words: frozenset[str]  # words that mention it
    probability: float  # that captions of the picture name it
    index: int  # its most probable class


@dataclass(frozen=True)
class Trust:
    """How likely captions name what the classifier sees; fitted on the training pictures.

    The classifier knows no dish but those of its classes, so any stew is a hot pot to it, with a
    probability of 0.9; of real photos that it calls so, one in twelve is. The scale is Platt's
    (*Probabilistic Outputs for Support Vector Machines*, 1999), with an offset for each class.
    """

    slope: float
    offsets: Sequence[float]  # (1000,)

    def __call__(self, index: int, probability: float) -> float:
        """The probability that captions name class `index`, to which the classifier gives `probability`."""
        sure = min(max(probability, 1 - SUREST), SUREST)
        odds = self.slope * math.log(sure / (1 - sure)) + self.offsets[index]
        return 1 / (1 + math.exp(-odds))


def read_phrases() -> dict[str, tuple[str, str]]:
    """Class → how captions name it, and what the captioner can write in its place."""
    with open(Path(__file__).with_name("imagenet.csv"), newline="", encoding="utf-8") as file:
        return {row["class"]: (row["shown"], row["written"]) for row in csv.DictReader(file)}


class Naming:
    """Find the confident class of a picture and check captions against it.

    Parameters
    ----------
    names : (1000,) what to call each class
    incidental : classes that are often in a picture but seldom what it shows
    similar : cosine of a word with a class name, from their MiniLM vectors
    trust : a class, and its probability → that captions name it; as it is without one
    """

    def __init__(
        self,
        names: Sequence[str],
        incidental: Iterable[int],
        similar: Callable[[str, int], float],
        trust: Callable[[int, float], float] = lambda index, probability: probability,
    ):
        self.names = names
        self.incidental = frozenset(incidental)
        self.similar = similar
        self.trust = trust
        self.phrases = read_phrases()

    def _group(self, index: int) -> str:
        """The name of a class's group: classes that mean the same to people share one."""
        return everyday(index) or self.phrases.get(self.names[index], ("", self.names[index]))[1]

    def find(self, probabilities: np.ndarray, sure: float = 0.6) -> Thing | None:
        """The thing that a picture confidently shows, or None.

        Related classes count together: 0.3 tabby and 0.4 tiger cat are a cat at 0.7.

        Parameters
        ----------
        probabilities : (1000,)
        sure : the least probability of a confident thing, that captions name it
        """
        order = [int(i) for i in np.argsort(-probabilities)[:20]]
        totals: dict[str, float] = {}
        for i in order:
            totals[self._group(i)] = totals.get(self._group(i), 0.0) + float(probabilities[i])
        group, total = max(totals.items(), key=lambda item: item[1])
        best = next(i for i in order if self._group(i) == group)
        probability = self.trust(best, total)
        if probability < sure or best in self.incidental:
            return None
        name, animal = self.names[best], everyday(best)
        shown, written = self.phrases.get(name, (with_article(name), None))
        if animal:
            written = with_article(animal)
            if probabilities[best] < KNOWN:
                shown = written
        phrases = (shown, written or "", name.lower(), animal or "")
        words = frozenset(singular(phrase.split()[-1]) for phrase in phrases if phrase)
        return Thing(shown, written, words, probability, best)

    def mentioned(self, caption: str, thing: Thing, alike: float = 0.5) -> bool:
        """Whether a caption names the thing, a relative of it or something close in meaning."""
        for word in caption.split():
            if singular(word) in thing.words:
                return True
            if len(word) > 2 and self.similar(word, thing.index) >= alike:
                return True
        return False


def singular(word: str) -> str:
    """A plain guess at the singular of a caption's noun."""
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if word.endswith(ending):
            return word[: -len(ending)] + replacement
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def with_article(noun: str) -> str:
    """The noun with "a" or "an": "espresso" → "an espresso"."""
    return f"{'an' if noun[0].lower() in 'aeio' or noun.lower().startswith(('umb', 'urn', 'upr')) else 'a'} {noun}"
