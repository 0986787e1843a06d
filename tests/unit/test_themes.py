"""The phrasebook: what pictures are about, and the lines that suit them."""

import re

import platformdirs
import pytest

from img2prompt.errors import DataError
from img2prompt.posts import Choices, Seen, compose, data
from img2prompt.posts import themes as choosing
from img2prompt.posts.hashtags import hashtags
from img2prompt.posts.mechanics import faults
from img2prompt.posts.phrases import FOLDER, NOTE, TONES, by_word, line_of_descent, themes
from img2prompt.posts.rules import pattern
from img2prompt.posts.themes import common_themes, hint_for, named_in, themes_of
from img2prompt.results import Match

FILES = data.toml_files(FOLDER)
THEMES = {name: entry for file in FILES for name, entry in data.read_toml(f"{FOLDER}/{file}").items()}
KINDS = {
    **dict.fromkeys(("en", "ko", "parent"), str),
    **dict.fromkeys(("words", "emoji", "tags_en", "tags_ko", "note_en", "note_ko"), list),
    **dict.fromkeys(("lines_en", "lines_ko"), dict),
    "common": bool,
}
HINTS = {"hint_en": str, "hint_ko": str}
GENDERED = re.compile(r"\bhe\b|\bshe\b|\bhis\b|\bher\b|\bguys\b|\bgirls?\b|\bboys?\b|ladies|그녀")
GENERIC = frozenset(
    "love instagood photooftheday photography photo picoftheday instadaily happy follow".split()
)
SIGN = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf#]")
PHOTO = {"mediums": [Match("a stock photo", 0.3)]}


def names(seen: Seen) -> list[str]:
    return [theme.name for theme in themes_of(seen)]


def test_there_is_something_to_say_of_most_things():
    assert len(THEMES) >= 250


@pytest.mark.parametrize("file", FILES)
def test_a_name_stands_once_in_the_phrasebook(file):
    others = [name for other in FILES if other != file for name in data.read_toml(f"{FOLDER}/{other}")]
    assert set(data.read_toml(f"{FOLDER}/{file}")).isdisjoint(others)


@pytest.mark.parametrize("name", THEMES)
def test_a_theme_is_complete(name):
    entry = THEMES[name]
    kinds = {key: type(value) for key, value in entry.items()}
    assert kinds == KINDS | (HINTS if "hint_en" in entry else {})
    assert "hint_en" in entry or entry["parent"] and not entry["common"]
    assert not entry["parent"] or entry["parent"] in THEMES
    tags = (*entry["tags_en"], *entry["tags_ko"])
    assert all(re.fullmatch(r"\w+", tag) and tag.lower() not in GENERIC for tag in tags)
    twice = 2 if entry["common"] else 1
    for language, least in (("en", 18 * twice), ("ko", 9 * twice)):
        lines = entry[f"lines_{language}"]
        noted = entry[f"note_{language}"]
        assert set(lines) == set(TONES) and all(lines.values())
        said = [line for texts in lines.values() for line in texts]
        assert len(said) >= least and len(noted) >= (twice * 2 if language == "en" else twice)
        assert not any("{" in line for line in said)
        assert all(line.count(NOTE) == 1 and not re.search(r"\{note\}\w", line) for line in noted)
        for line in (*said, *(line.replace(NOTE, "Busan") for line in noted)):
            assert line == " ".join(line.split()) and len(line.split()) <= 17, line
            assert not pattern("stale").search(line.lower()) and not SIGN.search(line), line
            assert not GENDERED.search(line.lower()), line
            assert not faults(line, language), line


def test_no_line_stands_under_two_themes():
    seen: dict[str, str] = {}
    for name, entry in THEMES.items():
        for language in ("en", "ko"):
            for tone, lines in entry[f"lines_{language}"].items():
                for line in lines:
                    key = line.casefold().strip(" .!?")
                    assert key not in seen, (line, seen.get(key), name)
                    seen[key] = f"{name}, {tone}"


@pytest.mark.parametrize("name", THEMES)
def test_a_parent_is_no_child_of_its_own(name):
    above = []
    while name:
        assert name not in above
        above.append(name)
        name = THEMES[name]["parent"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("two people riding horses on the beach", ["horses", "beach"]),
        ("a hot dog with mustard on a plate", ["hot_dogs"]),
        ("a person surfing a wave", ["surfing", "waves"]),
        ("a flock of birds flying over the sea", ["birds", "sea"]),
        ("a clock on a wall", []),
        ("a tennis player about to hit the ball", ["tennis"]),
        ("a dog playing with a tennis ball", ["dogs"]),
        ("a dog running and swimming", ["dogs"]),
        ("a cat sleeping on a bed", ["cats", "bed"]),
        ("a person standing next to another person", ["people"]),
        ("a teddy bear leaning against a tree", ["teddy_bear", "trees"]),
        ("a painting of a table with fruit on it", ["painting"]),
        ("a toy poodle", ["dogs"]),
        ("a dog with a toy", ["dogs", "toys"]),
        ("a toy car on a table", ["toys"]),
        ("a dog with a stuffed animal on a couch", ["dogs", "couch"]),
        ("two dogs play with a toy car on the beach", ["dogs", "toys", "beach"]),
        ("cars parked in front of a building", ["cars"]),
        ("", []),
    ],
)
def test_the_themes_of_a_caption_alone(caption, expected):
    assert names(Seen(caption)) == expected


