"""Text in pictures: what is read, what may be repeated, and where it goes."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from img2prompt import ocr
from img2prompt.errors import ConfigError, WeightsError
from img2prompt.ocr import TextReader, public
from img2prompt.posts import Seen, alt_text
from img2prompt.posts.facts import see
from img2prompt.posts.quotes import quote, with_quote, without_quote
from img2prompt.results import Line

rapidocr = pytest.importorskip("rapidocr")


def line(text: str, score: float = 0.99, top: float = 0.4, height: float = 0.2) -> Line:
    return Line(text, score, ((0, top), (1, top), (1, top + height), (0, top + height)))


def draw(*lines: str, size: int = 64) -> Image.Image:
    """A blue sign with white words, one line below the other."""
    picture = Image.new("RGB", (720, 60 + 110 * len(lines)), (20, 60, 120))
    pen = ImageDraw.Draw(picture)
    for number, text in enumerate(lines):
        pen.text((40, 40 + 110 * number), text, "white", ImageFont.load_default(size))
    return picture


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


@pytest.mark.slow
def test_a_sign_is_read_with_its_place(reader):
    sign, blank = reader.read([draw("No bicycles", "Closed today"), Image.new("RGB", (300, 300), "gray")])
    assert [found.text for found in sign] == ["No bicycles", "Closed today"]
    assert all(0.9 < found.score <= 1 for found in sign)
    assert 0 < sign[0].top < sign[1].top < 1
    assert all(0 <= value <= 1 for found in sign for corner in found.box for value in corner)
    assert blank == []


@pytest.mark.slow
def test_numbers_that_belong_to_somebody_and_documents_are_not_repeated(reader):
    sign, passport = reader.read([draw("Call Mina", "010-1234-5678"), draw("PASSPORT", "Mina Kim")])
    assert [found.text for found in sign] == ["Call Mina"]
    assert passport == []


@pytest.mark.parametrize(
    ("text", "is_public"),
    [
        ("OPEN 24 HOURS", True),
        ("Platform 12, 10:45", True),
        ("since 1984 – 2026", True),
        ("$ 12.50", True),
        ("ROUTE 66", True),
        ("Gate B12", True),
        ("24H OPEN", True),
        ("42", True),
        ("NA52 BUU", False),
        ("B-MW 1234", False),
        ("7ABC123", False),
        ("010-1234-5678", False),
        ("+82 10 1234 5678", False),
        ("(212) 555-0134", False),
        ("DE89 3704 0044 0532 0130 00", False),
        ("4111 1111 1111 1111", False),
        ("900101-1234567", False),
        ("mina@example.org", False),
        ("mina @ example.org", False),
    ],
)
def test_what_is_public(text, is_public):
    assert bool(public([line(text)])) is is_public


@pytest.mark.parametrize(
    "text", ["Passport", "운전면허증", "P<KORKIM<<MINA<<<<", "Driver's License", "생년월일"]
)
def test_nothing_of_a_document_is(text):
    assert public([line("Mina Kim"), line(text)]) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        ([line("No bicycles")], "No bicycles"),
        ([line("blurred", score=0.8)], ""),
        ([line("tiny", height=0.01)], ""),
        ([line("42")], ""),
        ([line("says “no”")], ""),
        ([line("below", top=0.6), line("above", top=0.1)], "above below"),
        ([line("TITLE", height=0.3), line("small print", top=0.8, height=0.05)], "TITLE"),
        ([line("word " * 20)], ""),
        (
            [line("a b"), line("c d"), line("e " * 30)],
            "a b c d",
        ),
    ],
)
def test_what_a_person_reads_first(lines, expected):
    assert quote(lines) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a stop sign on a street", "a stop sign that says “Hi” on a street"),
        ("two signs on a wall", "two signs that say “Hi” on a wall"),
        ("a street sign post", "a street sign post"),
        ("a dog on a street", "a dog on a street"),
        ("a sign that says hi", "a sign that says hi"),
    ],
)
def test_a_caption_says_it_where_it_names_what_bears_it(caption, expected):
    assert with_quote(caption, "Hi") == expected
    assert without_quote(expected) == caption
    assert with_quote(caption, "") == caption


def test_an_alt_text_says_it_in_any_case():
    assert (
        alt_text(Seen("a sign on a wall", quote="No bicycles")) == "A sign that says “No bicycles” on a wall."
    )
    assert alt_text(Seen("a dog on a wall", quote="Hotel")) == "A dog on a wall. It reads “Hotel”."
    assert "“Hotel”라고" in alt_text(Seen("a dog on a wall", quote="Hotel"), language="ko")
    assert alt_text(Seen("a dog on a wall", quote="Hotel"), note="Rex at work") == (
        "Rex at work. A dog on a wall. It reads “Hotel”."
    )


@pytest.mark.slow
def test_the_pipeline_reads_where_it_is_told_to(pipeline):
    picture = draw("No bicycles")
    plain = pipeline.describe([picture])[0]
    read = pipeline.with_text(True).describe([picture, Image.new("RGB", (64, 64))])
    assert plain.text == () and "text" not in plain.labels and "text" not in plain.record()
    assert [label for label, _ in read[0].labels["text"]] == ["No bicycles"]
    assert read[0].record()["text"][0]["text"] == "No bicycles"
    assert json.dumps(read[0].record())
    assert read[0].embedding == pytest.approx(plain.embedding, abs=1e-6)
    assert "No bicycles" in alt_text(see(read[0], picture))
    assert see(read[0], picture).caption == plain.caption  # posts are not about bicycles
    assert read[1].text == ()


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(WeightsError, match=r"PP-OCRv6_det_small.onnx is missing"):
        TextReader().read([draw("Hi")])
    monkeypatch.setattr(ocr, "missing", lambda *modules: ["rapidocr"])
    assert not ocr.is_installed()
    with pytest.raises(ConfigError, match="needs rapidocr. Run: "):
        TextReader().read([draw("Hi")])


@pytest.mark.slow
def test_the_command_line(run, tmp_path: Path):
    draw("No bicycles").save(tmp_path / "sign.png")
    code, out, _ = run("caption", tmp_path / "sign.png", "--read-text", "--json")
    assert code == 0
    assert [found["text"] for found in json.loads(out)["text"]] == ["No bicycles"]
    code, out, _ = run("caption", tmp_path / "sign.png", "--json")
    assert "text" not in json.loads(out)
