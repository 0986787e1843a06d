"""Batches that the app keeps: uploads in, files out, across restarts."""

import csv
import io
import json
import os
import threading
import time
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from img2prompt.batch import runs as run_module
from img2prompt.batch.runs import Runs, clean_name
from img2prompt.errors import DataError, WeightsError
from img2prompt.pipeline import Pipeline
from img2prompt.settings import Settings
from img2prompt.spreadsheet import plain
from img2prompt.submission import read_submission
from tests.helpers.batches import crop, finish, uploads

GROUP = 2  # pictures that go through the model together in these tests


def packed(entries: dict[str, bytes]) -> io.BytesIO:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


class Watched(Pipeline):
    """A pipeline that counts the pictures it looks at, and may do something when it does."""

    def __init__(self, pipeline, before=lambda: None):
        super().__init__(pipeline.engine, pipeline.sentences, pipeline.tables, Settings.load(beams=1))
        self.looks = 0
        self.before = before

    def describe(self, pictures, style=None):
        self.before()
        self.looks += len(pictures)
        return super().describe(pictures, style)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(run_module, "batch_size_for", lambda device: 2 * GROUP)


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "runs")


@pytest.fixture
def quick(pipeline) -> Watched:
    return Watched(pipeline)


@pytest.fixture
def described(runs, quick):
    """A finished batch of five pictures, the fourth of them broken."""
    run = runs.add(uploads())
    run.start(lambda: quick, runs.turn)
    finish(run)
    assert not run.error
    return run


# The run


def test_uploads_are_described_and_failures_kept_with_their_reasons(described):
    progress = described.progress()
    assert (progress.total, progress.done, progress.failed) == (5, 5, 1)
    assert progress.rate > 0 and progress.seconds_left is None
    lines = described.lines()
    assert [line.name for line in lines] == [f"trip/{number}.jpg" for number in range(5)]
    assert lines[3].error.startswith("The picture is not a readable") and not lines[3].caption
    assert all(line.caption for line in lines if not line.error)
    assert described.title == "trip"


def test_every_format_holds_what_was_edited(described, quick):
    own = '=a "caption", of my own\nin two lines 🐶'
    described.edit("trip/1.jpg", own)

    def load():
        return quick

    rows = list(csv.DictReader(io.StringIO(described.export("csv", load).decode(), newline="")))
    assert plain(rows[1]["caption"]) == own
    assert rows[3]["error"] and rows[0]["caption"] == described.lines()[0].caption
    records = [json.loads(line) for line in described.export("jsonl", load).splitlines()]
    assert [record["path"] for record in records] == [f"trip/{number}.jpg" for number in range(5)]
    assert records[1]["caption"] == own
    table = parquet.read_table(io.BytesIO(described.export("parquet", load)))
    assert table["caption"][1].as_py() == own
    with zipfile.ZipFile(io.BytesIO(described.export("txt", load))) as archive:
        assert archive.namelist() == [f"trip/{number}.txt" for number in (0, 1, 2, 4)]
        assert archive.read("trip/1.txt").decode() == f"{own}\n"
    failed = list(csv.DictReader(io.StringIO(described.export("errors", load).decode(), newline="")))
    assert [row["path"] for row in failed] == ["trip/3.jpg"]
    assert not described.problem("submission")


def test_a_submission_has_the_mean_for_failed_pictures(described, quick, tmp_path):
    (tmp_path / "s.csv").write_bytes(described.export("submission", lambda: quick))
    found = read_submission(tmp_path / "s.csv")
    assert found.ids == ["0", "1", "2", "3", "4"]
    assert np.array_equal(found.vectors[3], quick.engine.mean_embedding)


def test_an_emptied_caption_is_the_models_again(described):
    written = described.lines()[0].caption
    assert described.edit("trip/0.jpg", "  mine ") == "mine"
    assert described.lines()[0].caption == "mine"
    assert described.edit("trip/0.jpg", " ") == written == described.lines()[0].caption


def test_a_caption_is_kept_though_its_result_is_gone(described):
    described.journal.clear()
    assert described.edit("trip/0.jpg", " mine ") == "mine"
    assert described.edit("trip/1.jpg", "") == ""


def test_a_stopped_run_goes_on_and_looks_at_nothing_twice(runs, pipeline):
    run = runs.add(uploads(6, broken=None))
    stopping = Watched(pipeline, before=lambda: run.stop())
    run.start(lambda: stopping, runs.turn)
    finish(run)
    assert run.progress().done == len(run.lines()) == GROUP
    watched = Watched(pipeline)
    run.start(lambda: watched, runs.turn)
    run.start(lambda: watched, runs.turn)  # pressed twice
    finish(run)
    assert run.progress().done == 6 and not run.error
    assert stopping.looks + watched.looks == 6


