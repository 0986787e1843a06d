"""A person's own manner of writing, measured and followed; and what platforms count."""

import pytest

from img2prompt.errors import ConfigError
from img2prompt.posts import Choices, Seen, compose
from img2prompt.posts.limits import cut, size, weight
from img2prompt.posts.platforms import platforms
from img2prompt.posts.voice import SIGNS, Voice, captions_in, often

QUIET = ("sunday, slowly", "back at the sea", "coffee first", "i know this road 🌿")
LOUD = (
    "SO happy today!! 🎉\n\n#party #friends",
    "What a week! 🎉\n\n#friends #fun",
    "We did it! 🎉🎉\n\n#party #us",
)
PROPER = ("I came for the coffee and stayed for the light.", "It was a long way up. It was worth it.")
DOG = Seen("a brown dog on the beach")


def test_what_is_measured():
    quiet, loud, proper = (Voice.of(captions) for captions in (QUIET, LOUD, PROPER))
    assert (quiet.words, quiet.small, quiet.emoji, quiet.hashtags) == (3.0, 1.0, 0.25, 0)
    assert (loud.cries, loud.emoji, loud.hashtags) == (1.0, 1.0, 2)
    assert (proper.stops, proper.small, proper.words) == (1.0, 0.0, 10.0)
    assert Voice.of(("오늘도 바다",)).small == 0.0  # Hangul has no case


def test_posts_follow_it():
    quiet = compose(DOG, Choices("plain", voice=QUIET, variants=8))
    assert all(post.text == post.text.lower() and not post.hashtags for post in quiet)
    assert sum(SIGNS.search(post.text) is not None for post in quiet) == 2
    assert all(len(post.hook.split()) <= 7 for post in quiet)
    loud = compose(DOG, Choices("plain", voice=LOUD))
    assert all("!" in post.hook and len(post.hashtags) == 2 for post in loud)
    proper = compose(DOG, Choices("storytelling", voice=PROPER, emoji="off", hashtags=0))
    assert all(post.text.endswith(".") for post in proper)


def test_a_number_of_hashtags_that_was_chosen_counts_more_than_the_voice():
    assert all(len(post.hashtags) == 3 for post in compose(DOG, Choices(voice=QUIET, hashtags=3)))


def test_a_note_is_in_the_voice_too():
    posts = compose(DOG, Choices(voice=QUIET, note="Busan, with Mina"))
    assert all("busan, with mina" in post.text for post in posts)


def test_a_call_is_in_the_voice_and_an_address_stays_as_it_is():
    note = "See https://example.com/AbC by @Mina"
    for post in compose(DOG, Choices("plain", "question", voice=QUIET, note=note, emoji="off")):
        assert "see https://example.com/AbC by @Mina" in post.text
        assert post.text.replace("AbC", "").replace("@Mina", "").islower()


def test_a_share_is_met_turn_by_turn():
    for share in (0.0, 0.25, 1 / 3, 0.5, 1.0):
        assert sum(often(share, turn) for turn in range(60)) == round(60 * share)


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("one\ntwo\nthree", ("one", "two", "three")),
        ("one\nstill one\n\ntwo", ("one\nstill one", "two")),
        ("one\r\n\r\n\r\ntwo\r\n", ("one", "two")),
        ("  one \x00\u202e two ", ("one two",)),
        ("#tag\n\none #tag", ("one #tag",)),
        ("\n".join(str(n) for n in range(30)), tuple(str(n) for n in range(10))),
    ],
)
def test_captions_in_a_text(text, captions):
    assert captions_in(text) == captions


@pytest.mark.parametrize(
    ("text", "message"), [("", "no captions"), ("#a #b\n#c", "no captions"), ("x" * 3000, "3,000 characters")]
)
def test_a_text_without_captions_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        captions_in(text)


@pytest.mark.parametrize(
    ("text", "weighs"),
    [
        ("sea", 3),
        ("바다", 4),
        ("é", 1),
        ("🐶", 2),
        ("👨‍👩‍👧‍👦", 2),
        ("🇰🇷", 2),
        ("see https://example.com/a/very/long/address", 27),
        ("“quoted”", 8),
    ],
)
def test_x_weighs_characters(text, weighs):
    assert weight(text) == weighs == platforms()["x"].size(text)


@pytest.mark.parametrize("platform", platforms())
def test_a_post_fits_its_platform(platform):
    place = platforms()[platform]
    choices = Choices(
        "storytelling", "tag", "many", "long", note="말 " * 140, language="ko", platform=platform
    )
    for post in compose(DOG, choices):
        assert place.size(post.text) <= place.post and place.size(post.hook) <= place.fold
        assert len(post.hashtags) <= place.usual <= place.hashtags


def test_a_text_is_cut_by_the_platforms_measure():
    assert cut("바다 바다 바다", 9, size=weight) == "바다…" and weight("바다…") <= 9
    assert size("바다 바다 바다") == 8