@pytest.mark.parametrize(
    ("caption", "things", "expected"),
    [
        ("two people riding horses on the beach", {"horse": 0.9, "beach": 0.9}, ["horses", "beach"]),
        ("two people riding horses on the beach", {"horse": 0.9, "beach": 0.1}, ["horses"]),
        ("a hot dog on a couch", {"dog": 0.6, "couch": 0.2}, []),  # the caption alone is not enough
        ("something on a table", {"grand piano": 0.97}, ["piano"]),  # nor is it needed
        ("something on a table", {"strawberries": 0.97}, ["berries"]),
        (
            "a kitten on a couch",
            {"cat": 0.9, "kitten": 0.2},
            ["cats"],
        ),  # unsure of the kitten, sure of the cat
        ("a person beside a dog", {"person": 0.95, "dog": 0.95}, ["dogs"]),  # people are too general
        ("a person in a room", {"person": 0.95, "room": 0.2}, ["people"]),
        ("a dog running on sand", {"dog": 0.9, "run": 0.9, "swim": 0.9}, ["dogs"]),
        ("a toy car", {"car": 0.97, "toy": 0.97}, ["toys"]),
        ("a painting of a horse", {"horse": 0.97, "painting": 0.97}, ["painting"]),
        ("anything", {}, []),
    ],
)
def test_the_themes_by_all_evidence(caption, things, expected):
    assert names(Seen(caption, {"things": [Match(*thing) for thing in things.items()]})) == expected


def test_a_carousel_has_the_themes_that_all_its_pictures_share():
    def common(*captions: str) -> list[str]:
        return [theme.name for theme in common_themes([Seen(caption) for caption in captions])]

    assert common("a dog on a couch", "two dogs in the snow") == ["dogs"]
    assert common("a dog on a couch", "a cat in the snow") == ["pets"]
    assert common("a dog on a couch", "a plate of pasta") == []


def test_a_text_names_themes_and_those_above_them():
    assert {theme.name for theme in named_in("A puppy!")} == {"puppies", "dogs", "pets", "animals"}


def test_every_theme_can_be_found():
    found = {
        above.name
        for word in by_word()
        for theme in themes_of(Seen(f"a {word}"))
        for above in line_of_descent(theme)
    }
    by_things = {
        above.name
        for word in by_word()
        for theme in themes_of(Seen("", {"things": [Match(word, 0.99)]}))
        for above in line_of_descent(theme)
    }
    assert set(THEMES) - found - by_things == {"photo_series"}  # which is for carousels


def test_a_word_means_one_theme_at_most():
    for word in by_word():
        assert len(names(Seen(f"a {word}"))) <= len(word.split()), word


def test_lines_of_the_theme_come_with_those_of_its_parents_and_before_those_of_photos():
    photo = Seen("a brown dog", PHOTO)
    hooks = [v.hook for v in compose(photo, Choices("playful", emoji="off", variants=20))]
    of = {
        name: themes()[name].wording["en"].lines["playful"]
        for name in ("dogs", "pets", "animals", "photographs")
    }
    of_dogs = [hook in of["dogs"] for hook in hooks]
    assert of_dogs[:3] == [True, True, False] and sum(of_dogs[:9]) == 6
    assert hooks[2] in (*of["pets"], *of["animals"])
    assert len(set(hooks)) == 20


def test_where_people_are_all_that_is_known_lines_of_any_photo_take_turns():
    posts = compose(Seen("a person standing there", PHOTO), Choices("minimal", emoji="off", variants=6))
    of_people = [v.hook in themes()["people"].wording["en"].lines["minimal"] for v in posts]
    assert of_people == [True, False] * 3


def test_two_themes_take_turns():
    seen = Seen("a dog on the beach", PHOTO)
    posts = compose(seen, Choices("minimal", emoji="off", variants=3))
    of = [
        name
        for v in posts
        for name in ("dogs", "beach", "pets", "animals", "sea", "nature")
        if v.hook in themes()[name].wording["en"].lines["minimal"]
    ]
    assert of == ["dogs", "dogs", "beach"]
    assert {"#dogs", "#beach"} <= {*posts[0].hashtags}


def test_only_a_caption_that_the_engine_trusts_is_repeated():
    for things, repeated in (
        ([Match("toilet", 0.1)], False),
        ([Match("toilet", 0.5), Match("shirt", 0.4)], True),
    ):
        seen = Seen("a person in a shirt is holding a toilet", {"things": things})
        assert any("toilet" in v.text for v in compose(seen, Choices())) == repeated


def test_of_no_painting_it_is_said_that_it_is_a_photo():
    drawn = Seen("a shape", {"mediums": [Match("a watercolor painting", 0.5)]})
    hooks = {v.hook for v in compose(drawn, Choices(emoji="off", variants=20))}
    assert hooks and not hooks & set(THEMES["photographs"]["lines_en"]["plain"])