def test_time_left_is_told_once_there_is_a_rate(runs, pipeline):
    seen = []
    run = runs.add(uploads(8, broken=None))
    run.start(lambda: Watched(pipeline, before=lambda: seen.append(run.progress())), runs.turn)
    finish(run)
    assert [progress.done for progress in seen] == [0, 2, 4, 6]
    assert seen[0].seconds_left is None
    assert seen[3].seconds_left >= 0 and seen[3].rate > 0


def test_a_restarted_server_finds_the_run_as_it_was(runs, pipeline, tmp_path):
    run = runs.add(uploads(6, broken=None))
    run.start(lambda: Watched(pipeline, before=lambda: run.stop()), runs.turn)
    finish(run)
    run.edit("trip/1.jpg", "mine")
    before = run.lines()
    run.close()

    again = Runs(tmp_path / "runs")
    found = again.get(run.id)
    assert found.lines() == before and before[1].caption == "mine"
    assert found.progress().done == GROUP and found.title == "trip"
    watched = Watched(pipeline)
    found.start(lambda: watched, again.turn)
    finish(found)
    assert watched.looks == 4
    assert found.lines()[:GROUP] == before


def test_edits_made_while_it_works_stay(runs, pipeline):
    run = runs.add(uploads(6, broken=None))
    edited = Watched(pipeline, before=lambda: run.lines() and run.edit("trip/0.jpg", "mine"))
    run.start(lambda: edited, runs.turn)
    finish(run)
    assert run.lines()[0].caption == "mine"


def test_others_wait_for_their_turn_and_can_be_stopped_meanwhile(runs, quick):
    taken = threading.Semaphore(0)
    run = runs.add(uploads(2, broken=None))
    run.start(lambda: quick, taken)
    time.sleep(0.3)
    assert run.waiting and not run.stopping and quick.looks == 0
    run.stop()
    finish(run)
    assert run.progress().done == 0
    run.start(lambda: quick, taken)
    taken.release()
    finish(run)
    assert run.progress().done == 2
    assert taken.acquire(blocking=False)  # given back


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(runs, quick):
    def fail():
        raise WeightsError("The lite model is missing.")

    run = runs.add(uploads(2, broken=None))
    run.start(fail, runs.turn)
    finish(run)
    assert run.error == "The lite model is missing."
    run.start(lambda: quick, runs.turn)
    finish(run)
    assert not run.error and run.progress().done == 2


@pytest.mark.slow
def test_other_settings_describe_everything_again_but_keep_edits(described, pipeline):
    described.edit("trip/0.jpg", "mine")
    other = Watched(pipeline)
    other.settings = Settings.load(beams=1, style="fast")
    described.start(lambda: other, threading.Semaphore())
    finish(described)
    assert other.looks == 4
    assert described.lines()[0].caption == "mine"


# What comes in


def test_names_become_no_paths(runs):
    run = runs.add(
        [
            ("../../etc/a.jpg", io.BytesIO(crop(0))),
            ("..\\b.jpg", io.BytesIO(crop(1))),
            ("/a.jpg", io.BytesIO(crop(2))),
            ("a.jpg", io.BytesIO(crop(3))),
            (".hidden.jpg", io.BytesIO(b"")),
            ("__MACOSX/a.jpg", io.BytesIO(b"")),
            ("notes.txt", io.BytesIO(b"")),
        ]
    )
    assert [item.name for item in run.items] == ["a (2).jpg", "a.jpg", "b.jpg", "etc/a.jpg"]
    place = Path(run.journal.path).parent
    assert sorted(path.name for path in (place / "files").iterdir()) == ["0", "1", "2", "3"]
    assert run.item("a.jpg").read(100_000) == crop(2)
    assert "both be" in run.problem("submission")  # etc/a and a would share an id
    assert not run.problem("txt")


@given(st.text())
def test_a_clean_name_stays_where_it_is(name):
    clean = clean_name(name)
    assert ".." not in PurePosixPath(clean).parts and not clean.startswith("/") and "\\" not in clean
    assert clean_name(clean) == clean


