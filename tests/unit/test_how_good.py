"""docs/how-good.md and the table of its pictures and verdicts, benchmarks/how_good.toml."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import how_good
from benchmarks.how_good import KINDS, STALE, VERDICTS, locate, page, read_table
from img2prompt.results import Match, Result

PICTURES = read_table()
PAGE = how_good.PAGE.read_text("utf-8")
ROWS = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}


def said(prompt: str) -> Result:
    """What an engine might say of a picture."""
    labels = {"mediums": [Match("a photo", 0.5)]}
    return Result(prompt.partition(",")[0], prompt, labels, np.zeros(384, np.float32), "lite", 0.1, {})


AS_JUDGED = {picture.name: said(picture.judged) for picture in PICTURES}


def test_the_table_can_be_shown():
    assert len({picture.name for picture in PICTURES}) == len(PICTURES)
    assert {picture.kind for picture in PICTURES} <= set(KINDS)
    assert {picture.verdict for picture in PICTURES} <= set(VERDICTS)


def test_the_page_has_the_pictures_of_the_table():
    assert list(ROWS) == [picture.file for kind in KINDS for picture in PICTURES if picture.kind == kind], (
        "write it anew with: make how-good"
    )


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_row_has_the_verdict_of_the_table(picture):
    row = ROWS[picture.file]
    assert f"<br>{how_good.escape(picture.shows)} |" in row
    assert row.endswith(f"**{picture.verdict}**: {how_good.escape(picture.why)} |")
    assert (STALE in row) != (f"<br>{how_good.escape(picture.judged)}<br>" in row)


def test_the_page_counts_its_verdicts():
    """Those that are not stale, by kind and together."""
    words = {
        picture.name: said("other" if STALE in ROWS[picture.file] else picture.judged) for picture in PICTURES
    }
    assert how_good.summary(PICTURES, words) in PAGE


def test_all_else_on_the_page_is_what_the_command_writes():
    def without_rows(text):
        return [line for line in text.partition("*Right*")[2].splitlines() if not line.startswith("| `")]

    assert without_rows(PAGE) == without_rows(page(PICTURES, AS_JUDGED)), "write it anew with: make how-good"


def test_a_verdict_on_other_words_is_stale_and_does_not_count():
    right = next(picture for picture in PICTURES if picture.verdict == "right")
    before = page(PICTURES, AS_JUDGED)
    after = page(PICTURES, AS_JUDGED | {right.name: said("a dog on a lawn, a photo")})
    number = sum(picture.verdict == "right" for picture in PICTURES)
    assert STALE not in before and f"right for {number}," in before
    (stale,) = (line for line in after.splitlines() if STALE in line)
    assert right.file in stale and "**A dog on a lawn.**" in stale and right.why in stale
    assert f"right for {number - 1}," in after and " 1 more " in after


def test_words_do_not_break_the_table():
    row = how_good.row(PICTURES[0], said("a `cat` | a *dog*, <b>"))
    assert r"a \`cat\` \| a \*dog\*, \<b>" in row


def test_says_what_to_do_where_scikit_image_is_missing(tmp_path, monkeypatch):
    picture = next(picture for picture in PICTURES if picture.file.startswith("skimage/"))
    with pytest.raises(SystemExit, match=rf"{picture.file} is not in .*make how-good.*--skimage"):
        locate(picture, tmp_path)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(SystemExit, match=rf"{picture.file} .* not installed.*make how-good"):
        locate(picture)


def test_finds_the_pictures_of_a_folder(tmp_path):
    picture = replace(PICTURES[0], file="skimage/data/x.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.png").touch()
    assert locate(picture, tmp_path) == Path(tmp_path, "data", "x.png")


@pytest.mark.slow
def test_the_command_says_what_the_page_says(pipeline, capsys, monkeypatch):
    """Of pictures that are always here; labels may swap places on other processors, captions do not."""
    monkeypatch.setattr(how_good, "load_pipeline", lambda settings: pipeline)
    monkeypatch.setattr(how_good, "read_table", lambda: [replace(each, judged="other") for each in PICTURES])
    how_good.main(["china.jpg", "flower.jpg"])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == printed.out.count(STALE) == printed.err.count('\njudged = "a') == 2
    for line in lines:
        caption = line.split("<br>")[1].rpartition("| ")[2]
        assert caption in ROWS[line.split("`")[1]], "write the page anew with: make how-good"
    with pytest.raises(SystemExit):
        how_good.main(["nobody.jpg"])
