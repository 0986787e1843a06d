"""The phrasebook: what pictures are about, and the lines that suit them."""

import re

import pytest

from img2prompt.posts import Choices, Seen, compose, data, tones
from img2prompt.posts.themes import FOLDER, lines_for, theme_of
from img2prompt.posts.topic import topic
from img2prompt.results import Match
from tests.unit.test_posts_mechanics import mistakes

FILES = data.toml_files(FOLDER)
THEMES = {name: entry for file in FILES for name, entry in data.read_toml(f"{FOLDER}/{file}").items()}
KINDS = {
    **dict.fromkeys(("en", "ko", "parent", "phrase"), str),
    **dict.fromkeys(("words", "classes", "emoji", "tags_en", "tags_ko"), list),
    **dict.fromkeys(("lines_en", "lines_ko"), dict),
    "common": bool,
}
# What everybody says, what is true of some only, and what guesses at people.
STALE = re.compile(
    r"whole mood|\bmood\b|\bvibes?\b|vibing|plot twist|no caption|best life|rest my case|main character|core memory|"
    r"chef's kiss|hits different|slay|it's giving|blessed|adulting|wanderlust|paradise found|nothing beats|happy place|"
    r"\bpov\b|caught in the act|picture perfect|say cheese|life is better|but first|keep calm|because why not|nutshell|"
    r"sorry not sorry|enough said|\bhe\b|\bshe\b|\bhis\b|\bher\b|\bguys\b|\bgirls?\b|\bboys?\b|ladies|stunning|그녀"
)
SLOT = re.compile(r"\{(?:place|name|note)\}")
BEGINS_SMALL = re.compile(r"(?<=[.!?]) (?=[a-z])|^(?=[a-z])")  # as no sentence of a template may
SIGN = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf#]")


def test_there_is_something_to_say_of_most_things():
    assert len(THEMES) >= 250


@pytest.mark.parametrize("file", FILES)
def test_a_name_stands_once_in_the_phrasebook(file):
    others = [name for other in FILES if other != file for name in data.read_toml(f"{FOLDER}/{other}")]
    assert set(data.read_toml(f"{FOLDER}/{file}")).isdisjoint(others)


@pytest.mark.parametrize("name", THEMES)
def test_a_theme_is_complete(name):
    entry = THEMES[name]
    assert {key: type(value) for key, value in entry.items()} == KINDS
    assert not entry["parent"] or entry["parent"] in THEMES
    assert all(re.fullmatch(r"\w+", tag) for tag in (*entry["tags_en"], *entry["tags_ko"]))
    twice = 2 if entry["common"] else 1
    for language, least in (("en", 18 * twice), ("ko", 9 * twice)):
        lines = entry[f"lines_{language}"]
        assert set(lines) == set(tones()) and all(lines.values())
        said = [line for texts in lines.values() for line in texts]
        assert len(said) >= least
        assert len({line.casefold() for line in said}) == len(said)
        for line in said:
            assert line == " ".join(line.split()) and len(line.split()) <= 16, line
            assert not STALE.search(line.lower()) and not SIGN.search(line), line
            if language == "en":
                assert not mistakes(BEGINS_SMALL.sub("I ", SLOT.sub("Busan", line))), line


@pytest.mark.parametrize("name", THEMES)
def test_a_parent_is_no_child_of_its_own(name):
    above = []
    while name:
        assert name not in above
        above.append(name)
        name = THEMES[name]["parent"]


@pytest.mark.parametrize(
    ("caption", "theme"),
    [
        ("two people riding horses on the beach", "horses"),
        ("a hot dog with mustard on a plate", "hot_dogs"),
        ("a person surfing a wave", "surfing"),
        ("a flock of birds flying over the sea", "birds"),
        ("a clock on a wall", None),
        ("a tennis player about to hit the ball", "tennis"),
        ("a dog playing with a tennis ball", "dogs"),
        ("a person standing next to another person", "people"),
        ("a teddy bear leaning against a tree", None),
        ("a painting of a table with fruit on it", None),
        ("cars parked in front of a building", "cars"),
        ("", None),
    ],
)
def test_the_theme_of_a_caption(caption, theme):
    found = theme_of(topic([Seen(caption)]))
    assert (found.name if found else None) == theme


def test_lines_of_the_theme_come_before_those_of_its_parents_and_of_photos():
    photo = Seen("a brown dog on a couch", {"mediums": [Match("a stock photo", 0.3)]})
    lines = lines_for(photo, "playful")
    order = ("dogs", "pets", "animals", "photographs")
    expected = [line for name in order for line in THEMES[name]["lines_en"]["playful"]]
    assert lines == list(dict.fromkeys(expected))
    assert [v.hook for v in compose(photo, Choices("playful", emoji="off", variants=3))] == lines[:3]


def test_no_line_has_a_gap():
    assert not any("{" in line for tone in tones() for line in lines_for(Seen("a plate of food"), tone))


def test_of_no_painting_it_is_said_that_it_is_a_photo():
    lines = lines_for(Seen("a castle", {"mediums": [Match("a watercolor painting", 0.5)]}), "plain")
    assert not set(THEMES["photographs"]["lines_en"]["plain"]) & set(lines)


def test_a_post_of_one_line_begins_with_the_shortest():
    hooks = [
        v.hook for v in compose(Seen("a dog"), Choices("playful", length="line", emoji="off", variants=20))
    ]
    short = [len(hook.split()) <= 4 for hook in hooks[:10]]
    assert any(short) and short == sorted(short, reverse=True)


def test_a_long_post_has_no_description_where_nothing_is_known():
    photo = Seen("", {"mediums": [Match("a stock photo", 0.3)]})
    for variant in compose(photo, Choices(length="long", emoji="off", hashtags=0)):
        assert variant.text == variant.hook


def test_a_long_post_says_once_what_is_seen():
    for variant in compose(Seen("a brown dog on a couch"), Choices(length="long", emoji="off", hashtags=0)):
        hook, body = variant.text.split("\n\n")
        assert hook == variant.hook and body == "A brown dog on a couch."
