"""Captions that do not guess anybody's gender."""

import csv
import itertools
import re

import pytest

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.pipeline import _neutral
from img2prompt.posts import Seen, alt_text, data
from img2prompt.posts.gender import is_gendered, neutral_people
from img2prompt.posts.people import mentions_people
from img2prompt.results import Description
from tests.helpers import ROOT

CASES = {
    # nouns, with their articles
    "a man": "a person",
    "men": "people",
    "the boy is running": "the child is running",
    "a little girl in a pink dress": "a little child in a pink dress",
    "an elderly woman": "an elderly person",
    "an actress on a stage": "an actor on a stage",
    "a fisherman with his catch": "an angler with their catch",
    "the man 's hand": "the person's hand",
    "two men's hands": "two people's hands",
    "another mans arm": "another person's arm",
    "a fire man": "a firefighter",
    "a mother and daughter": "a parent and child",
    "a man cutting a cake with his wife": "a person cutting a cake with their partner",
    "a two-man kayak": "a two-person kayak",
    # nouns that only describe
    "a female athlete jumps": "an athlete jumps",
    "a male in a suit": "a person in a suit",
    "male and female soldiers": "soldiers",
    "an all-girl band": "a band",
    "a woman soldier": "a soldier",
    "girl soccer players": "soccer players",
    "a women's basketball game": "a basketball game",
    "a baby girl": "a baby",
    "teenage girls at a table": "teenagers at a table",
    "a mother bear with her cubs": "a bear with its cubs",
    # pronouns and their verbs
    "a man with his dog": "a person with their dog",
    "a woman brushing her teeth": "a person brushing their teeth",
    "a man looks at himself": "a person looks at themselves",
    "a man hugging her from behind": "a person hugging them from behind",
    "the woman gives her the ball": "the person gives them the ball",
    "a friend of his": "a friend of theirs",
    "he 's riding his bike": "they're riding their bike",
    "while she is holding a bag and runs to her car": "while they are holding a bag and run to their car",
    "she holds balls and bats": "they hold balls and bats",
    "A boy runs and jumps while he screams .": "A child runs and jumps while they scream .",
    "a person has his or her hands full": "a person has their hands full",
    "a dog with his tongue out": "a dog with its tongue out",
    "a dog and his owner": "a dog and its owner",
    "a boy with a dog in his lap": "a child with a dog in their lap",
    # several sentences, as chat models write them
    "A man stands. A woman sits.": "A person stands. Another person sits.",
    "A girl smiles. Her dog sits. He'll run.": "A child smiles. Their dog sits. They'll run.",
    "A woman reads. She’d rather sleep.": "A person reads. They’d rather sleep.",
    "A cat sleeps. His tail is long.": "A cat sleeps. Its tail is long.",
    "UFO above a man. He points at it.": "UFO above a person. They point at it.",
    "A man\n- a boy with his kite": "A person\n- a child with their kite",
    "Behind the woman is his/her bag": "Behind the person is their bag",
    "1girl, 2boys, long hair": "1other, 2others, long hair",
    # people who are of one kind now
    "a man and a woman": "two people",
    "A man and woman are sitting": "Two people are sitting",
    "a man and a woman is on a bench": "two people are on a bench",
    "three men and two women": "five people",
    "two girls and a boy": "three children",
    "a man , a woman and a child": "two people and a child",
    "Men and women in uniform": "People in uniform",
    "a group of men and women": "a group of people",
    "Boys and girls play": "Children play",
    "several men and a woman": "several people",
    "the man and the woman": "the two people",
    "young man and woman playing": "two young people playing",
    "an old man and a young woman": "an old person and a young person",
    "a man in a red shirt and a woman in a hat": "a person in a red shirt and another person in a hat",
    "a man kissing a woman": "a person kissing another person",
    "a bride and groom": "a wedding couple",
    # capitals
    "A MAN RIDING A HORSE": "A PERSON RIDING A HORSE",
    "Female skier going down a hill": "Skier going down a hill",
}
STAYS = """
a person and a child
a gingerbread man
a cowboy hat on a table
a man-made lake
a snowman
a Spider-Man costume
a brown dog with its ball
two people
the hero of a theater
""".strip().splitlines()


@pytest.mark.parametrize(("caption", "neutral"), CASES.items())
def test_neutral(caption, neutral):
    assert neutral_people(caption) == neutral
    assert is_gendered(caption) or "person" in caption


@pytest.mark.parametrize("caption", STAYS)
def test_stays(caption):
    assert neutral_people(caption) == caption


@pytest.mark.parametrize("said", sorted({*data.gender()["nouns"].values()}))
def test_what_is_said_instead_means_people(said):
    assert mentions_people(f"a {said} by a tree") and mentions_people(f"two {neutral_plural(said)} by a tree")


def neutral_plural(noun: str) -> str:
    """The plural as it stands in a caption, found by counting two together."""
    return neutral_people(f"a {noun} and a {noun}").removeprefix("two ")


# Written down apart from the lists that the code reads.
GENDERED = re.compile(
    r"\b(?:m[ae]n|wom[ae]n|boys?|girls?|lady|ladies|guys?|gentlem[ae]n|males?|females?|he|she|his|her|hers|him|"
    r"himself|herself|mothers?|fathers?|moms?|dads?|sons?|daughters?|brothers?|sisters?|wife|husbands?|brides?|"
    r"grooms?|grandmother|grandfather|(?:police|fire|fisher|business)m[ae]n|wait(?:er|ress))\b"
)
NAMES = re.compile(r"(?:spider|pac|bat|super|iron)[ -]man|man[ -]made|gingerbread m[ae]n|no man's land")


def check(captions):
    for caption in captions:
        neutral = neutral_people(caption)
        assert not GENDERED.search(NAMES.sub("", neutral.lower())), (caption, neutral)
        assert not is_gendered(neutral) and neutral_people(neutral) == neutral, (caption, neutral)
        assert not re.search(r"\b(?:a|an) (?:people|children)\b|  ", neutral) or re.search("  ", caption), (
            neutral
        )


def test_no_gender_is_left_in_captions():
    check((ROOT / "tests" / "helpers" / "captions.txt").read_text(encoding="utf-8").splitlines())


def test_no_gender_is_left_in_captions_of_people(shared_data):
    with open(shared_data / "flickr8k" / "captions.csv", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        check(row["caption"] for row in itertools.islice(rows, 0, None, 20))


def test_the_pipeline_says_it(pipeline, shared_data):
    folder = PairsFolder(shared_data / "flickr8k")
    pictures = [pipeline.open(folder.read(pair.name)) for pair in folder.select("dev", 6)]
    seen, neutral = pipeline.with_people("as-seen").describe(pictures), pipeline.describe(pictures)
    assert any(is_gendered(result.caption) for result in seen)
    for before, after in zip(seen, neutral, strict=True):
        assert after.caption == neutral_people(before.caption)
        assert after.prompt.startswith(after.caption) and before.prompt.startswith(before.caption)
        assert after.embedding @ before.embedding > 0.9999  # nobody reads it
        assert not is_gendered(alt_text(Seen(after.caption)))


def test_more_than_the_caption_is_neutral():
    said = Description(
        "a man", "A man reads. He smiles.", "a man, oil on canvas", ("man", "1boy"), "MEN AT WORK", "A man."
    )
    (neutral,), (prompt,) = _neutral([said], ["a man, sunset"], [""])
    assert prompt == "a person, sunset"
    assert neutral == Description(
        "a person",
        "A person reads. They smile.",
        "a person, oil on canvas",
        ("person", "1other"),
        "MEN AT WORK",  # is written there
        "A person.",
    )
