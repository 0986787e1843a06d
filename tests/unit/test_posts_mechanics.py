"""Every post must be free of mechanical faults and of things nobody saw, whatever the caption."""

from __future__ import annotations

import csv
import functools
import itertools
import re
import shutil

import platformdirs
import pytest

from img2prompt.posts import Choices, Seen, alt_text, as_sentence, compose, data
from img2prompt.posts.grammar import lemmas, plural, singular
from img2prompt.posts.mechanics import faults, faults_of, prose
from img2prompt.posts.neutral import plain_words
from img2prompt.posts.phrases import TONES
from img2prompt.posts.platforms import platforms
from img2prompt.posts.post import ALT_LENGTH, EMOJI, GOALS, LANGUAGES, LENGTHS
from img2prompt.posts.templates import load_tone
from img2prompt.training.lite.vocabulary import clean
from tests.helpers import ROOT

DATA = ROOT / "tests" / "helpers"
CAPTIONS = (DATA / "captions.txt").read_text(encoding="utf-8").splitlines()
COLOURS = ("blue", "white")
NOTE = "Busan, with Mina"
OWN = "mine"
FACTS = {*COLOURS, "is", "are", "square", "landscape", "portrait", *re.findall(r"\w+", NOTE.lower())}


@pytest.fixture
def own_tone(tmp_path, monkeypatch) -> str:
    """The example of a tone of one's own, whose sentences take the parts of captions."""
    for variable in ("XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    folder = platformdirs.user_data_path("img2prompt", appauthor=False) / "tones"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "own-tone.toml", folder / f"{OWN}.toml")
    load_tone.cache_clear()
    yield OWN
    load_tone.cache_clear()


@functools.cache
def own_words() -> set[str]:
    """The words of the sentences themselves, of which none is a thing that a picture may show."""
    texts = (ROOT / "docs" / "own-tone.toml").read_text("utf-8") + (
        ROOT / "img2prompt" / "posts" / "calls.toml"
    ).read_text("utf-8")
    quoted = " ".join(re.findall(r'"([^"]*)"', texts))
    words = set(re.findall(r"[a-z][a-z'-]*", re.sub(r"\{\w+\}", " ", quoted).lower()))
    things = {word for word, thing in data.things().items() if thing.kind != "people"}
    assert not words & things
    return words


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
    """Words of a text that are neither in the caption, the note or the facts, nor the sentences' own."""
    seen = words_seen(caption)
    words = set(re.findall(r"[a-z][a-z'-]*", text.lower().replace("’", "'")))
    return {word for word in words - own_words() - FACTS if bases(word).isdisjoint(seen)}


@functools.cache
def words_seen(caption: str) -> set[str]:
    return set().union(*map(bases, plain_words(caption)))


def check(caption: str, choices: Choices) -> None:
    seen = Seen(caption, {}, "landscape", COLOURS)
    variants = compose(seen, choices)
    for variant in variants:
        assert not faults_of(variant, choices), (faults_of(variant, choices), caption, choices, variant.text)
        if choices.tone == OWN:
            bare = prose(variant)
            assert not invented(bare, caption), (invented(bare, caption), caption, variant.text)
            assert not re.search(r"^[a-z]|[.!?] [a-z]", bare, re.MULTILINE), variant.text
    different = {re.sub(r"\W+", " ", variant.text) for variant in variants}
    assert len(different) == choices.variants, (caption, choices, different)
    alt = alt_text(seen, note=choices.note)
    assert 0 < len(alt) <= ALT_LENGTH and not faults(alt), alt
    assert not re.match(r"(an? )?(image|photo|picture) of", alt, re.IGNORECASE), alt


def all_choices(tones: tuple[str, ...]):
    """Every combination of tone, goal, emoji, length, language, and with or without a note."""
    return itertools.product(tones, GOALS, EMOJI, LENGTHS, LANGUAGES, ("", NOTE))


@pytest.mark.parametrize("caption", CAPTIONS)
def test_posts_on_captions_of_every_shape(caption):
    """A tenth of all combinations each; which tenth, and for which platform, changes from caption to caption."""
    mine = itertools.islice(all_choices(TONES), CAPTIONS.index(caption) % 10, None, 10)
    places = itertools.cycle(platforms())
    for seed, (tone, goal, emoji, length, language, note) in enumerate(mine):
        choices = Choices(
            tone, goal, emoji, length, note=note, seed=seed, language=language, platform=next(places)
        )
        check(caption, choices)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_a_tone_of_ones_own_on_captions_of_every_shape(caption, own_tone):
    for seed, (tone, goal, emoji, length, _, note) in enumerate(all_choices((own_tone,))):
        check(caption, Choices(tone, goal, emoji, length, note=note, seed=seed))


def captions_of(split: str, shared_data) -> list[str]:
    with open(shared_data / "flickr8k" / "captions.csv", newline="", encoding="utf-8") as file:
        return [clean(row["caption"]) for row in csv.DictReader(file) if row["split"] == split]


def test_posts_on_what_people_wrote(shared_data, own_tone):
    """All human captions of Flickr8k's test photos, in every tone."""
    captions = captions_of("test", shared_data)
    assert len(captions) == 5000
    rest = itertools.cycle(itertools.product(GOALS, EMOJI, LENGTHS, LANGUAGES, ("", NOTE)))
    for seed, caption in enumerate(captions):
        for tone in (*TONES, own_tone):
            goal, emoji, length, language, note = next(rest)
            check(
                caption,
                Choices(tone, goal, emoji, length, note=note, seed=seed, variants=2, language=language),
            )


def test_the_checks_find_faults():
    for text in (
        "a a dog",
        "A apple.",
        "An dog.",
        "A  dog.",
        "A dog .",
        "A dog,",
        "A dog..",
        "A men.",
        "{scene}",
        "A dog (on a couch.",
    ):
        assert faults(text), text
    for text in ("바다을 보다", "산를 보다", "바다  보다"):
        assert faults(text, "ko"), text
    for text in ("A dog.", "an hour on a couch", "Busan, with Mina", as_sentence("a dog")):
        assert not faults(text), text
    for text in ("바다를 보다", "산을 보다", "노을과 바다"):
        assert not faults(text, "ko"), text
