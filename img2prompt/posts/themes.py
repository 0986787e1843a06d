"""What a picture is about: the themes of the phrasebook that are right for it nine times in ten.

The evidence is the caption and, where the engine has it, the table ``things`` of the labels: the probability that
captions of the picture have a word. How the two count was fitted on captioned photos, see ``docs/posts.md``.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from img2prompt.posts.grammar import caption_verb, is_noun, singular
from img2prompt.posts.neutral import plain_words
from img2prompt.posts.phrases import Theme, by_word, line_of_descent, themes
from img2prompt.posts.post import THINGS, Seen
from img2prompt.posts.prose import first_sentence
from img2prompt.posts.topic import topic

SURE = 0.93  # probability from which a theme counts
# The log odds that a theme is right, by whether the caption names it and the log odds of its likeliest word.
BIAS, NAMED, EXPECTED = 1.0, 1.0, 0.9
UNLISTED = 0.05  # probability of a word that is not in the table
GENERAL = 10  # themes below one that says little: any theme below it is better
SMALL_BREEDS = ("poodle", "terrier", "poodles", "terriers")  # of which there are toy ones
# Verbs that say what a picture is about.
ACTIONS = frozenset(
    """climb cook cycle dance dive jump leap race read ride row run sail sew skate ski sled sleep snowboard splash surf
    swim wade walk""".split()
)
PEOPLES = ("people", "sport")  # themes, with all that is below them
NOT_REAL = frozenset("stuffed toy plush teddy fake statue sculpture painting drawing cartoon poster".split())


def themes_of(seen: Seen) -> list[Theme]:
    """The themes that a picture is surely about, the best first; none is another's ancestor.

    Where an engine names no things, they are those that the caption names.
    """
    things = seen.labels.get(THINGS)
    return list(_themes_of(seen.caption, None if things is None else tuple(map(tuple, things))))


@functools.lru_cache(maxsize=256)  # the same picture is written about again and again
def _themes_of(caption: str, things: tuple[tuple[str, float], ...] | None) -> tuple[Theme, ...]:
    named, unreal = _named(plain_words(first_sentence(caption) or caption))
    places = _with_ancestors({theme: -place for place, theme in enumerate(named)}, max)
    if things is None:
        return _best(_fitting(named, caption), places)
    likely: dict[Theme, float] = {}
    for thing, probability in things:
        for theme in _meant_by(thing):
            likely[theme] = max(likely.get(theme, 0.0), probability)
    chances = _with_ancestors(likely, _either)
    found = [theme for theme in {**places, **chances} if unreal.isdisjoint(line_of_descent(theme))]
    sure = [theme for theme in found if _right(theme in places, chances.get(theme, 0.0)) >= SURE]
    return _best(sorted(_fitting(sure, caption), key=lambda theme: -chances.get(theme, 0.0)), places)


def hint_for(seen: Seen, language: str) -> str:
    """An example of what only a person knows of a picture like this: "Momo, three today"; "" where there is none."""
    above = (theme for found in themes_of(seen)[:1] for theme in line_of_descent(found))
    return next((theme.wording[language].hint for theme in above if theme.wording[language].hint), "")


def named_in(text: str) -> set[Theme]:
    """All themes that a text names, and those above them."""
    return {above for theme in _meant_in(plain_words(text)) for above in line_of_descent(theme)}


def common_themes(pictures: Sequence[Seen]) -> list[Theme]:
    """The themes that all pictures of a carousel share."""
    own = [
        list(dict.fromkeys(above for theme in themes_of(seen) for above in line_of_descent(theme)))
        for seen in pictures
    ]
    return list(_best([theme for theme in own[0] if all(theme in others for others in own)], {}))


def _fitting(found: Sequence[Theme], caption: str) -> list[Theme]:
    """Themes without sports and people's doings where the caption is about an animal: a dog runs, swims and sleeps."""
    if topic([Seen(caption)]).kind != "animals":
        return list(found)
    return [theme for theme in found if not any(above.name in PEOPLES for above in line_of_descent(theme))]


