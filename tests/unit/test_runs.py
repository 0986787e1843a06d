"""Batches that the app keeps: uploads in, files out, across restarts."""

import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from img2prompt.batch import runs as run_module
from img2prompt.batch.journal import Journal
from img2prompt.batch.keeper import MOST_IN_A_ROW
from img2prompt.batch.limits import Limits
from img2prompt.batch.queue import Queue
from img2prompt.batch.runs import Runs, clean_name
from img2prompt.batch.state import State
from img2prompt.captions import edits
from img2prompt.errors import ConfigError, DataError, HistoryError, WeightsError
from img2prompt.images import open_image
from img2prompt.pipeline import Pipeline
from img2prompt.posts import Choices
from img2prompt.settings import RUNS_GIGABYTES, Settings
from img2prompt.spreadsheet import plain
from img2prompt.submission import read_submission
from tests.helpers import ROOT, records
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

    def describe(self, pictures, **more):
        self.before()
        self.looks += len(pictures)
        return super().describe(pictures, **more)


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
def over():
    """An event that comes at the end of the test at the latest, for jobs that take a turn until then."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def described(runs, quick):
    """A finished batch of five pictures, the fourth of them broken."""
    run = runs.add(uploads())
    run.start(lambda: quick, runs.queue)
    finish(run)
    assert not run.error
    return run


def ids(runs: Runs) -> list[str]:
    """The ids of all batches, the one looked at last first."""
    return [summary.id for summary in runs.summaries()]


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

    rows = list(csv.DictReader(io.StringIO(described.export("csv", load).decode("utf-8-sig"), newline="")))
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
    failed = list(
        csv.DictReader(io.StringIO(described.export("errors", load).decode("utf-8-sig"), newline=""))
    )
    assert [row["path"] for row in failed] == ["trip/3.jpg"]
    assert not described.problem("submission")


def test_what_derives_from_a_caption_follows_an_edit(described, quick):
    def read(kind: str) -> list[dict]:
        data = described.export(kind, lambda: quick)
        return (
            parquet.read_table(io.BytesIO(data)).to_pylist() if kind == "parquet" else records(data.decode())
        )

    before = read("jsonl")[1]
    assert before["caption"] in before["prompt"]
    described.edit("trip/1.jpg", "A lighthouse on Jeju Island.\nMina painted it.")
    table = list(csv.DictReader(io.StringIO(described.export("csv", lambda: quick).decode(), newline="")))
    for row in (read("jsonl")[1], read("parquet")[1], table[1]):
        assert row["alt_text"] == "A lighthouse on Jeju Island. Mina painted it."
        assert "#lighthouse" in row["hashtags"]
        line = "A lighthouse on Jeju Island. Mina painted it"
        assert row["prompt"] == before["prompt"].replace(before["caption"], line)
    after = read("jsonl")
    # The model's, whatever the caption; but what is in the picture the person knows better.
    assert after[1]["labels"] == {name: found for name, found in before["labels"].items() if name != "things"}
    described.edit("trip/1.jpg", "")
    assert read("jsonl")[1] == before


def test_a_submission_has_the_mean_for_failed_pictures(described, quick, tmp_path):
    (tmp_path / "s.csv").write_bytes(described.export("submission", lambda: quick))
    found = read_submission(tmp_path / "s.csv")
    assert found.ids == ["0", "1", "2", "3", "4"]
    assert np.array_equal(found.vectors[3], quick.engine.mean_embedding)


def test_every_picture_gets_the_post_that_was_asked_for(runs, quick):
    run = runs.add(
        uploads(), posts=Choices(tone="playful", length="line", note="Jeju, with Mina", variants=1)
    )
    run.start(lambda: quick, runs.queue)
    finish(run)
    names = [line.name for line in run.lines()]
    posts = run.posts(names)
    assert list(posts) == names[:3] + names[4:]  # none of the broken picture
    assert all("Jeju, with Mina" in post and "#" in post for post in posts.values())
    found = records(run.export("jsonl", lambda: quick).decode())
    assert {record["path"]: record["post"] for record in found if record["post"]} == posts
    table = list(
        csv.DictReader(io.StringIO(run.export("csv", lambda: quick).decode("utf-8-sig"), newline=""))
    )
    assert {row["path"]: row["post"] for row in table if row["post"]} == posts
    table = parquet.read_table(io.BytesIO(run.export("parquet", lambda: quick))).to_pylist()
    assert [row["post"] for row in table] == [record["post"] for record in found]

    run.edit(names[0], "a lighthouse on a cliff")
    assert "lighthouse" in run.posts(names[:1])[names[0]].lower()
    run.choose(replace(run.choices, note="Busan"))  # no picture is described again
    assert quick.looks == 4 and "Busan" in run.posts(names[:1])[names[0]]
    run.close()
    again = Runs(runs._root).get(run.id)
    assert again.choices == run.choices and "Busan" in again.posts(names[:1])[names[0]]
    again.choose(None)
    assert again.posts(names) == {}
    assert {record["post"] for record in records(again.export("jsonl", lambda: quick).decode())} == {None}


def test_pictures_are_kept_elsewhere_too_and_a_failure_stops_nothing(runs, quick):
    kept = []

    def save(picture, result, seen):
        kept.append((picture.size, result.caption, seen.caption))
        if len(kept) == 2:
            raise HistoryError("The history is full.")
        if len(kept) == 3:
            raise ZeroDivisionError

    run = runs.add(uploads(8), owner="local")
    run.start(lambda: quick, runs.queue, save)
    finish(run)
    assert not run.error and run.progress().done == 8
    assert [caption for _, caption, _ in kept] == [line.caption for line in run.lines() if not line.error]
    assert run.kept.lost == 2 and all(size == (240, 200) and a == b for size, a, b in kept)
    run.close()
    assert Runs(runs._root).get(run.id).owner == "local"


def test_a_history_that_always_fails_is_not_asked_for_every_picture(runs, quick):
    asked = []

    def save(*_):
        asked.append(1)
        raise HistoryError("The history is full.")

    run = runs.add(uploads(8), owner="local")
    run.start(lambda: quick, runs.queue, save)
    finish(run)
    assert len(asked) == MOST_IN_A_ROW
    assert run.kept.lost == 7 and run.kept.problem == "The history is full."


def test_a_list_says_what_each_batch_is_and_how_far(runs, quick, tmp_path):
    before = datetime.now(timezone.utc) - timedelta(minutes=1)
    trip = runs.add(uploads())
    loose = runs.add([(f"{number}.jpg", io.BytesIO(crop(number))) for number in range(3)])
    stopped = runs.add(uploads(7))
    broken = runs.add(uploads())
    found = {summary.id: summary for summary in runs.summaries()}
    assert all(before < summary.made < before + timedelta(hours=1) for summary in found.values())
    assert [(found[run.id].title, found[run.id].others) for run in (trip, loose)] == [
        ("trip", 0),
        ("0.jpg", 2),
    ]
    assert found[trip.id].state == State(5, 0, 0) and not found[trip.id].working

    watched = Watched(quick, before=stopped.stop)
    stopped.start(lambda: watched, runs.queue)
    trip.start(lambda: quick, runs.queue)
    broken.start(no_model, runs.queue)
    for run in (stopped, trip, broken):
        finish(run)
        run.close()
    found = {summary.id: summary for summary in Runs(runs._root).summaries()}  # after a restart
    assert found[trip.id].state == State(5, 5, 1)
    assert 0 < found[stopped.id].state.done < 7
    assert found[broken.id].state == State(5, 0, 0, "no model")
    assert [summary.id for summary in runs.summaries([trip.id])] == [trip.id]

    (runs._root / trip.id / "state.json").unlink()  # as an earlier version left it
    (runs._root / loose.id / "state.json").write_text("{")
    assert [summary.state for summary in runs.summaries([trip.id, loose.id])] == [None, None]


def test_a_batch_whose_folder_is_gone_ends_with_an_error(runs, quick, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.jpg").write_bytes(crop(0))
    run = runs.add(folder=tmp_path / "photos")
    run.rest()
    shutil.rmtree(tmp_path / "photos")
    run.start(lambda: quick, runs.queue)
    finish(run)
    assert "does not exist" in run.error


def no_model():
    raise WeightsError("no model")


def test_an_emptied_caption_is_the_models_again(described):
    written = described.lines()[0].caption
    assert described.edit("trip/0.jpg", "  mine ") == "mine"
    assert described.lines()[0].caption == "mine"
    assert described.edit("trip/0.jpg", " ") == written == described.lines()[0].caption


def test_edits_are_steps_that_are_undone_after_a_restart(described, runs):
    before = {line.name: line.caption for line in described.lines()}
    described.edit("trip/0.jpg", "a zebra")
    entries = [entry for entry in described.entries() if not entry.problem]
    assert [entry.name for entry in entries if entry.edited] == ["trip/0.jpg"]
    described.change("prefix", ["my "], edits.prefix(entries, "my "))
    changed = {line.name: line.caption for line in described.lines()}
    assert changed["trip/0.jpg"] == "my a zebra" and changed["trip/1.jpg"] == f"my {before['trip/1.jpg']}"
    described.rest()

    again = Runs(runs._root).get(described.id)
    assert [step.title for step in again.steps()] == ['edit "trip/0.jpg"', 'prefix "my "']
    assert again.undo().written == len(entries)
    assert again.undo().written == 1
    assert {line.name: line.caption for line in again.lines()} == before
    assert not any(entry.edited for entry in again.entries())  # the model's, and no copies of them
    again.redo()
    again.redo()
    assert {line.name: line.caption for line in again.lines()} == changed
    again.close()


def test_an_edit_of_a_picture_that_is_described_anew_is_undone_to_the_new_caption(described, pipeline):
    old = {line.name: line.caption for line in described.lines()}
    described.edit("trip/0.jpg", "a zebra")
    described.edit("trip/0.jpg", "two zebras")
    described.edit("trip/1.jpg", "mine")
    described.edit("trip/1.jpg", "")  # the model's again
    described.edit("trip/2.jpg", "mine too")
    described.undo()

    other = Watched(pipeline)
    other.settings = Settings.load(beams=1, trigger="sks")
    described.start(lambda: other, Queue(working=1, waiting=1))
    finish(described)
    new = {line.name: line.caption for line in described.lines() if not line.error}
    assert new.pop("trip/0.jpg") == "two zebras"
    assert new["trip/1.jpg"] == f"sks, {old['trip/1.jpg']}"

    def captions():
        found = {entry.name: entry.caption for entry in described.entries() if not entry.problem}
        return {**found, "edited": [entry.name for entry in described.entries() if entry.edited]}

    assert described.undo().left == [] and captions()["trip/1.jpg"] == "mine"
    assert described.undo().left == [] and captions()["trip/1.jpg"] == new["trip/1.jpg"]
    described.undo()
    assert captions()["trip/0.jpg"] == "a zebra" and captions()["edited"] == ["trip/0.jpg"]
    described.undo()
    assert captions() == {**new, "trip/0.jpg": f"sks, {old['trip/0.jpg']}", "edited": []}
    for text, name in (
        ("a zebra", 0),
        ("two zebras", 0),
        ("mine", 1),
        (new["trip/1.jpg"], 1),
        ("mine too", 2),
    ):
        assert described.redo().left == [] and captions()[f"trip/{name}.jpg"] == text
    assert captions()["edited"] == ["trip/0.jpg", "trip/2.jpg"]


def test_a_change_of_captions_is_made_whole_or_not_at_all(described):
    before = described.lines()
    entries = [entry for entry in described.entries() if not entry.problem]
    changes = edits.prefix(entries, "my ")
    described.edit(entries[1].name, "a zebra")
    with pytest.raises(DataError, match="changed by another program"):
        described.change("prefix", ["my "], changes)  # another visitor was quicker
    described.edit(entries[1].name, "")
    everything = edits.replace(entries, edits.Pattern(".*", is_regex=True), "").changes
    with pytest.raises(DataError, match="would be empty"):
        described.change("replace", [".*", ""], everything)
    assert described.lines() == before
    assert [step.kind for step in described.steps()] == ["edit", "edit"]


def test_a_list_of_all_pictures_is_read_once(described, monkeypatch):
    read, calls = Journal.overview, []
    monkeypatch.setattr(Journal, "overview", lambda journal: calls.append(1) or read(journal))
    assert len(described.entries()) == len(described.items) and len(calls) == 1


def test_pictures_are_compared_once(described, monkeypatch):
    pytest.importorskip("imagehash")
    pytest.importorskip("scipy")
    assert described.looks() == {}
    assert list(described.compare()) == [1, 2, 3, 4, 5]
    looks = described.looks()
    assert list(looks) == [f"trip/{number}.jpg" for number in (0, 1, 2, 4)]  # the fourth is broken
    opened = []
    monkeypatch.setattr(run_module, "_open", lambda item, limits: opened.append(item.name) or open_image(b""))
    assert len(list(described.compare())) == 5 and opened == ["trip/3.jpg"]
    assert described.looks() == looks


def test_a_failed_picture_has_no_caption_to_change(described):
    (failed,) = [entry for entry in described.entries() if entry.problem]
    assert edits.prefix([failed], "my ", empty=True) == [] and failed.failed
    assert described.edit(failed.name, "for later") == "for later"
    assert described.steps() == []


def test_a_caption_is_kept_though_its_result_is_gone(described):
    described.journal.clear()
    assert described.edit("trip/0.jpg", " mine ") == "mine"
    assert described.edit("trip/1.jpg", "") == ""


def test_a_stopped_run_goes_on_and_looks_at_nothing_twice(runs, pipeline):
    run = runs.add(uploads(6, broken=None))
    stopping = Watched(pipeline, before=lambda: run.stop())
    run.start(lambda: stopping, runs.queue)
    finish(run)
    assert run.progress().done == len(run.lines()) == GROUP
    watched = Watched(pipeline)
    run.start(lambda: watched, runs.queue)
    run.start(lambda: watched, runs.queue)  # pressed twice
    finish(run)
    assert run.progress().done == 6 and not run.error
    assert stopping.looks + watched.looks == 6


def test_time_left_is_told_once_there_is_a_rate(runs, pipeline):
    seen = []
    run = runs.add(uploads(8, broken=None))
    run.start(lambda: Watched(pipeline, before=lambda: seen.append(run.progress())), runs.queue)
    finish(run)
    assert [progress.done for progress in seen] == [0, 2, 4, 6]
    assert seen[0].seconds_left is None
    assert seen[3].seconds_left >= 0 and seen[3].rate > 0


def test_a_restarted_server_finds_the_run_as_it_was(runs, pipeline, tmp_path):
    run = runs.add(uploads(6, broken=None))
    run.start(lambda: Watched(pipeline, before=lambda: run.stop()), runs.queue)
    finish(run)
    run.edit("trip/1.jpg", "mine")
    before = run.lines()
    run.close()

    again = Runs(tmp_path / "runs")
    found = again.get(run.id)
    assert found.lines() == before and before[1].caption == "mine"
    assert found.progress().done == GROUP and found.title == "trip"
    watched = Watched(pipeline)
    found.start(lambda: watched, again.queue)
    finish(found)
    assert watched.looks == 4
    assert found.lines()[:GROUP] == before


def test_edits_made_while_it_works_stay(runs, pipeline):
    run = runs.add(uploads(6, broken=None))
    edited = Watched(pipeline, before=lambda: run.lines() and run.edit("trip/0.jpg", "mine"))
    run.start(lambda: edited, runs.queue)
    finish(run)
    assert run.lines()[0].caption == "mine"


def test_others_wait_for_their_turn_and_can_be_stopped_meanwhile(runs, quick, over):
    queue = Queue(working=1, waiting=2)
    queue.put(over.wait)
    run = runs.add(uploads(2, broken=None))
    run.start(lambda: quick, queue)
    assert run.waiting and not run.stopping and quick.looks == 0
    run.stop()
    assert not run.working and run.progress().done == 0
    run.start(lambda: quick, queue)
    over.set()
    finish(run)
    assert run.progress().done == 2


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(runs, quick):
    def fail():
        raise WeightsError("The lite model is missing.")

    run = runs.add(uploads(2, broken=None))
    run.start(fail, runs.queue)
    finish(run)
    assert run.error == "The lite model is missing."
    run.start(lambda: quick, runs.queue)
    finish(run)
    assert not run.error and run.progress().done == 2


@pytest.mark.slow
def test_other_settings_describe_everything_again_but_keep_edits(described, pipeline):
    described.edit("trip/0.jpg", "mine")
    other = Watched(pipeline)
    other.settings = Settings.load(beams=1, style="fast")
    described.start(lambda: other, Queue(working=1, waiting=1))
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
    run.start(lambda: quick, runs.queue)
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
    monkeypatch.setattr("img2prompt.batch.archives.SMALL", 1_000_000)
    with pytest.raises(DataError, match=r"bomb.zip would unpack to"):
        runs.add([("bomb.zip", packed({"0.bmp": bytes(3_000_000)}))])


def test_a_full_disk_is_told_before_anything_is_written(tmp_path):
    runs = Runs(tmp_path / "runs", Limits(spare_bytes=2**60))
    with pytest.raises(DataError, match="free space"):
        runs.add(uploads())
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_is_read_where_it_is_and_looked_through_again(runs, quick, tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "0.jpg").write_bytes(crop(0))
    run = runs.add(folder=folder)
    run.start(lambda: quick, runs.queue)
    finish(run)
    (folder / "1.jpg").write_bytes(crop(1))
    run.start(lambda: quick, runs.queue)
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


def look_back(folder: Path, days: float) -> None:
    """Pretend that a batch's files are as old as they are days later."""
    for file in ("about.json", "old"):
        if (folder / file).exists():
            moment = (folder / file).stat().st_mtime - days * run_module.DAY
            os.utime(folder / file, (moment, moment))


