"""Every post must be free of mechanical mistakes and of things nobody saw, whatever the caption."""

from __future__ import annotations

import csv
import functools
import itertools
import re

import pytest

from img2prompt.posts import Choices, Seen, alt_text, as_sentence, compose, data, tones
from img2prompt.posts.grammar import lemmas, plural, singular
from img2prompt.posts.limits import size
from img2prompt.posts.neutral import plain_words
from img2prompt.posts.post import ALT_LIMIT, EMOJI, GOALS, HOOK_LIMIT, LENGTHS, POST_LIMIT
from img2prompt.posts.themes import lines_for
from img2prompt.training.lite.vocabulary import clean
from tests.helpers import ROOT

DATA = ROOT / "tests" / "helpers"
CAPTIONS = (DATA / "captions.txt").read_text(encoding="utf-8").splitlines()
# The words templates may use: reviewed, and none that stands for something a picture may show.
VOCABULARY = frozenset((DATA / "template_words.txt").read_text(encoding="utf-8").split())
COLOURS = ("blue", "white")
NOTE = "Busan, with Mina"
FACTS = {*COLOURS, "square", "landscape", "portrait", *re.findall(r"\w+", NOTE.lower())}
MISTAKES = re.compile(
    r"""
    [ ]{2} | (?i:\b(?:an?|the)\ (?:an?|the)\b)  # doubled
    | \b[Aa]\ (?=[aeio][a-z])(?!one\b|once|euro|ewe) | \b[Aa]n\ (?=[bcdfgjkpqtvwyz][a-z])  # wrong article
    | \s[.,;:!?](?!\w) | \.\. | ,, | [,;:]\s*$ | [,:;]\s*[.!?] | ^\s | \s$ | [{}] | \bNone\b
    | ^[a-z] | [.!?]\ [a-z]  # a sentence begins small
    | \ban?\ (?:men|women|people|dogs|children)\b(?!')
    """,
    re.VERBOSE,
)
SIGNS = re.compile(r"[ ]?[^\w\s.,;:!?'’…/+\-\"“”(){}]+")  # emoji


def mistakes(text: str) -> list[str]:
    """What is mechanically wrong with an English text."""
    lines = [SIGNS.sub("", line) for line in text.split("\n") if line]
    found = [match.group() for line in lines for match in MISTAKES.finditer(line)]
    unbalanced = (
        text.count('"') % 2 or text.count("“") != text.count("”") or text.count("(") != text.count(")")
    )
    return [*found, "unbalanced"] if unbalanced else found


@functools.cache
def bases(word: str) -> set[str]:
    """The forms that tell whether two words are one: dogs and dog, runs and running."""
    return {
        word,
        re.sub(r"(?:ing|s)$", "", word),
        singular(word),
        plural(word),
        *itertools.chain(*lemmas(word).values()),
    }


def invented(text: str, caption: str) -> set[str]:
    """Words of a text that are neither in the caption, the note or the facts, nor the templates' own."""
    seen = words_seen(caption)
    words = set(re.findall(r"[a-z][a-z'-]*", text.lower().replace("’", "'")))
    return {word for word in words - VOCABULARY - FACTS if bases(word).isdisjoint(seen)}


@functools.cache
def words_seen(caption: str) -> set[str]:
    seen = set().union(*map(bases, plain_words(caption)))
    return seen | {thing.tag for word in seen if (thing := data.things().get(word))}


def check(caption: str, choices: Choices, note: str = "") -> None:
    seen = Seen(caption, {}, "landscape", COLOURS)
    variants = compose(seen, choices)
    # The phrasebook's lines are people's own, and checked by test_themes.py.
    lines = sorted(lines_for(seen, choices.tone), key=len, reverse=True)
    for variant in variants:
        where = f"{caption!r} {choices}\n{variant.text}"
        prose = variant.text.split("\n\n#")[0]
        assert variant.text.startswith(variant.hook) and variant.hook.strip(), where
        assert size(variant.hook) <= HOOK_LIMIT and "\n" not in variant.hook, where
        assert size(variant.text) <= POST_LIMIT, where
        if line := next((line for line in lines if prose.startswith(line)), ""):
            prose = f"Here{prose.removeprefix(line)}"
        assert not mistakes(prose), (mistakes(prose), where)
        assert not invented(prose, caption), (invented(prose, caption), where)
        assert len({tag.casefold() for tag in variant.hashtags}) == len(variant.hashtags) <= choices.hashtags
        assert choices.note in variant.text
    bare = [re.sub(r"\W+", " ", variant.text) for variant in variants]
    assert len(set(bare)) == choices.variants, (caption, choices, bare)
    alt = alt_text(seen)
    assert 0 < size(alt) <= ALT_LIMIT and not mistakes(alt), alt
    assert not re.match(r"(an? )?(image|photo|picture) of", alt, re.IGNORECASE), alt


def all_choices():
    """Every combination of tone, goal, emoji, length and with or without a note."""
    return itertools.product(tones(), GOALS, EMOJI, LENGTHS, ("", NOTE))


@pytest.mark.parametrize("caption", CAPTIONS)
def test_posts_on_captions_of_every_shape(caption):
    """A fifth of all combinations each; which fifth changes from caption to caption."""
    mine = itertools.islice(all_choices(), CAPTIONS.index(caption) % 5, None, 5)
    for seed, (tone, goal, emoji, length, note) in enumerate(mine):
        check(caption, Choices(tone, goal, emoji, length, note=note, seed=seed))


def test_posts_on_what_people_wrote(shared_data):
    """All human captions of Flickr8k's test photos, in every tone."""
    with open(shared_data / "flickr8k" / "captions.csv", newline="", encoding="utf-8") as file:
        captions = [clean(row["caption"]) for row in csv.DictReader(file) if row["split"] == "test"]
    assert len(captions) == 5000
    rest = itertools.cycle(itertools.product(GOALS, EMOJI, LENGTHS, ("", NOTE)))
    for seed, caption in enumerate(captions):
        for tone in tones():
            goal, emoji, length, note = next(rest)
            check(caption, Choices(tone, goal, emoji, length, note=note, seed=seed, variants=2))


def test_the_checks_find_mistakes():
    for text in (
        "a a dog",
        "A apple.",
        "An dog.",
        "A  dog.",
        "A dog .",
        "Dog,",
        "Dog..",
        "dog.",
        "A {scene}.",
        'A "dog.',
    ):
        assert mistakes(text), text
    assert not mistakes("A brown dog runs. An owl, too: nice! 🐶\n\nTwo of us.")
    assert invented("A brown dog on the moon.", "a brown dog") == {"moon"}
    assert as_sentence("") == ""
