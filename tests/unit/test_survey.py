"""dataset explore: what is counted, and the report."""

import csv
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from img2prompt.cli.main import main
from img2prompt.datasets.report import report
from img2prompt.datasets.survey import PromptSet, load_sets, survey
from img2prompt.datasets.table import Limits
from img2prompt.errors import DataError
from img2prompt.minilm import SentenceEncoder

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> <b>bold</b>"
TRAIN = [f"a {colour} {thing} in the snow, oil on canvas, by Greg Rutkowski" for colour in
         ("red", "blue", "green", "black") for thing in ("fox", "boat", "castle")]  # fmt: skip
VALID = [f"a {dish} on a wooden table, food photography" for dish in
         ("pizza", "soup", "salad", "burger", "cake", "curry")]  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder()


@pytest.fixture
def pairs(tmp_path):
    """A folder of pairs with two splits, markup in a prompt, a copy, and a picture that is none."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    texts = [*TRAIN, TRAIN[0], EVIL, *VALID, TRAIN[1]]
    with open(folder / "prompts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("imgId", "split", "prompt"))
        for i, text in enumerate(texts):
            writer.writerow((f"p{i}", "train" if i < 14 else "valid", text))
            grey = Image.new("RGB", (40 + 8 * (i % 3), 32), (10 * i, 10 * i, 10 * i))
            grey.save(folder / "images" / f"p{i}.png")
    (folder / "images" / "p5.png").write_bytes(b"no picture")
    return folder


def test_surveys_what_is_there(pairs, encoder):
    found = survey(load_sets(pairs), encoder)
    assert [group.name for group in found.groups] == ["set train", "set valid"]
    assert found.equal == 2 and found.compared == 21
    assert dict(found.styles)["by Greg Rutkowski"] == 14
    assert dict(found.phrases)["oil on canvas"] == 14 and dict(found.words)["snow"] == 14
    assert "the" not in dict(found.words)
    assert found.lengths["set valid"] == [8, 8, 8, 8, 8, 8, 12]
    assert found.places.shape == (21, 2) and np.isfinite(found.places).all()
    assert [len(found.unreadable), found.unreadable[0][:3]] == [1, "p5:"]
    by_name = {name: picture for (_, name, _), picture in zip(found.mapped, found.pictures, strict=True)}
    assert by_name["p5"] is None
    assert (by_name["p4"].width, by_name["p4"].height) == (48, 32)
    assert by_name["p4"].brightness == pytest.approx(40 / 255, abs=0.01)
    (drift,) = found.drifts
    assert drift.separability > 0.8 and (drift.nearest >= 0.95).sum() == 1


def test_groups_that_are_alike_show_no_drift(encoder):
    texts = [f"a {thing} in {place}" for thing in ("cat", "dog", "bird", "man", "boat", "car", "tree", "cup")
             for place in ("rome", "snow", "space", "a box", "the sea", "a field", "my hand", "the rain")]  # fmt: skip
    rng = np.random.default_rng(0)
    mixed = [texts[i] for i in rng.permutation(len(texts))]
    found = survey([PromptSet("a", mixed, mixed[:32]), PromptSet("a", mixed, mixed[32:])], encoder)
    assert [group.name for group in found.groups] == ["a (1)", "a (2)"]
    assert 0.2 < found.drifts[0].separability < 0.75


@pytest.mark.parametrize("texts", [["one"], ["", "", ""], ["same words"] * 12, ["x" * 5000, "😀"]])
def test_reports_on_small_and_odd_sets(encoder, texts):
    group = PromptSet("odd", [str(i) for i in range(len(texts))], texts)
    assert "<h2>Map</h2>" in report(survey([group, group], encoder), "odd")


def test_the_report_holds_all_it_shows(pairs, tmp_path, capsys):
    (tmp_path / "other.txt").write_text("a fox in snow\nanother one\n", "utf-8")
    out = tmp_path / "report.html"
    with pytest.raises(SystemExit) as left:
        arguments = ["dataset", "explore", pairs, "-o", out, "--against", tmp_path / "other.txt"]
        main([str(argument) for argument in arguments])
    assert left.value.code == 0 and "23 prompts explored" in capsys.readouterr().err
    page = out.read_text("utf-8")
    body = page[page.rindex("</script></head>") :]
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", body)
    assert EVIL[:20] not in body and "document.title='owned'</script>" not in body
    assert body.count("data:image") > 3 and "other.txt" in body and "p5: " in body


def test_draws_the_same_rows_of_large_sets(encoder, monkeypatch):
    monkeypatch.setattr("img2prompt.datasets.survey.EMBEDDED", 15)
    monkeypatch.setattr("img2prompt.datasets.survey.MAPPED", 12)
    group = PromptSet("train", list(map(str, range(18))), [*TRAIN, *VALID])
    found, again = survey([group], encoder), survey([group], encoder)
    assert (found.compared, len(found.mapped), len(found.lengths["train"])) == (15, 12, 18)
    assert found.mapped == again.mapped


def test_says_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="has no CSV"):
        load_sets(tmp_path)
    (tmp_path / "empty.csv").write_text("imgId,prompt\n")
    with pytest.raises(DataError, match="has no rows"):
        load_sets(tmp_path / "empty.csv")


@pytest.mark.parametrize(("name", "row"), [("many.txt", b"a\n"), ("many.csv", b"1,a\n")])
def test_rows_are_counted_while_they_are_read(name, row):
    content = b"imgId,prompt\n" + row * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"{name} has more than 10,000 rows"):
            load_sets(name, content, Limits(rows=10_000, characters=20))
        assert tracemalloc.get_traced_memory()[1] < len(content)
    finally:
        tracemalloc.stop()
    sets = load_sets(name, content[: len(b"imgId,prompt\n") + 9999 * len(row)], Limits(10_000, 20))
    assert len(sets[0].texts) in (9999, 10_000)


def test_lines_of_a_text_file(tmp_path):
    content = "\ufeffone\r\n\n  \ntwo \u2028 parts\rof it\nlast".encode()
    (sets,) = load_sets("prompts.txt", content)
    assert (sets.ids, sets.texts) == (["1", "4", "5"], ["one", "two \u2028 parts\rof it", "last"])