def test_old_runs_go_and_others_stay(runs, tmp_path):
    root = tmp_path / "runs"
    kept, old, seen = (runs.add(uploads(1, broken=None)) for _ in range(3))
    (root / "mine").mkdir()
    (root / "mine" / "letter.txt").write_text("not a batch")
    os.utime(root / "mine", (0, 0))
    for run in (old, seen):
        look_back(root / run.id, run_module.DAYS - 0.5)
    runs.clean()
    for run in (old, seen):
        look_back(root / run.id, 1)
    assert runs.get(seen.id) is seen
    runs.clean()
    assert {path.name for path in root.iterdir()} == {kept.id, seen.id, "mine"}
    assert runs.get(old.id) is None
    assert set(ids(runs)) == {kept.id, seen.id}


def test_one_wrong_clock_removes_nothing(runs, tmp_path, monkeypatch):
    run = runs.add(uploads(1, broken=None))
    now = time.time()
    for ahead in (365, 365.5, 0, 366, 365.9, 366.8):  # days
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead * run_module.DAY)
        runs.clean()
        assert ids(runs) == [run.id]
    monkeypatch.setattr(time, "time", lambda: now + 367 * run_module.DAY)
    runs.clean()  # found too old a day before, too
    assert not ids(runs)


def test_of_too_many_runs_the_oldest_go_if_nobody_looks_at_them(tmp_path, monkeypatch):
    runs = Runs(tmp_path / "runs", Limits(runs=1))
    old, new = (runs.add(uploads(1, broken=None)) for _ in range(2))
    look_back(tmp_path / "runs" / old.id, 1)
    runs.clean()
    assert set(ids(runs)) == {
        old.id,
        new.id,
    }  # somebody has looked at both lately, whatever the clock says
    monkeypatch.setattr(run_module, "IDLE_SECONDS", -1.0)
    runs.clean()
    assert ids(runs) == [new.id]


