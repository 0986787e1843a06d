"""Tones in the user's own folder: found, checked and used like the built-in ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from img2prompt.errors import ConfigError, DataError
from img2prompt.posts import Choices, Seen, compose, tones
from img2prompt.posts.templates import check_tone, load_tone
from img2prompt.web.shared import i18n
from tests.helpers import ROOT

BUILT_IN = ["plain", "minimal", "playful", "poetic", "professional", "storytelling"]
LEAST = """
[hooks]
any = ["Psst: {what}."]

[looks]
any = ["All in {colours}."]

[thoughts]
any = ["Passing it on."]
"""
DOG = Seen("a brown dog runs on the beach", colours=("blue", "white"))


@pytest.fixture
def own_folder(own_data) -> Path:
    """An empty folder for own tones, where the program looks for them."""
    folder = own_data / "tones"
    folder.mkdir(parents=True)
    load_tone.cache_clear()
    yield folder
    load_tone.cache_clear()


def test_without_a_folder_there_are_the_built_in_tones(own_folder):
    own_folder.rmdir()
    assert tones() == BUILT_IN
    own_folder.write_text("not a folder")
    assert tones() == BUILT_IN


def test_a_file_is_a_tone(own_folder):
    (own_folder / "whisper.toml").write_text(LEAST, "utf-8")
    (own_folder / "aside.toml").write_text(LEAST, "utf-8")
    for other in ("notes.txt", "._whisper.toml"):
        (own_folder / other).write_text("no tone")
    assert tones() == [*BUILT_IN, "aside", "whisper"]
    post = compose(DOG, Choices("whisper", goal="question", emoji="off", hashtags=0, variants=1))[0]
    assert post.hook == "Psst: a brown dog running on the beach."
    assert "All in blue and white." in post.text or "Passing it on." in post.text
    assert post.text.endswith("?")  # the questions that all tones share


def test_an_own_tone_replaces_no_built_in_one(own_folder):
    (own_folder / "plain.toml").write_text(LEAST, "utf-8")
    assert tones() == BUILT_IN
    assert not any("Psst" in post.text for post in compose(DOG, Choices(variants=20)))


def test_the_example_is_a_tone(own_folder):
    """Every sentence of it can be used, and is without mistakes."""
    shutil.copy(ROOT / "docs" / "own-tone.toml", own_folder / "mine.toml")
    check_tone("mine")
    texts = [post.text for post in compose(DOG, Choices("mine", emoji="off", hashtags=0, variants=20))]
    assert len(set(texts)) == 20 and all("dog" in text or "Had to share" in text for text in texts[:5])


def test_an_unknown_tone_is_answered_with_the_own_ones_too(own_folder):
    (own_folder / "whisper.toml").write_text(LEAST, "utf-8")
    with pytest.raises(ConfigError, match="choose one of plain, .*storytelling, whisper"):
        check_tone("shout")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hooks", "Expected '='"),
        (b"\xff", "utf-8"),
        (LEAST.encode() + b"[jokes]", "unknown section 'jokes'"),
        (LEAST.replace("[looks]\nany", "[looks]\ncats").encode(), "looks: unknown kind 'cats'"),
        (LEAST.replace("{what}", "{WHAT}").encode(), "unknown slot 'wHAT'"),
        (LEAST.replace("{what}", "{}").encode(), "unknown slot ''"),
        (LEAST.replace("{what}", "{what").encode(), "expected '}'"),
        (LEAST.replace('["Passing it on."]', '"Passing it on."').encode(), "'thoughts' must hold lists"),
        (LEAST.replace('"Passing it on."', "1").encode(), "'thoughts' must hold lists"),
        (
            b"hooks = 'Psst.'" + LEAST.partition("[looks]")[2].join(("\n[looks]", "")).encode(),
            "'hooks' must hold",
        ),
        (b"", "section 'hooks' needs a list 'any'"),
    ],
)
def test_a_wrong_file_is_named(own_folder, content, message):
    file = own_folder / "whisper.toml"
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_tone("whisper")
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(own_folder):
    (own_folder / "whisper.toml").mkdir()
    with pytest.raises(DataError, match=r"whisper\.toml: cannot be read"):
        load_tone("whisper")


def test_the_page_calls_an_own_tone_by_its_name():
    assert i18n.t("tone.whisper") == "Whisper"