def _named(words: Sequence[str]) -> tuple[list[Theme], set[Theme]]:
    """The themes that a caption names, in order, and those that it names of what is made or painted only.

    "A toy car on a table" shows a toy and a table, and of a painting of cows nothing but the painting is there.
    """
    for place, (word, after) in enumerate(itertools.pairwise(words)):
        if word in NOT_REAL and after not in SMALL_BREEDS and (after == "of" or is_noun(after)):
            end = len(words) if after == "of" else place + 2
            named, unreal = _named([*words[: place + 1], *words[end:]])
            return named, unreal | set(_meant_in(words[place + 1 : end])).difference(named)
    return _meant_in(words), set()


def _right(named: bool, chance: float) -> float:
    """The probability that a theme is right, by whether the caption names it and its likeliest word's."""
    chance = min(max(chance, UNLISTED), 0.999)
    odds = BIAS + NAMED * named + EXPECTED * math.log(chance / (1 - chance))
    return 1 / (1 + math.exp(-odds))


def _best(found: Sequence[Theme], places: Mapping[Theme, float]) -> tuple[Theme, ...]:
    """Themes in the order in which a caption names them, the more particular first; the others after them.

    Of a theme and its ancestors the particular one stays, and of general ones none where there is another.
    """
    order = sorted(found, key=lambda theme: (-places.get(theme, -math.inf), -len(line_of_descent(theme))))
    particular = [theme for theme in order if not _is_general(theme)]
    apart: list[Theme] = []
    for theme in particular or order:
        if all(
            theme not in line_of_descent(other) and other not in line_of_descent(theme) for other in apart
        ):
            apart.append(theme)
    return tuple(apart)


def _with_ancestors(
    found: Mapping[Theme, float], join: Callable[[float, float], float]
) -> dict[Theme, float]:
    """Themes and all above them, with the numbers of those below joined."""
    everything: dict[Theme, float] = {}
    for theme, number in found.items():
        for above in line_of_descent(theme):
            everything[above] = join(everything[above], number) if above in everything else number
    return everything


def _either(one: float, other: float) -> float:
    """The probability that one of two things is there, were they independent: a bus or a car is traffic."""
    return 1 - (1 - one) * (1 - other)


def _bases(words: Sequence[str]) -> Iterator[str]:
    """What the words of a caption are in the phrasebook, in pairs or alone: "clock towers" → "clock tower".

    Of verbs only those that tell what the picture is about: "cars parked" are in no park.
    """
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in NOT_REAL and after in SMALL_BREEDS:
            continue
        verb = caption_verb(word)
        forms = [singular(word), word, *([verb] if verb in ACTIONS else [])]
        known = [form for form in (*(f"{before} {form}" for form in forms), *forms) if form in by_word()]
        yield from known[:1]


def _meant_in(words: Sequence[str]) -> list[Theme]:
    """The themes that words of a caption mean, in order."""
    return list(dict.fromkeys(theme for word in _bases(words) for theme in _meant(word)))


@functools.lru_cache(maxsize=10_000)
def _meant_by(thing: str) -> tuple[Theme, ...]:
    """The theme that a thing means, as a phrase or by its last word: "grand pianos" are pianos."""
    before, _, last = thing.rpartition(" ")
    forms = (thing, f"{before} {singular(last)}".strip(), last, singular(last))
    return next((theme for form in forms if (theme := _meant(form))), ())


@functools.lru_cache(maxsize=10_000)
def _meant(word: str) -> tuple[Theme, ...]:
    """The theme that a word means; of several the one that is called so, else what they all belong to."""
    found = by_word().get(word, ())
    called = [theme for theme in found if theme.name in (word, f"{word}s", f"{word}es")]
    if len(found) == 1 or called:
        return tuple(called[:1] or found)
    lines = [line_of_descent(theme) for theme in found]
    return tuple(theme for theme in lines[0] if all(theme in line for line in lines))[:1] if lines else ()


@functools.cache
def _is_general(theme: Theme) -> bool:
    return sum(theme in line_of_descent(other) for other in themes().values()) > GENERAL