def test_a_run_at_work_is_not_cleaned_away(runs, quick, over, tmp_path):
    busy = Queue(working=1, waiting=1)
    busy.put(over.wait)
    run = runs.add(uploads(2, broken=None))
    run.start(lambda: quick, busy)
    os.utime(tmp_path / "runs" / run.id / "about.json", (0, 0))
    for _ in range(2):
        runs.clean()
    assert runs.get(run.id) is run
    runs.remove(run.id)  # stops it first
    assert not run.working and runs.get(run.id) is None


# Limits


def test_the_queue_works_in_order_and_refuses_what_is_too_much(over):
    queue = Queue(working=2, waiting=3)
    done, at_work = [], threading.Semaphore(0)

    def block():
        at_work.release()
        over.wait()

    for _ in range(2):
        queue.put(block)
        at_work.acquire()
    jobs = [partial(done.append, number) for number in range(3)]
    for job in jobs:
        queue.put(job)
    with pytest.raises(DataError, match="3 batches wait for this server already"):
        queue.put(print)
    assert queue.drop(jobs[1]) and not queue.drop(jobs[1])
    finished = threading.Event()
    queue.put(finished.set)
    over.set()
    assert finished.wait(60)
    assert done == [0, 2]


def test_many_batches_take_few_threads_and_files(tmp_path, pipeline, over):
    runs = Runs(tmp_path / "runs", Limits(working=1, waiting=40, awake=2))
    runs.queue.put(over.wait)
    threads, files = threading.active_count(), open_files()
    batches = [runs.add([(f"{i}.zip", packed({"a.jpg": crop(0)}))]) for i in range(20)]
    for run in batches:
        runs.start(run, lambda: Watched(pipeline))
    assert all(run.waiting for run in batches)
    assert threading.active_count() == threads
    assert open_files() <= files + 2 * 2  # a journal is two files
    for run in batches[2:]:
        run.stop()
    over.set()
    finish(batches[0])
    finish(batches[1])
    assert [run.progress().done for run in batches[:3]] == [1, 1, 0]
    assert batches[19].item("a.jpg").read(100_000) == crop(0)  # who rests can be asked as before


