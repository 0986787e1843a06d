"""The prompt in a picture's file, from the command line to the exports: given where it is wanted, and never in posts."""

import csv
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest
from PIL import Image
from pyarrow import parquet

from img2prompt.evaluation.stored import words_of
from img2prompt.pipeline import Pipeline
from img2prompt.posts import Choices, compose, see
from tests.helpers import records
from tests.helpers import stored as files
from tests.helpers.pictures import CHINA, FLOWER
from tests.helpers.stored import DREAM, INFOTEXT, UGLY

RECORD = {
    "prompt": DREAM,
    "negative": UGLY,
    "model": "dreamy_v3",
    "sampler": "DPM++ 2M Karras",
    "steps": 28,
    "seed": 1234567890,
    "size": [832, 1216],
    "tool": "AUTOMATIC1111",
}


@pytest.fixture
def folder(tmp_path):
    """A picture with a prompt, one that a model made, one with notes, and a photo that says nothing."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with Image.open(FLOWER) as flower:
        dream = flower.resize((96, 64))
    (pictures / "dream.png").write_bytes(files.png({"parameters": INFOTEXT}, dream))
    (pictures / "graph.webp").write_bytes(
        files.with_exif("WEBP", first={files.Base.Model: f"prompt:{json.dumps(files.graph(seed=2**64 - 1))}"})
    )
    (pictures / "noted.jpg").write_bytes(
        files.with_segment(0xED, files.iptc({5: ["A title"], 90: ["Busan"]}))
    )
    with Image.open(CHINA) as china:
        china.resize((96, 64)).save(pictures / "plain.jpg")
    return pictures


def test_metadata_as_json(run, folder, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    paths = [*sorted(folder.iterdir()), tmp_path / "broken.png", folder]
    code, out, err = run("metadata", *paths, "--json")
    dream, graph, noted, plain, broken, directory = records(out)
    assert code == 3 and "broken.png is not a readable" in err
    assert dream == {"path": str(paths[0]), "stored": RECORD, "notes": None}
    assert (graph["stored"]["seed"], graph["stored"]["tool"]) == (2**64 - 1, "ComfyUI")
    notes = {"title": "A title", "description": None, "keywords": None, "date": None, "place": "Busan"}
    assert (noted["stored"], noted["notes"]) == (None, notes)
    assert plain == {"path": str(paths[3]), "stored": None, "notes": None}
    assert "not a readable" in broken["error"] and "is a folder" in directory["error"]


def test_metadata_for_people(run, folder):
    code, out, _ = run("metadata", *sorted(folder.iterdir()))
    assert code == 0
    assert f"prompt       {DREAM}\nnegative     {UGLY}\nmade with    AUTOMATIC1111, dreamy_v3, " in out
    assert "title        A title\nplace        Busan\n" in out
    assert f"{folder / 'plain.jpg'}\nnothing is stored\n" in out


def test_metadata_loads_no_model(folder):
    """Nor what models need, so that it answers at once."""
    code = (
        "import sys; from img2prompt.cli.main import app; "
        "app(['metadata', sys.argv[1]], standalone_mode=False); "
        "print(*({'onnxruntime', 'torch', 'tokenizers', 'streamlit'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "dream.png"], check=True, capture_output=True, text=True
    )
    assert DREAM in done.stdout and done.stdout.endswith("\n\n")


def test_captions_come_with_it_unless_it_is_to_be_left_out(run, folder):
    paths = [folder / "dream.png", folder / "plain.jpg"]
    dream, plain = records(run("caption", *paths, "--json")[1])
    assert dream["stored"] == RECORD and plain["stored"] is None
    assert DREAM not in dream["prompt"]
    assert f"stored    {DREAM}\n" in run("caption", *paths)[1]
    for way in (["--no-stored"], ["--set", "stored=no"]):
        assert [each["stored"] for each in records(run("caption", *paths, "--json", *way)[1])] == [None, None]
        assert "lighthouse" not in run("caption", *paths, *way)[1]


def test_a_result_has_it_whatever_way_the_picture_comes(pipeline, folder):
    path = folder / "dream.png"
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        assert pipeline(source)[0].stored.record() == RECORD
    pictures = [pipeline.open(file) for file in sorted(folder.iterdir())]
    assert [bool(result.stored) for result in pipeline.describe(pictures)] == [True, True, False, False]
    without = replace(pipeline.settings, stored=False)
    silent = Pipeline(pipeline.engine, pipeline.sentences, pipeline.tables, without)
    assert silent(path)[0].stored is None


def test_posts_never_have_it(run, pipeline, folder):
    _, out, _ = run("post", folder / "dream.png", folder / "noted.jpg", "--json")
    assert "lighthouse" not in out and "A title" not in out and "Busan" not in out
    picture = pipeline.open(folder / "dream.png")
    (result,) = pipeline.describe([picture])
    seen = see(result, picture)
    posts = compose(seen, Choices(variants=20))
    assert not any(word in repr((seen, posts)) for word in ("lighthouse", "dreamy", "등대"))


def test_batches_have_columns_for_it(run, folder, tmp_path):
    def export(kind, *options):
        out = tmp_path / f"out.{kind}"
        code = run(
            "batch", folder, "-o", out, "--journal", tmp_path / "journal", "--tone", "plain", *options
        )[0]
        assert code == 0
        return out

    found = records(export("jsonl").read_text("utf-8"))
    assert [each["stored"] and each["stored"]["prompt"] for each in found] == [DREAM, DREAM, None, None]
    assert found[0]["stored"] == RECORD
    assert "lighthouse" not in "".join(each["post"] + each["alt_text"] for each in found)
    table = parquet.read_table(export("parquet")).to_pylist()
    assert [each["stored"] for each in table] == [each["stored"] for each in found]
    with open(export("csv"), newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["stored_prompt"] for row in rows] == [DREAM, DREAM, "", ""]
    assert rows[0]["stored_negative"] == UGLY
    assert rows[0]["stored_settings"] == (
        "AUTOMATIC1111, dreamy_v3, DPM++ 2M Karras, 28 steps, seed 1234567890, 832×1216"
    )
    # A file that lies fails no export, nor does a journal that believed it.
    hostile = files.graph(seed=2**64 - 1)
    hostile["3"]["inputs"]["steps"], hostile["5"]["inputs"]["width"] = 2**63, 2**63
    (folder / "graph.webp").write_bytes(
        files.with_exif("WEBP", first={files.Base.Model: f"prompt:{json.dumps(hostile)}"})
    )
    export("jsonl")
    with closing(sqlite3.connect(tmp_path / "journal")) as database, database:
        database.execute(
            "UPDATE results SET stored = json_set(stored, '$.steps', ?) WHERE stored != ''", [2**63 - 1]
        )
        database.execute("UPDATE results SET stored = replace(stored, ?, ?)", [str(2**63 - 1), str(2**63)])
    table = parquet.read_table(export("parquet")).to_pylist()
    assert [each["stored"] and each["stored"]["steps"] for each in table] == [None] * 4
    assert (table[1]["stored"]["seed"], table[1]["stored"]["size"]) == (2**64 - 1, None)
    assert [each["error"] for each in table] == [None] * 4
    # What was described with it is not described again without it.
    code, _, err = run(
        "batch", folder, "-o", tmp_path / "o.csv", "--journal", tmp_path / "journal", "--no-stored"
    )
    assert code == 0 and "tried now" not in err
    for kind in ("csv", "jsonl", "parquet"):
        out = export(kind, "--no-stored")
        assert b"lighthouse" not in out.read_bytes() and b"ComfyUI" not in out.read_bytes()
    with open(tmp_path / "out.csv", newline="", encoding="utf-8-sig") as file:
        assert {row["stored_prompt"] for row in csv.DictReader(file)} == {""}


def test_scores_against_stored_prompts(run, folder, tmp_path):
    (folder / "deeper").mkdir()
    (folder / "deeper" / "true.png").write_bytes(
        files.png(
            {"parameters": "a large red flower <lora:x:0.8> --ar 16:9"}, Image.open(FLOWER).resize((160, 120))
        )
    )
    (folder / "broken.png").write_bytes(b"no picture")
    table = tmp_path / "cosines.csv"
    code, out, err = run("score", "--stored", folder, "--json", "-o", table)
    (report,) = records(out)
    assert code == 3 and "broken.png is not a readable" in err
    assert (report["n"], report["without"], len(report["failed"]), report["engine"]) == (3, 2, 1, "lite")
    by_name = {each["path"]: each for each in report["pictures"]}
    assert set(by_name) == {"dream.png", "graph.webp", "deeper/true.png"}
    assert by_name["deeper/true.png"]["stored"] == "a large red flower"
    assert by_name["deeper/true.png"]["written_cosine"] > by_name["dream.png"]["written_cosine"]
    mean = sum(each["written_cosine"] for each in report["pictures"]) / 3
    assert report["written_cosine"] == pytest.approx(mean, abs=1e-3)
    with open(table, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [each["path"] for each in report["pictures"]]
    (folder / "broken.png").unlink()
    code, out, _ = run("score", "--stored", folder)
    assert (
        code == 0
        and "mean cosine of the written prompts" in out
        and "3 pictures with a prompt, 2 without" in out
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stored", "{folder}", "a.csv", "b.csv"], "leave the files out"),
        (["--stored", "{folder}/dream.png"], "is not a folder"),
        (["--stored", "{folder}/none"], "None of these pictures holds a prompt"),
        (["a.csv"], "Usage: img2prompt score"),
        ([], "Usage: img2prompt score"),
        (["a.csv", "b.csv", "--engine", "lite"], "are for --stored DIR"),
    ],
)
def test_scores_that_make_no_sense(run, folder, arguments, said):
    (folder / "none").mkdir()
    (folder / "plain.jpg").rename(folder / "none" / "plain.jpg")
    code, _, err = run("score", *(argument.format(folder=folder) for argument in arguments))
    assert code == 2 and said in err


def test_words_of_prompts():
    assert (
        words_of("a cat,  <lora:soft_v2:0.8> <lyco:b:1>\non a mat --ar 16:9 --no dogs --v 6")
        == "a cat, on a mat"
    )
    assert words_of("a cat -- on a mat, 5 < 6") == "a cat -- on a mat, 5 < 6"