def test_an_archive_is_read_in_place_without_its_junk(runs, quick):
    nested = packed({"inner.jpg": crop(0)}).getvalue()
    entries = {"a/1.jpg": crop(1), "__MACOSX/a/._1.jpg": b"x", "a/.DS_Store": b"x", "nested.zip": nested}
    alone = runs.add([("trip.zip", packed(entries))])
    assert [item.name for item in alone.items] == ["a/1.jpg"]
    assert alone.title == "trip.zip"
    run = runs.add(
        [("trip.zip", packed(entries)), ("more.ZIP", packed(entries)), ("2.jpg", io.BytesIO(crop(2)))]
    )
    assert [item.name for item in run.items] == ["2.jpg", "more/a/1.jpg", "trip/a/1.jpg"]
    run.start(lambda: quick, runs.turn)
    finish(run)
    assert all(line.caption for line in run.lines()) and quick.looks == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("bad.zip", io.BytesIO(b"/etc/hostname\n"))], "bad.zip is not a whole ZIP archive"),
        ([("out.zip", packed({"../a.jpg": b"x"}))], "out.zip has an entry outside of itself"),
        ([("empty.zip", packed({"notes.txt": b"x"}))], "empty.zip holds no pictures"),
        ([("notes.txt", io.BytesIO(b"x"))], "notes.txt holds no pictures"),
    ],
)
def test_what_cannot_be_used_is_explained_and_leaves_nothing(runs, tmp_path, files, message):
    with pytest.raises(DataError, match=message) as raised:
        runs.add(files)
    assert str(tmp_path) not in str(raised.value)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_bomb_is_refused(runs, monkeypatch):
    monkeypatch.setattr("img2prompt.batch.sources.SMALL", 1_000_000)
    with pytest.raises(DataError, match=r"bomb.zip would unpack to"):
        runs.add([("bomb.zip", packed({"0.bmp": bytes(3_000_000)}))])


def test_a_full_disk_is_told_before_anything_is_written(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "SPARE_BYTES", 2**60)
    with pytest.raises(DataError, match="free space"):
        runs.add(uploads())
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_is_read_where_it_is_and_looked_through_again(runs, quick, tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "0.jpg").write_bytes(crop(0))
    run = runs.add(folder=folder)
    run.start(lambda: quick, runs.turn)
    finish(run)
    (folder / "1.jpg").write_bytes(crop(1))
    run.start(lambda: quick, runs.turn)
    finish(run)
    assert [line.name for line in run.lines()] == ["1.jpg", "sub/0.jpg"] and quick.looks == 2
    runs.remove(run.id)
    assert sorted(path.name for path in folder.rglob("*.jpg")) == ["0.jpg", "1.jpg"]
    with pytest.raises(DataError, match="is not a folder"):
        runs.add(folder=folder / "1.jpg")


# The registry


def test_an_id_is_long_random_and_never_a_path(runs, described, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "about.json").write_text('{"title": "x", "names": []}')
    assert runs.get(described.id) is described
    assert len(described.id) >= 22
    for id in ("", ".", "..", "../secret", str(tmp_path / "secret"), described.id[:-1]):
        assert runs.get(id) is None
    assert (tmp_path / "runs").stat().st_mode & 0o77 == 0


def test_old_runs_go_and_others_stay(runs, tmp_path, monkeypatch):
    root = tmp_path / "runs"
    kept, old = (runs.add(uploads(1, broken=None)) for _ in range(2))
    (root / "mine").mkdir()
    (root / "mine" / "letter.txt").write_text("not a batch")
    os.utime(root / "mine", (0, 0))
    long_ago = time.time() - (run_module.DAYS + 1) * 86400
    os.utime(root / old.id / "about.json", (long_ago, long_ago))
    runs.clean()
    assert {path.name for path in root.iterdir()} == {kept.id, "mine"}
    assert runs.get(old.id) is None
    assert list(runs.titles()) == [kept.id]

    monkeypatch.setattr(run_module, "MOST_RUNS", 1)
    new = runs.add(uploads(1, broken=None))
    runs.clean()
    assert runs.get(kept.id) is kept  # somebody has looked at it lately
    a_while_ago = time.time() - 2 * run_module.IDLE_SECONDS
    os.utime(root / kept.id / "about.json", (a_while_ago, a_while_ago))
    runs.clean()
    assert list(runs.titles()) == [new.id]


def test_a_run_at_work_is_not_cleaned_away(runs, quick, tmp_path):
    run = runs.add(uploads(2, broken=None))
    run.start(lambda: quick, threading.Semaphore(0))
    os.utime(tmp_path / "runs" / run.id / "about.json", (0, 0))
    runs.clean()
    assert runs.get(run.id) is run
    runs.remove(run.id)  # stops it first
    assert not run.working and runs.get(run.id) is None