def open_files() -> int:
    """How many files this process has open; 0 where that cannot be seen."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_a_resting_run_is_as_it_was(described):
    before = described.lines()
    described.rest()
    assert described.lines() == before and described.progress().total == 5
    described.rest()
    assert described.edit("trip/0.jpg", "mine") == "mine"
    described.rest()
    assert described.lines()[0].caption == "mine"


def test_one_session_has_its_share_of_the_turns(tmp_path, quick, over):
    runs = Runs(tmp_path / "runs", Limits(working=1, waiting=9, own_working=2))
    runs.queue.put(over.wait)
    own = []
    for _ in range(2):
        run = runs.add(uploads(1, broken=None), own=own)
        own.append(run.id)
        runs.start(run, lambda: quick, own)
        runs.start(run, lambda: quick, own)  # pressed twice
    for attempt in (
        lambda: runs.add(uploads(), own=own),
        lambda: runs.start(runs.add(uploads(1, broken=None)), lambda: quick, own),
    ):
        with pytest.raises(DataError, match="2 of your batches are at work or wait already"):
            attempt()
    assert not runs.add(uploads(1, broken=None), own=["another"]).working
    over.set()
    finish(run)
    assert run.progress().done == 1


def test_a_full_queue_takes_no_uploads(tmp_path):
    runs = Runs(tmp_path / "runs", Limits(working=0, waiting=0))
    with pytest.raises(DataError, match="batches wait for this server already"):
        runs.add(uploads())
    assert not (tmp_path / "runs").exists()


def test_uploads_have_a_quota_for_each_session_and_for_all(tmp_path, monkeypatch):
    one = [("a.jpg", io.BytesIO(bytes(1000)))]
    runs = Runs(tmp_path / "runs", Limits(own_bytes=2500, all_bytes=3500))
    first, second = runs.add(one), runs.add(one)
    own = [first.id, second.id]
    with pytest.raises(DataError, match="The pictures of your batches would take more than"):
        runs.add(one, own=own)
    third = runs.add(one, own=[first.id])
    with pytest.raises(DataError, match="The pictures of all batches would take more than"):
        runs.add(one)
    assert set(ids(runs)) == {*own, third.id}
    monkeypatch.setattr(run_module, "IDLE_SECONDS", -1.0)  # nobody looks at them any more
    look_back(tmp_path / "runs" / second.id, 1)
    fourth = runs.add(one)
    assert set(ids(runs)) == {first.id, third.id, fourth.id}
    with pytest.raises(DataError, match="would take more than"):
        runs.add([("a.jpg", io.BytesIO(bytes(4000)))])


def test_a_batch_has_so_many_archives_and_pictures_at_most(tmp_path):
    runs = Runs(tmp_path / "runs", Limits(archives=2, pictures=3))
    archive = packed({"a.jpg": b"x", "b.jpg": b"x"}).getvalue()

    def archives(count):
        return [(f"{i}.zip", io.BytesIO(archive)) for i in range(count)]

    with pytest.raises(DataError, match="A batch takes 2 archives at most"):
        runs.add(archives(3))
    with pytest.raises(DataError, match=r"0.zip holds more than 3 pictures, the most for a batch"):
        runs.add(archives(2))
    for i in range(4):
        (tmp_path / f"{i}.jpg").touch()
    with pytest.raises(DataError, match="holds more than 3 pictures"):
        runs.add(folder=tmp_path)
    assert list((tmp_path / "runs").iterdir()) == []
    assert len(runs.add(archives(1)).items) == 2


def test_the_quota_of_all_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setenv(RUNS_GIGABYTES, "0.5")
    assert Runs(tmp_path).limits.all_bytes == 500_000_000
    for text in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(RUNS_GIGABYTES, text)
        with pytest.raises(ConfigError, match=RUNS_GIGABYTES):
            Runs(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"title": "a", "names": 7}', '{"title": "a", "names": [], "x": 1}']
)
def test_a_batch_that_cannot_be_read_says_so(runs, tmp_path, text):
    run = runs.add(uploads())
    run.close()
    (tmp_path / "runs" / run.id / "about.json").write_text(text, "utf-8")
    later = Runs(tmp_path / "runs")
    assert run.id not in [summary.id for summary in later.summaries()]
    with pytest.raises(DataError, match="Begin it anew"):
        later.get(run.id)


def test_damaged_results_are_made_again(runs, described, pipeline, caplog):
    before = described.lines()
    described.rest()
    with closing(sqlite3.connect(described.journal.path)) as database, database:
        database.execute("UPDATE results SET hashtags = '[' WHERE name = 'trip/1.jpg'")
    again = Watched(pipeline)
    described.start(lambda: again, runs.queue)
    finish(described)
    assert again.looks == 1 and described.lines() == before
    assert "1 damaged results" in caplog.text


@pytest.mark.parametrize("name", ["~nobody-of-this-name/photos", "x" * 300, "\0"])
def test_a_folder_that_cannot_be_is_none(runs, name):
    with pytest.raises(DataError, match="is not a folder on this machine"):
        runs.add(folder=Path(os.path.expanduser(name)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "last", ["", "ThreadPoolExecutor().submit(time.sleep, 2)"], ids=["at once", "slowly"]
)
def test_a_server_that_ends_in_the_midst_of_a_batch_says_nothing(tmp_path, last):
    for number in range(40):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(crop(number))
    script = f"""
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from img2prompt import load_pipeline
from img2prompt.batch import runs as module
module.batch_size_for = lambda device: 4
runs = module.Runs(Path({str(tmp_path / "runs")!r}))
run = runs.add(folder=Path({str(tmp_path / "photos")!r}))
pipeline = load_pipeline(engine="lite", device="cpu", beams=1)
run.start(lambda: pipeline, runs.queue)
while run.progress().done < 4:
    time.sleep(0.01)
{last}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