def test_a_post_of_one_line_begins_with_the_shortest():
    hooks = [
        v.hook for v in compose(Seen("a dog"), Choices("playful", length="line", emoji="off", variants=20))
    ]
    short = [len(hook.split()) <= 4 for hook in hooks]
    assert any(short) and short == sorted(short, reverse=True)


def test_a_long_post_says_more():
    dog = Seen("a brown dog on a couch")
    for variant in compose(dog, Choices(length="long", emoji="off", hashtags=0)):
        hook, body = variant.text.split("\n\n")
        assert hook == variant.hook and body == "A brown dog on a couch."
    stories = themes()["dogs"].wording["en"].lines["storytelling"]
    for variant in compose(dog, Choices("playful", length="long", emoji="off", hashtags=0)):
        assert variant.text.split("\n\n")[1] in stories
    unknown = themes()["photographs"].wording["en"].lines["storytelling"]
    for variant in compose(Seen("", PHOTO), Choices(length="long", emoji="off", hashtags=0)):
        assert variant.text.split("\n\n")[1] in unknown


def test_the_example_of_a_detail_changes_with_the_theme():
    assert hint_for(Seen("a dog"), "en") == THEMES["dogs"]["hint_en"]
    assert hint_for(Seen("a kitten"), "ko")
    assert hint_for(Seen("a gizmo"), "en") == ""


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """An empty folder for lines of one's own, where the program looks for them."""
    for variable in ("XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    folder = platformdirs.user_data_path("img2prompt", appauthor=False) / FOLDER
    folder.mkdir(parents=True)
    forget()
    yield folder
    monkeypatch.undo()
    forget()


def forget():
    """Read the phrasebook anew, as at the next start."""
    choice = (choosing._themes_of, choosing._meant, choosing._meant_by, choosing._is_general)
    for cached in (themes, by_word, *choice):
        cached.cache_clear()


def test_lines_of_ones_own_come_with_the_others(own_folder):
    (own_folder / "mine.toml").write_text(
        '[dogs]\nnote_en = ["{note}, woof"]\n[dogs.lines_en]\nplain = ["Momo says hi"]\n', "utf-8"
    )
    own = themes()["dogs"].wording["en"]
    assert own.lines["plain"][0] == "Momo says hi" and own.noted[0] == "{note}, woof"
    assert len(own.lines["plain"]) == len(THEMES["dogs"]["lines_en"]["plain"]) + 1
    assert compose(Seen("a dog"), Choices())[0].hook.startswith("Momo says hi")
    assert "Busan, woof" in compose(Seen("a dog"), Choices(note="Busan"))[1].text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dogs", "Expected '='"),
        ("[doggos]", "there is no theme 'doggos'"),
        ("[dogs]\nwords = ['x']", "dogs has 'words'"),
        ("[dogs]\nlines_en = 5", "must be a table"),
        ("[dogs.lines_en]\nplain = ['x}']", "no braces"),
        ("[dogs.lines_en]\nrude = ['x']", "dogs has a tone 'rude'"),
        ("[dogs.lines_en]\nplain = 'x'", "must be a list"),
        ("[dogs.lines_en]\nplain = ['{note}, x']", "no braces"),
        ("[dogs]\nnote_en = ['x']", "must have {note} once"),
        ("[dogs.lines_en]\nplain = ['']", "must be one line"),
        (f"[dogs.lines_en]\nplain = ['{'x' * 201}']", "at most 200"),
        ("dogs = 1", "dogs.toml: "),
    ],
)
def test_a_wrong_file_of_ones_own_is_named(own_folder, content, message):
    (own_folder / "dogs.toml").write_text(content, "utf-8")
    with pytest.raises(DataError) as caught:
        themes()
    assert "dogs.toml: " in str(caught.value) and message in str(caught.value)


def test_every_theme_has_a_line_of_descent_without_gaps():
    assert [theme.name for theme in line_of_descent(themes()["puppies"])] == [
        "puppies",
        "dogs",
        "pets",
        "animals",
    ]


def test_tags_that_say_photo_are_of_photos_only():
    photo, painting = (
        {"mediums": [Match(medium, 0.4)], "things": [Match("street", 0.97)]}
        for medium in ("a stock photo", "an oil painting")
    )
    for language in ("en", "ko"):
        choices = Choices(language=language, hashtags=5)
        of = [hashtags(Seen("a city street", labels), choices) for labels in (photo, painting)]
        says = [[tag for tag in tags if "photo" in tag or "사진" in tag] for tags in of]
        assert says[0] and not says[1] and of[1]


@pytest.mark.parametrize("medium", ["a digital painting", "an oil painting", "a stock photo"])
def test_a_theme_whose_tags_all_say_photo_may_have_none(medium):
    seen = Seen("a person taking a photo", {"mediums": [Match(medium, 0.4)]})
    tags = " ".join(tag for language in ("en", "ko") for tag in hashtags(seen, Choices(language=language)))
    assert ("photo" in tags and "사진" in tags) == (medium == "a stock photo")
    assert all(post.text for post in compose(seen, Choices()))
