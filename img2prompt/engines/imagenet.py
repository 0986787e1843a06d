"""What 1,000 ImageNet classes know that captions don't: an espresso, a cathedral, a tabby.

Two uses. `blend_names` turns class probabilities into a vector in MiniLM space, the
probability-weighted mean of the class names' vectors (ConSE: Norouzi et al., *Zero-Shot
Learning by Convex Combination of Semantic Embeddings*, ICLR 2014). `Naming` finds the
class that a picture confidently shows and tells whether a caption mentions it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

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

# Clothes, materials, screens and papers: often in a picture, seldom what it shows.
INCIDENTAL = frozenset(
    """abaya, academic gown, apron, bath towel, bathing cap, Band Aid, bib, bikini, bolo tie, bonnet, book jacket,
    bow, bow tie, bonnet, brassiere, breastplate, bubble, buckle, bulletproof vest, cardigan, chain mail, chime,
    Christmas stocking, cloak, clog, comic book, cowboy boot, cowboy hat, crash helmet, cuirass, diaper, doormat,
    envelope, face powder, feather boa, football helmet, fountain, fur coat, gasmask, gown, groom, hair spray,
    handkerchief, hook, hoopskirt, jean, jersey, kimono, knee pad, lab coat, lens cap, lipstick, Loafer, lotion,
    maillot, mask, menu, military uniform, miniskirt, mitten, mortarboard, muzzle, nail, neck brace, necklace,
    nipple, oxygen mask, packet, pajama, pick, poncho, prison, purse, quilt, running shoe, sandal, sarong, screen,
    seat belt, ski mask, sleeping bag, sock, sombrero, stage, stole, suit, sunglass, sunglasses, sunscreen,
    sweatshirt, swimming trunks, television, theater curtain, trench coat, velvet, vestment, web site, wig,
    window screen, window shade, Windsor tie, wool, monitor, miniskirt, plastic bag, pole, rule, scale, shield,
    shower curtain, spotlight, switch, tub, wing, maypole, matchstick, corn, hay, cellular telephone, hand-held
    computer, notebook, iPod, dumbbell, stretcher, ear, hip, stethoscope, syringe, crutch, safety pin, crossword
    puzzle, jigsaw puzzle, digital clock, oscilloscope, hourglass, letter opener, whistle, loupe, binoculars,
    rifle, assault rifle, revolver, holster, projectile, missile, guillotine, coil, knot, chainlink fence, chain,
    picket fence, worm fence, stone wall, bannister, pay-phone, slot, vending machine, cassette, CD player""".replace(
        "\n", " "
    ).split(",")
)

PEOPLE = frozenset(
    """person people man men woman women boy boys girl girls child children kid kids baby toddler lady guy guys
    crowd player players skier surfer skateboarder snowboarder rider couple family group team friends someone
    man's woman's climber biker cyclist swimmer hiker worker biker performer officer infant adults adult""".split()
)


@lru_cache(maxsize=1)
def class_names() -> list[str]:
    """The 1,000 class names, each in its friendliest form ("tabby cat" rather than "tabby")."""
    from timm.data import ImageNetInfo

    names = []
    for line in ImageNetInfo().label_descriptions():
        forms = [form.strip() for form in line.split(",")]
        fuller = [form for form in forms[1:] if form.lower().endswith((" cat", " dog", " corgi"))]
        fuller += [form for form in forms[1:] if re.search(rf"(^| ){re.escape(forms[0])}( |$)", form)]
        names.append(fuller[0] if fuller else forms[0])
    return names


def everyday(index: int) -> str | None:
    """What people call an animal class: "dog" for a golden retriever; None for other things."""
    return next((word for first, last, word in EVERYDAY if first <= index <= last), None)


def blend_names(probabilities: np.ndarray, vectors: np.ndarray, top: int = 10) -> np.ndarray:
    """(N, 1000) probabilities and (1000, D) name vectors → (N, D), as long as the top classes are sure.

    The length, 0 to 1, says how much the classes have to say.
    """
    kept = np.where(probabilities >= np.sort(probabilities, axis=1)[:, -top, None], probabilities, 0.0)
    return (kept @ vectors).astype(np.float32)


@dataclass(frozen=True)
class Thing:
    """A confidently recognised class."""

    name: str  # how to call it: "tabby cat"; the animal ("dog") when the breed is unsure
    stand_in: str  # a word the captioner can write in its place
    words: frozenset[str]  # words that mention it
    probability: float


class Naming:
    """Find the confident class of a picture and check captions against it.

    Parameters
    ----------
    stand_ins : (1000,) per class a word of the captioner's vocabulary close in meaning
    similar : cosine of a word with a class name, from their MiniLM vectors
    """

    def __init__(self, stand_ins: Sequence[str], similar: Callable[[str, int], float]):
        self.stand_ins = stand_ins
        self.similar = similar
        self.groups = [everyday(i) or f"={stand_ins[i]}" for i in range(1000)]
        self.incidental = {" ".join(name.split()) for name in INCIDENTAL}

    def find(self, probabilities: np.ndarray, sure: float = 0.6) -> tuple[Thing, int] | None:
        """The thing that a picture's probabilities (1000,) agree on, and its class; or None.

        Relatives count together: 0.3 tabby and 0.4 tiger cat are a cat at 0.7.
        """
        totals: dict[str, float] = {}
        for i in np.argsort(-probabilities)[:20]:
            totals[self.groups[i]] = totals.get(self.groups[i], 0.0) + float(probabilities[i])
        group, total = max(totals.items(), key=lambda item: item[1])
        best = max((i for i in range(1000) if self.groups[i] == group), key=lambda i: probabilities[i])
        names = class_names()
        if total < sure or names[best] in self.incidental:
            return None
        animal = everyday(best)
        certain = probabilities[best] >= sure or not animal
        name = names[best] if certain else animal or names[best]
        stand_in = animal or self.stand_ins[best]
        words = frozenset({stand_in, *name.lower().split()[-1:], *([animal] if animal else [])})
        return Thing(name, stand_in, words, total), best

    def mentioned(self, caption: str, thing: Thing, index: int, alike: float = 0.5) -> bool:
        """Whether a caption names the thing, a relative of it or something close in meaning."""
        for word in caption.split():
            if singular(word) in thing.words or word in thing.words:
                return True
            if len(word) > 2 and self.similar(word, index) >= alike:
                return True
        return False


def singular(word: str) -> str:
    """A plain guess at the singular of a caption's noun."""
    for ending, replacement in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if word.endswith(ending):
            return word[: -len(ending)] + replacement
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def with_article(noun: str) -> str:
    """"espresso" → "an espresso"."""
    return f"{'an' if noun[0].lower() in 'aeio' or noun.lower().startswith(('umb', 'urn', 'upr')) else 'a'} {noun}"
