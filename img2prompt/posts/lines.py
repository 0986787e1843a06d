"""Write posts from the lines of the phrasebook: what a person would say under such a picture."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, zip_longest
from typing import Any, NamedTuple

from img2prompt.posts import data, facts
from img2prompt.posts.grammar import COLOURS
from img2prompt.posts.limits import whole
from img2prompt.posts.phrases import NOTE, Theme, Wording, line_of_descent, themes
from img2prompt.posts.post import THINGS, Choices, Seen
from img2prompt.posts.rewriter import Draft
from img2prompt.posts.sentence import as_sentence
from img2prompt.posts.style import is_photo
from img2prompt.posts.themes import common_themes, themes_of
from img2prompt.posts.topic import topic
from img2prompt.posts.voice import voice_of

PHOTOS, PICTURES, SERIES = "photographs", "pictures", "photo_series"  # themes of all that are one
FEW_WORDS = 4  # the median of what people post; a post of one line begins with lines of no more
SENTENCE_ENDS = ".!?…。"
LONGEST_PHRASE = 60  # characters of a note that a line takes up
SHORTEST_DESCRIPTION = 5  # words; "a flute" is no caption
POSSIBLE = 0.3  # probability of a thing that a caption may repeat
PLACE_OF_DESCRIPTION = 2  # among the variants in the plain tone


class PhrasebookRewriter:
    """Takes the lines that suit the picture: those of its themes, of what these belong to, and of photos as such.

    Neighbouring variants differ in theme and form. Seed n starts at page n, so that no line comes again before all
    were shown.
    """

    def write(self, seen: Sequence[Seen], choices: Choices) -> list[Draft]:
        """As `Rewriter.write`; fewer drafts where there are not that many lines."""
        drafts = list(self._drafts(seen, choices))
        start = choices.seed * choices.variants
        return [drafts[i % len(drafts)] for i in range(start, start + min(choices.variants, len(drafts)))]

    def _drafts(self, seen: Sequence[Seen], choices: Choices) -> Iterator[Draft]:
        chosen = themes_of(seen[0]) if len(seen) == 1 else common_themes(seen)
        # The same picture gets the same order; another one with the same themes another.
        dice = random.Random(repr([(picture.caption, picture.colours) for picture in seen]))
        lines = ordered(pools(seen, chosen, choices, dice), choices)
        calls = cycle(calls_to_action(choices, dice) or [""])
        told = chosen or [last_resort(seen)]
        stories = cycle([line.text for line in _lines(told[0], choices, dice, "storytelling")])
        note = choices.detail
        apart = bool(note) and choices.length != "line"  # in a line of its own, not at the end of another
        leads = apart and choices.place.size(note) <= choices.place.fold
        woven = _woven(told, note, choices, dice) if apart and is_phrase(note) else []
        told_below = {_bare(line.text.removeprefix(note)) for line in woven}
        lines = [line for line in lines if _bare(line.text) not in told_below]
        description = as_sentence(topic(seen).sentence)
        plain = choices.tone == "plain" and choices.language == "en" and all(map(is_trusted, seen))
        plain = plain and bool(description)  # a caption of tags is no sentence
        if plain and choices.length != "long" and not choices.voice:
            lines[PLACE_OF_DESCRIPTION:PLACE_OF_DESCRIPTION] = [Line(description)]
        for turn in range(len(lines) + len(woven)):
            # A note by turns: above a line, woven into one, below one.
            line = woven.pop(0) if woven and (turn % 3 == 1 or not lines) else lines.pop(0)
            sentences = [line.text]
            if choices.length == "long":
                more = description if plain else next(stories)
                sentences += [more] if more not in ("", line.text) else []
            if leads and not whole(note).search(line.text) and turn % 3 == 0:
                sentences.insert(0, note)
            yield Draft(sentences[0], tuple(sentences[1:]), next(calls), line.emoji)


class Line(NamedTuple):
    """A line and the theme that it is of; None for a description."""

    text: str
    theme: Theme | None = None

    @property
    def emoji(self) -> tuple[str, ...]:
        return self.theme.emoji if self.theme else ()


def pools(
    seen: Sequence[Seen], chosen: Sequence[Theme], choices: Choices, dice: random.Random
) -> Iterator[list[Line]]:
    """Lines of the chosen themes, then of those above them, then of all pictures that are of this kind."""
    above = dict.fromkeys(parent for theme in chosen for parent in line_of_descent(theme)[1:])
    for theme in [*chosen, *above, last_resort(seen)]:
        yield _lines(theme, choices, dice)


def last_resort(seen: Sequence[Seen]) -> Theme:
    """The theme of all carousels, all photographs, or all pictures."""
    return themes()[SERIES if len(seen) > 1 else PICTURES if is_photo(seen[0]) is False else PHOTOS]


def ordered(pools: Iterator[list[Line]], choices: Choices) -> list[Line]:
    """One order of all lines: two of the first theme, one of another, so that variants differ in theme.

    Where nothing stands beside or above the theme, as above people, those of any photo take turns with it.
    """
    first, *others = pools
    *others, last = others or [[]]
    run = 2 if others else 1
    rest = [line for lines in zip_longest(*(others or [last])) for line in lines if line is not None]
    mixed: list[Line] = []
    while first or rest:
        mixed += [*first[:run], *rest[:1]]
        first, rest = first[run:], rest[1:]
    unique: dict[str, Line] = {}
    for line in [*mixed, *last]:
        unique.setdefault(line.text, line)
    lines = list(unique.values())
    if voice := voice_of(choices):
        lines.sort(key=lambda line: voice.distance(line.text))
    elif choices.length == "line":
        lines.sort(key=lambda line: len(line.text.split()) > FEW_WORDS)
    return lines


def _bare(line: str) -> str:
    """A line as it is compared: "{note}. kept this one" says what "Kept this one!" does."""
    return line.casefold().strip(" ,.!?")


def is_phrase(note: str) -> bool:
    """Whether a sentence can take a note up: it is short, and no sentence of its own."""
    return len(note) <= LONGEST_PHRASE and note[-1] not in SENTENCE_ENDS


def is_trusted(seen: Seen) -> bool:
    """Whether a caption is worth repeating: its colours are in the picture, and its first things are likely there."""
    words = seen.caption.split()
    if len(words) < SHORTEST_DESCRIPTION:
        return False
    if THINGS not in seen.labels:
        return True
    found = {word for name, chance in seen.labels[THINGS] if chance >= POSSIBLE for word in name.split()}
    colours = COLOURS.intersection(words, facts.NAMES)
    first = topic([seen]).things[:2]
    return colours <= set(seen.colours) and all(thing.base in found for thing in first)


def calls_to_action(choices: Choices, dice: random.Random) -> list[str]:
    """The calls for a goal, those of the tone before the others; none without a goal."""
    if choices.goal == "none":
        return []
    by_tone = _calls()[choices.language]
    found = [by_tone[tone][choices.goal] for tone in (choices.tone, "any")]
    return [call for calls in found for call in dice.sample(calls, len(calls))]


def _lines(theme: Theme, choices: Choices, dice: random.Random, tone: str = "") -> list[Line]:
    """The lines of a theme in a tone, in a diced order, the user's own before the others."""
    wording = theme.wording[choices.language]
    return [Line(text, theme) for text in _own_first(wording.lines[tone or choices.tone], wording, dice)]


def _woven(chosen: Sequence[Theme], note: str, choices: Choices, dice: random.Random) -> list[Line]:
    """Lines that take up the person's own words, those of the first theme first."""
    wordings = [(theme, theme.wording[choices.language]) for theme in chosen]
    return [
        Line(text.replace(NOTE, note), theme)
        for theme, wording in wordings
        for text in _own_first(wording.noted, wording, dice)
    ]


def _own_first(texts: Sequence[str], wording: Wording, dice: random.Random) -> list[str]:
    return sorted(dice.sample(texts, len(texts)), key=lambda text: text not in wording.own)


@functools.cache
def _calls() -> Mapping[str, Any]:
    return data.read_toml("calls.toml")
