import csv
import io
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
import zipfile
from codecs import BOM_UTF8
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from safetensors.numpy import load_file, save_file

from img2prompt import batch, weights
from img2prompt.batch import Item, Journal, Row, archives, discover
from img2prompt.batch.formats import text_files
from img2prompt.batch.work import cut, open_item
from img2prompt.cli.main import main
from img2prompt.engines.lite.engine import LiteEngine
from img2prompt.errors import ConfigError, DataError, ImageError
from img2prompt.files import one_line, replacing
from img2prompt.pipeline import Pipeline
from img2prompt.results import Stored
from img2prompt.settings import Settings
from img2prompt.spreadsheet import neutral, plain, write_table
from img2prompt.submission import read_submission, write_submission
from tests.helpers import ROOT
from tests.helpers.pictures import paint

AWKWARD = ["=1+1.png", "a, b.png", 'say "hi".png', "two\nlines.png", "'quoted'.png", "Łódź 🐶.png", "-x.png"]


def break_quietly(path):
    """Destroy a picture so that its size and time do not tell."""
    about = path.stat()
    path.write_bytes(b"x" * about.st_size)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def row(name, seed=0, **values):
    vector = np.random.default_rng(seed).normal(size=384).astype(np.float32)
    values = {"caption": f"caption of {name}", "labels": {"flavors": [("warm light", 0.25)]}, **values}
    return Row(name, embedding=vector, hashtags=("#dog", "#beach"), width=40, height=30, **values)


NAMES = sorted(one_line(name) for name in AWKWARD)  # as the results call them


@pytest.fixture
def folder(tmp_path):
    """Five pictures, the fourth of them broken."""
    for i in range(5):
        paint(tmp_path / "photos" / f"p{i}.png", i)
    (tmp_path / "photos" / "p3.png").write_bytes(b"these bytes are no picture")
    return tmp_path / "photos"


@pytest.fixture
def kept(tmp_path):
    """A journal with rows, some of awkward names and one failure, and their items."""
    for name in AWKWARD:
        paint(tmp_path / "awkward" / name)
    items = discover(tmp_path / "awkward")
    rows = [row(item.name, seed) for seed, item in enumerate(items)]
    rows[2] = Row(items[2].name, error="The picture is empty.")
    with closing(Journal(tmp_path / "kept.journal", "x")) as journal:
        journal.add(items, rows)
        yield items, rows, journal


@pytest.fixture
def run(quick_run):
    return quick_run


# Which pictures there are


def names(source, **options):
    return [item.name for item in discover(source, **options)]


def test_a_folder_is_sorted_and_searched_as_deep_as_asked(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", "sub/d.txt", ".hidden.png", ".git/e.png", "__MACOSX/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a.png", "b.JPG"]
    assert names(tmp_path, recursive=True) == ["a.png", "b.JPG", "sub/c.webp"]


def test_no_picture_anywhere(tmp_path):
    with pytest.raises(DataError, match="holds no pictures. Known suffixes"):
        discover(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").touch()
    with pytest.raises(DataError, match="--recursive"):
        discover(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        discover(tmp_path / "nowhere")
    with pytest.raises(DataError, match="a single picture: img2prompt caption"):
        discover(tmp_path / "sub" / "a.png")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match="names no pictures"):
        discover(tmp_path / "empty.txt")


def test_a_list_keeps_its_order_and_each_picture_once(tmp_path, monkeypatch):
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfz.png\r\na b.png\n\nz.png\n")
    assert names(listed) == ["z.png", "a b.png"]
    listed.write_bytes(b"two\nlines.png\0a.png\0")
    assert names(listed) == [r"two\nlines.png", "a.png"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x.png\n")))
    assert names("-") == ["x.png"]


def test_spaces_around_a_path_do_not_count_unless_they_are_in_its_name(tmp_path):
    paint(tmp_path / "photos" / "a.png")
    shutil.copy(tmp_path / "photos" / "a.png", tmp_path / "photos" / " b.png ")
    assert names(f" {tmp_path / 'photos'} ") == ["a.png"]
    (tmp_path / "list.txt").write_text(f" {tmp_path}/photos/a.png \n{tmp_path}/photos/ b.png \n")
    assert [item.file.name for item in discover(tmp_path / "list.txt")] == ["a.png", " b.png "]


@pytest.mark.parametrize("name", ["bad.zip", "bad", "-"])
def test_a_file_that_is_no_list_is_not_taken_for_one(tmp_path, monkeypatch, name):
    data = b"PKgarbage\x01\x02\nmore"
    (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(DataError, match="is (not a whole ZIP archive|neither a ZIP archive nor a list)"):
        discover(name if name == "-" else tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_list_may_come_through_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        pool.submit((tmp_path / "pipe").write_text, "a.png\n")
        assert names(tmp_path / "pipe") == ["a.png"]


def test_a_listed_picture_that_is_not_there_says_so_when_read(tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(f"nowhere.png\n{tmp_path}\n")
    for item, reason in zip(discover(listed), ("No such file", "is not a file"), strict=True):
        with pytest.raises(ImageError, match=reason):
            item.read(10)


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are not UTF-8")
def test_a_name_that_is_not_utf_8_stays_readable(tmp_path):
    shutil.copy(paint(tmp_path / "a.png"), os.fsencode(tmp_path) + b"/caf\xe9.png")
    first, second = discover(tmp_path)
    assert (first.name, second.name) == ("a.png", r"caf\xe9.png")
    assert first.read(10_000) == second.read(10_000)


def test_an_archive_is_read_in_place(tmp_path):
    picture = paint(tmp_path / "x.png").read_bytes()
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as inner:
        inner.writestr("inner.png", picture)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in (
            "top/b.png",
            "a.jpg",
            "__MACOSX/top/._b.png",
            "top/.DS_Store",
            "top/.c.png",
            "notes.txt",
        ):
            archive.writestr(name, picture)
        archive.writestr("nested.zip", nested.getvalue())
        archive.mkdir("dir.png")
    items = discover(tmp_path / "a.zip")
    assert [item.name for item in items] == ["a.jpg", "top/b.png"]
    assert items[1].read(10_000) == picture
    assert len(items[1].read(5)) == 5


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:\\out.png", "..\\out.png"]
)
def test_an_archive_with_an_entry_outside_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="entry outside of itself"):
        discover(tmp_path / "a.zip")


def test_a_bomb_is_refused_unopened(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.bmp", bytes(2_000_000))
    assert len(discover(tmp_path / "a.zip")) == 3  # a few blank pictures are no bomb
    monkeypatch.setattr(archives, "SMALL", 1_000_000)
    with pytest.raises(DataError, match="times its size"):
        discover(tmp_path / "a.zip")
    monkeypatch.setattr(archives, "MOST_ENTRIES", 2)
    with pytest.raises(DataError, match="holds 3 files"):
        discover(tmp_path / "a.zip")
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    monkeypatch.setattr(archives, "MOST_BYTES", 5_000_000)
    with pytest.raises(DataError, match="the most is"):
        discover(tmp_path / "a.zip")


def test_a_folder_in_a_store_is_listed_and_read(tmp_path):
    picture = paint(tmp_path / "x.png").read_bytes()
    store = fsspec.filesystem("memory")
    for name in ("b.png", "a b.JPG", "notes.txt", ".c.png", "sub/d.webp", "__MACOSX/e.png", ".git/f.png"):
        store.pipe(f"/photos/{name}", picture)
    items = discover("memory://photos")
    assert [item.name for item in items] == ["a b.JPG", "b.png"]
    assert names("memory://photos/", recursive=True) == ["a b.JPG", "b.png", "sub/d.webp"]
    assert items[1].read(10_000) == picture
    assert len(items[1].read(5)) == 5
    before = items[1].stamp
    assert discover("memory://photos")[1].stamp == before
    store.pipe("/photos/b.png", picture)
    assert discover("memory://photos")[1].stamp != before
    store.rm("/photos/b.png")
    with pytest.raises(ImageError, match="cannot be read from its store"):
        items[1].read(5)


def test_a_store_that_cannot_be_used_says_why(tmp_path):
    paint(tmp_path / "sub" / "a.png")
    with pytest.raises(DataError, match="cannot be opened .*nowhere"):
        discover("nowhere://photos")
    with pytest.raises(DataError, match="does not exist"):
        discover((tmp_path / "gone").as_uri())
    with pytest.raises(DataError, match="--recursive"):
        discover(tmp_path.as_uri())
    with pytest.raises(DataError, match="is a file. Name a folder"):
        discover((tmp_path / "sub" / "a.png").as_uri())


def test_items_can_be_read_by_another_process(tmp_path, monkeypatch):
    picture = paint(tmp_path / "photos" / "a.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", picture)
    monkeypatch.chdir(tmp_path)
    items = [discover(source)[0] for source in ("photos", "a.zip", (tmp_path / "photos").as_uri())]
    monkeypatch.chdir("/")  # as other processes may be elsewhere
    assert [item.read(10_000) for item in pickle.loads(pickle.dumps(items))] == [picture] * 3


def test_a_damaged_entry_is_that_pictures_error(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"0123456789" * 10)
        archive.writestr("b.png", b"whole")
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"012345678X", 1))
    damaged, whole = discover(path)
    with pytest.raises(ImageError, match="damaged in the archive"):
        damaged.read(1000)
    assert whole.read(1000) == b"whole"
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x00\x00", 1))
    with pytest.raises(DataError, match="not a whole ZIP archive"):
        discover(path)


FIRST = "Łbad.png"  # written in UTF-8
DATA = 30 + len(FIRST.encode())  # where its bytes begin in an archive


@pytest.mark.parametrize(
    ("method", "at", "bytes_there"),
    [
        (zipfile.ZIP_LZMA, DATA + 4, b"\xff" * 5),  # options that LZMA has not
        (zipfile.ZIP_LZMA, DATA, b"\xff" * 4),
        (zipfile.ZIP_LZMA, DATA + 2, b"\0\0"),
        (zipfile.ZIP_BZIP2, DATA, b"\xff" * 40),
        (zipfile.ZIP_DEFLATED, DATA, b"\xff" * 40),
        (zipfile.ZIP_STORED, DATA, b"\xff" * 40),
        (zipfile.ZIP_STORED, 0, bytes(4)),
        (zipfile.ZIP_STORED, 30, b"\xff"),  # a name that is no UTF-8
        (zipfile.ZIP_STORED, -10, b"\x63"),  # a compression that nobody knows
        (zipfile.ZIP_STORED, -8, b"\x01"),  # a password
    ],
)
def test_whatever_is_wrong_with_an_entry_is_one_failed_picture(pipeline, tmp_path, method, at, bytes_there):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(FIRST, bytes(range(256)) * 40)
        archive.writestr("good.png", b"whole")
    data = bytearray(path.read_bytes())
    at = at if at >= 0 else data.index(b"PK\x01\x02") - at  # a place in the list of entries
    data[at : at + len(bytes_there)] = bytes_there
    path.write_bytes(data)
    good, bad = discover(path)
    assert (bad.name, good.name) == (FIRST, "good.png")
    assert good.read(100) == b"whole"
    with pytest.raises(ImageError, match="in the archive|cannot be unpacked"):
        bad.read(100_000)
    assert "Pack it again" in open_item(pipeline, bad).error


def test_an_archive_whose_list_is_damaged_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(FIRST, b"x")
    whole = (tmp_path / "a.zip").read_bytes()
    entry = whole.index(b"PK\x01\x02")
    for at in (entry, entry + 6, entry + 46):  # its mark, version and name
        damaged = bytearray(whole)
        damaged[at] = 0xFF
        (tmp_path / "a.zip").write_bytes(damaged)
        with pytest.raises(DataError, match="not a whole ZIP archive"):
            discover(tmp_path / "a.zip")


@pytest.mark.parametrize("count", [150_000, 700_000])
def test_a_huge_list_of_entries_is_refused_before_it_is_taken_in(tmp_path, count):
    """Its record says that there is one, and a long list is not even read."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    data = (tmp_path / "a.zip").read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry, record = data[start:end], bytearray(data[end:])
    record[12:16] = (count * len(entry)).to_bytes(4, "little")
    with open(tmp_path / "a.zip", "wb") as file:
        file.write(data[:start] + entry * count + record)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"a\.zip holds .*; the most is 100000 files"):
            discover(tmp_path / "a.zip")
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_a_picture_that_unpacks_to_much_more_takes_little_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.bmp", bytes(90_000_000))
    (item,) = discover(tmp_path / "a.zip")
    tracemalloc.start()
    try:
        assert len(item.read(1_000_000)) == 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 85_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_waiting_archives_hold_no_file_open(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x" * 200_000)
    before = len(os.listdir("/proc/self/fd"))
    items = [discover(shutil.copy(tmp_path / "a.zip", tmp_path / f"{i}.zip"))[0] for i in range(20)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda item: item.read(300_000), items)) == {b"x" * 200_000}
    assert len(os.listdir("/proc/self/fd")) == before


def test_names_are_one_line_and_command_no_terminal(run, tmp_path):
    awkward = ["a\x1b[31m.png", "b\n# heading.png", "c\u202egnp.exe.png", "d\x9b2J.png"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in awkward:
            archive.writestr(name, b"no picture")
    expected = [r"a\x1b[31m.png", r"b\n# heading.png", r"c\u202egnp.exe.png", r"d\x9b2J.png"]
    assert names(tmp_path / "a.zip") == expected
    code, told = run("batch", tmp_path / "a.zip", "-o", tmp_path / "out.csv", "--errors", tmp_path / "e.csv")
    assert code == 2
    assert not set(told) & {"\x1b", "\x9b", "\u202e"}
    assert told.count("\n") == len(awkward) + 1  # and the summary
    with open(tmp_path / "e.csv", newline="", encoding="utf-8-sig") as file:
        assert [line["path"] for line in csv.DictReader(file)] == expected
    code, told = run("batch", "\x1b[2Jnowhere", "-o", tmp_path / "out.csv")
    assert code == 2 and r"\x1b[2Jnowhere does not exist" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("as_url", [True, False])
def test_a_pipe_in_a_folder_is_not_read(tmp_path, as_url):
    os.mkfifo(tmp_path / "a.png")
    pipe = os.open(tmp_path / "a.png", os.O_RDWR)  # with something in it, so that who reads it comes back
    os.write(pipe, b"x")
    try:
        (item,) = discover(tmp_path.as_uri() if as_url else tmp_path)
        with pytest.raises(ImageError, match="is not a file"):
            item.read(1)
    finally:
        os.close(pipe)


def test_a_name_too_long_for_any_file_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        discover(tmp_path / ("x" * 300))
    (tmp_path / "list.txt").write_text("x" * 300 + ".png\n")
    (tmp_path / "out.csv").touch()
    (item,) = discover(tmp_path / "list.txt")
    batch.check_output("csv", tmp_path / "out.csv", [item], tmp_path / "list.txt")
    with pytest.raises(ImageError, match="name too long"):
        item.read(1)


# Work and journal


def work(pipeline, items, journal, size=2):
    return list(batch.work(pipeline, items, journal, size, workers=2))


def test_rows_come_in_order_with_bad_pictures_among_them(pipeline, folder, tmp_path):
    Image.open(folder / "p4.png").save(folder / "p4.jpg", exif=exif_turned())
    items = discover(folder)
    with closing(Journal(tmp_path / "j", "x")) as journal:
        groups = work(pipeline, items, journal, 4)
        assert [[one.name for one in rows] for rows in groups] == [
            ["p0.png", "p1.png", "p2.png", "p3.png"],
            ["p4.jpg", "p4.png"],
        ]
        rows = list(journal.rows(items))
    for told, found in zip((one for group in groups for one in group), rows, strict=True):
        assert {**vars(told), "embedding": 0} == {**vars(found), "embedding": 0}
        assert np.array_equal(told.embedding, found.embedding) or told.error
    assert [bool(one.error) for one in rows] == [False, False, False, True, False, False]
    assert rows[3].error.startswith("The picture is not a readable")
    expected = pipeline([folder / name for name in ("p0.png", "p1.png", "p2.png")])
    for one, result in zip(rows, expected, strict=False):
        assert (one.caption, one.prompt) == (result.caption, result.prompt)
        assert np.array_equal(one.embedding, result.embedding)
        assert one.labels.keys() == result.labels.keys()
        assert one.alt_text
    assert (rows[0].width, rows[0].height) == (48, 48)


def exif_turned():
    exif = Image.Exif()
    exif[274] = 6
    return exif


def test_sizes_are_the_upright_originals(pipeline, tmp_path):
    big = Image.new("RGB", (3000, 2000), "teal")
    big.save(tmp_path / "big.jpg", exif=exif_turned())
    opened = open_item(pipeline, discover(tmp_path)[0])
    assert opened.size == (2000, 3000)
    assert opened.picture.width < 2000


def test_a_stopped_run_goes_on_with_the_same_groups(pipeline, folder, tmp_path):
    items = discover(folder)
    with closing(Journal(tmp_path / "whole", "x")) as journal:
        work(pipeline, items, journal)
        whole = [one.embedding for one in journal.rows(items)]
    with closing(Journal(tmp_path / "stopped", "x")) as journal:
        for _ in batch.work(pipeline, items, journal, 2, workers=2):
            break
    for name in ("p0.png", "p1.png"):  # whoever looked at them again would see it
        break_quietly(folder / name)
    items = discover(folder)
    with closing(Journal(tmp_path / "stopped", "x")) as journal:
        assert [item.name for item in journal.missing(items)] == ["p2.png", "p3.png", "p4.png"]
        assert [len(rows) for rows in work(pipeline, items, journal)] == [2, 1]
        assert work(pipeline, items, journal) == []
        resumed = [one.embedding for one in journal.rows(items)]
    for one, other in zip(whole, resumed, strict=True):
        assert one is other or np.array_equal(one, other)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 9), st.data())
def test_whichever_groups_are_done_the_others_stay_as_they_were(count, size, data):
    items = [Item(f"{i}.png", "x", bytes) for i in range(count)]
    groups = cut(items, size)
    assert [item for group in groups for item in group] == items
    done = data.draw(st.sets(st.integers(0, len(groups) - 1)))
    with closing(Journal(":memory:", "x")) as journal:
        for number in done:
            journal.add(groups[number], [Row(item.name) for item in groups[number]])
        rest = [group for number, group in enumerate(groups) if number not in done]
        assert cut(journal.missing(items), size) == rest


def test_what_has_changed_is_done_again(tmp_path):
    paint(tmp_path / "photos" / "a.png", 0)
    paint(tmp_path / "photos" / "b.png", 1)
    items = discover(tmp_path / "photos")
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.add(items, [row("a.png"), row("b.png")])
        paint(tmp_path / "photos" / "b.png", 2, size=(50, 50))
        assert [item.name for item in journal.missing(discover(tmp_path / "photos"))] == ["b.png"]
        journal.clear()
        assert len(journal.missing(items)) == 2
        journal.add(items, [row("a.png"), Row("b.png", error="no")])
        journal.forget_errors()
        assert [item.name for item in journal.missing(items)] == ["b.png"]
    with closing(Journal(tmp_path / "j", "another style")) as journal:
        assert len(journal.missing(items)) == 2
        assert list(journal.rows(items)) == []


def test_the_fingerprint_changes_with_what_results_depend_on(pipeline):
    def fingerprint(**values):
        return batch.fingerprint(Pipeline(pipeline.engine, pipeline.sentences, [], Settings(**values)))

    assert fingerprint(device="cuda", max_megabytes=1, engine="lite") == fingerprint()
    assert len({fingerprint(), fingerprint(style="fast"), fingerprint(beams=1), fingerprint(ratio=0.5)}) == 4


@pytest.mark.slow
def test_results_of_other_weights_do_not_count(run, pipeline, folder, tmp_path, monkeypatch):
    """One number in a copy of the weights differs."""
    lite = shutil.copytree(weights.bundled("lite"), tmp_path / "models" / "lite")
    same = LiteEngine(lite, pipeline.sentences)
    assert same.weights_id == pipeline.engine.weights_id
    values = load_file(lite / "model.safetensors")
    values["mean_embedding"][0] += 1
    save_file(values, lite / "model.safetensors")
    command = ("batch", folder, "-o", tmp_path / "out.csv")
    assert "5 tried now" in run(*command)[1]
    assert "1 tried now" in run(*command)[1]  # the picture that failed
    monkeypatch.setattr(pipeline, "engine", LiteEngine(lite, pipeline.sentences))
    assert "5 tried now" in run(*command)[1]


def test_a_journal_belongs_to_one_run(tmp_path):
    with closing(Journal(tmp_path / "j", "x")), pytest.raises(DataError, match="in use by another run"):
        Journal(tmp_path / "j", "x")
    Journal(tmp_path / "j", "x").close()


def test_files_that_are_no_journal_are_left_alone(tmp_path):
    (tmp_path / "notes").write_text("dear diary, " * 100)
    with pytest.raises(DataError, match="no journal"):
        Journal(tmp_path / "notes", "x")
    assert (tmp_path / "notes").read_text().startswith("dear diary")
    with closing(sqlite3.connect(tmp_path / "other")) as database:
        database.execute("CREATE TABLE results (mine)")
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(DataError, match="no journal"):
        Journal(tmp_path / "other", "x")
    assert (tmp_path / "other").read_bytes() == before
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path / "nowhere" / "j", "x")


DAMAGES = [
    "caption = x'ff'",
    "caption = CAST(x'ff' AS TEXT)",
    "labels = '['",
    'labels = \'{"flavors": [["warm"]]}\'',
    'labels = \'{"flavors": [["warm", Infinity]]}\'',
    "labels = '" + "[" * 100_000 + "'",
    "hashtags = '{}'",
    "hashtags = '[1]'",
    "stored = 'x'",
    "stored = '[]'",
    """stored = '{"prompt": 1}'""",
    """stored = '{"size": [1]}'""",
    """stored = '{"size": [1, null]}'""",
    """stored = '{"seed": true}'""",
    """stored = '{"steps": -1}'""",
    "width = 'wide'",
    "width = 1000000000000",
    "embedding = NULL",
    "embedding = x'0000'",
    "embedding = CAST(zeroblob(1532) || x'0000c07f' AS BLOB)",  # its last number is none
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_one_failed_picture_and_made_again(tmp_path, damage):
    items = [Item(f"{i}.png", "x", bytes) for i in range(3)]
    rows = [row(item.name, seed) for seed, item in enumerate(items)]
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.add(items, rows)
    with closing(sqlite3.connect(tmp_path / "j")) as database, database:
        database.execute(f"UPDATE results SET {damage} WHERE name = '1.png'")
    with closing(Journal(tmp_path / "j", "x")) as journal:
        found = list(journal.rows(items))
        assert [one.name for one in found] == ["0.png", "1.png", "2.png"]
        assert [bool(one.error) for one in found] == [False, True, False]
        assert "is damaged. The next run describes it again" in found[1].error
        assert [line.name for line in journal.overview()] == ["0.png", "1.png", "2.png"]
        for kind in batch.FORMATS:
            batch.export(kind, tmp_path / "out", items, journal, np.zeros(384, np.float32))
        assert journal.drop_damaged() == 1
        assert journal.missing(items) == [items[1]]
        assert journal.drop_damaged() == 0
        assert np.array_equal(found[2].embedding, rows[2].embedding)


def test_a_damaged_edit_gives_way_to_the_model(tmp_path):
    item = Item("a.png", "x", bytes)
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.add([item], [row("a.png")])
        journal.edit("a.png", "mine")
    with closing(sqlite3.connect(tmp_path / "j")) as database, database:
        database.execute("UPDATE edits SET caption = x'ff'")
    with closing(Journal(tmp_path / "j", "x")) as journal:
        assert next(journal.rows([item])).error
        journal.drop_damaged()
        journal.add([item], [row("a.png")])
        assert next(journal.rows([item])).caption == "caption of a.png"


def test_a_failed_picture_has_nothing_of_an_earlier_edit(tmp_path):
    item = Item("a.png", "x", bytes)
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.edit("a.png", "mine")
        journal.add([item], [Row("a.png", error="it is gone")])
        (found,) = journal.rows([item])
        assert found.error and not (found.caption or found.alt_text or found.hashtags)


def test_pictures_are_found_by_their_labels(tmp_path):
    items = [Item(name, "x", bytes) for name in ("a.png", "b.png", "c.png", "d.png")]
    oil = {"mediums": [("an Oil painting", 0.3), ("a photo", 0.2)], "flavors": [("oil on canvas", 0.1)]}
    rows = [
        row("a.png", labels=oil),
        row("b.png", labels={"own": [("유화", 0.5)], "mediums": [("a photo", 0.2)]}),
        Row("c.png", error="it is gone"),
        row("d.png"),
    ]
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.add(items, rows)
        assert journal.labelled("OIL") == {"a.png": ("an Oil painting", "oil on canvas")}
        assert set(journal.labelled("photo")) == {"a.png", "b.png"}
        assert journal.labelled("유화") == {"b.png": ("유화",)}
        assert journal.labelled("mediums") == {} == journal.labelled("%")
        for damage in ("no JSON", '{"mediums": "oil"}', '{"mediums": ["oil", 3, null, ["oil"]]}', "7"):
            journal._write("UPDATE results SET labels = ? WHERE name = 'a.png'", [(damage,)])
            assert set(journal.labelled("oil")) <= {"a.png"}


@pytest.mark.parametrize("missing", [["colours"], ["stored"], ["colours", "stored"]], ids=" and ".join)
def test_a_journal_of_an_earlier_version_is_read_and_written(missing, tmp_path):
    items = [Item("a.png", "x", bytes), Item("b.png", "x", bytes)]
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.add(items[:1], [row("a.png")])
    with closing(sqlite3.connect(tmp_path / "j")) as database, database:
        for column in missing:
            database.execute(f"ALTER TABLE results DROP COLUMN {column}")  # as earlier versions had it
    stored = Stored("a cat", size=(8, 9), seed=2**64 - 1, tool="ComfyUI")
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.add(items[1:], [replace(row("b.png"), colours=("red", "blue"), stored=stored)])
        assert [found.colours for found in journal.rows(items)] == [(), ("red", "blue")]
        assert [found.stored for found in journal.rows(items)] == [None, stored]
        assert [line.stored for line in journal.overview()] == ["", "a cat"]


def test_the_command_writes_posts_where_a_format_holds_them(folder, tmp_path, run):
    out = tmp_path / "out.csv"
    command = ["batch", folder, "-o", out]
    assert run(*command, "--tone", "playful", "--length", "line", "--note", "Jeju")[0] == 3
    with open(out, encoding="utf-8-sig", newline="") as file:
        posts = [row["post"] for row in csv.DictReader(file) if not row["error"]]
    assert len(posts) == 4 and all("Jeju" in post and "#" in post for post in posts)
    for wrong, said in (
        (["--tone", "shouted"], "tone is 'shouted'"),
        (["--note", "Jeju"], "name a --tone"),
        (["--tone", "plain", "--length", "endless"], "length is 'endless'"),
        (["--tone", "plain", "--format", "submission"], "submission holds no posts"),
    ):
        code, error = run(*command, *wrong)
        assert code == 2 and said in error


def test_a_resting_journal_is_free_for_others_until_it_is_used_again(tmp_path):
    with closing(Journal(tmp_path / "j", "x")) as journal:
        journal.edit("a.png", "mine")
        journal.rest()
        with closing(Journal(tmp_path / "j", "x")), pytest.raises(DataError, match="in use by another run"):
            journal.overview()
        assert journal.overview() == []
    with pytest.raises(DataError, match="closed"):
        journal.overview()


# Outputs


def test_tables_for_people_open_in_excel_and_those_for_programs_are_plain(kept, tmp_path):
    items, _, journal = kept
    for kind in ("csv", "jsonl", "submission"):
        batch.export(kind, tmp_path / kind, items, journal, np.zeros(384, np.float32))
    batch.export_errors(tmp_path / "errors", items, journal)
    marked = {
        path.name for path in tmp_path.iterdir() if path.is_file() and path.read_bytes()[:3] == BOM_UTF8
    }
    assert marked == {"csv", "errors"}


def test_csv_holds_every_cell_and_no_formula(kept, tmp_path):
    items, rows, journal = kept
    batch.export("csv", tmp_path / "out.csv", items, journal, None)
    with open(tmp_path / "out.csv", newline="", encoding="utf-8-sig") as file:
        found = list(csv.DictReader(file))
    assert [plain(one["path"]) for one in found] == [item.name for item in items] == NAMES
    assert not any(cell.startswith(("=", "+", "-", "@")) for one in found for cell in one.values())
    assert found[0]["labels"] == "flavors: warm light"
    assert found[0]["hashtags"] == "#dog #beach"
    assert (found[0]["width"], found[0]["height"], found[0]["error"]) == ("40", "30", "")
    assert (found[2]["width"], found[2]["caption"], found[2]["error"]) == ("", "", rows[2].error)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), min_size=2)
    )
)
def test_any_text_survives_the_table_and_is_no_formula(table):
    file = io.BytesIO()
    write_table(file, ("a", "b"), table)
    _, *found = csv.reader(io.StringIO(file.getvalue().decode("utf-8-sig"), newline=""))
    assert [[plain(cell) for cell in line] for line in found] == table
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for line in found for cell in line)


def test_neutral_marks_only_what_needs_it():
    assert neutral("a dog = happy") == "a dog = happy"
    assert neutral('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    assert neutral("＋1") == "'＋1"


def test_jsonl_and_parquet_hold_the_same(kept, tmp_path):
    items, rows, journal = kept
    batch.export("jsonl", tmp_path / "out.jsonl", items, journal, None)
    batch.export("parquet", tmp_path / "out.parquet", items, journal, None)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [line["path"] for line in lines] == [one.name for one in rows]
    assert lines[0]["labels"] == {"flavors": [{"label": "warm light", "score": 0.25}]}
    assert [line["error"] for line in lines[:3]] == [None, None, rows[2].error]
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert table[0].pop("labels") == [{"table": "flavors", "label": "warm light", "score": 0.25}]
    lines[0].pop("labels")
    assert table[0] == lines[0]
    assert [one["path"] for one in table] == [one.name for one in rows]


def test_a_submission_is_sorted_by_id_and_a_failure_gets_the_mean(tmp_path):
    for name in ("a-b.png", "a.png", "sub/B.png"):
        paint(tmp_path / "photos" / name)
    items = discover(tmp_path / "photos", recursive=True)
    assert [item.name for item in items] == ["a-b.png", "a.png", "sub/B.png"]
    mean = np.full(384, 384**-0.5, np.float32)
    with closing(Journal(tmp_path / "j", "x")) as journal:
        rows = [row("a-b.png", 1), Row("a.png", error="The picture is empty."), row("sub/B.png", 2)]
        journal.add(items, rows)
        batch.export("submission", tmp_path / "out.csv", items, journal, mean)
        found = read_submission(tmp_path / "out.csv")
        assert found.ids == ["B", "a", "a-b"]
        assert np.array_equal(found.vectors, [rows[2].embedding, mean, rows[0].embedding])
        with pytest.raises(DataError, match=r"a\.png failed .* no mean"):
            batch.export("submission", tmp_path / "out.csv", items, journal, None)
        assert np.array_equal(read_submission(tmp_path / "out.csv").vectors, found.vectors)  # the old file


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    (tmp_path / "link.csv").symlink_to(path)
    with replacing(tmp_path / "link.csv") as file:
        file.write(b"through the link")
    assert path.read_text() == "through the link"
    long = tmp_path / ("Ł" * 120 + ".txt")
    with replacing(long) as file:
        file.write(b"x")
    assert sorted(tmp_path.iterdir()) == sorted([path, tmp_path / "link.csv", long])


def test_two_writers_of_one_file_never_mix(tmp_path):
    path = tmp_path / "out.csv"
    with replacing(path) as file:
        file.write(b"first")
        with pytest.raises(DataError, match=r"out\.csv is being written by another run"), replacing(path):
            pass
    assert path.read_bytes() == b"first"
    with pytest.raises(DataError, match="cannot be written"), replacing(path):
        raise OSError("no more")
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]

    def write(letter):
        done = 0
        for _ in range(100):
            with suppress(DataError), replacing(path, durable=False) as file:
                for _ in range(20):
                    file.write(letter * 1000)
                    file.flush()
                done += 1
            found = path.read_bytes()
            assert found in (b"first", found[:1] * 20_000)
        return done

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, (b"a", b"b", b"c", b"d"))) > 0
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


def test_what_a_killed_writer_left_is_used_again(tmp_path):
    path = tmp_path / "out.csv"
    with replacing(path):
        (part,) = tmp_path.iterdir()
    part.write_bytes(b"half of something longer than it should be")
    with replacing(path) as file:
        file.write(b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"] and path.read_bytes() == b"whole"


def test_texts_lie_beside_the_pictures_or_under_a_folder(kept, tmp_path):
    items, rows, journal = kept
    options = batch.TextFiles(prepend="sks style, ", append=", film grain")
    assert batch.export_text(items, tmp_path / "texts", journal, options) == len(AWKWARD) - 1
    assert (tmp_path / "texts" / "a, b.txt").read_text() == "sks style, caption of a, b.png, film grain\n"
    assert not (tmp_path / "texts" / Path(rows[2].name).with_suffix(".txt")).exists()
    batch.export_text(items, None, journal, batch.TextFiles())
    assert (tmp_path / "awkward" / "Łódź 🐶.txt").read_text(encoding="utf-8") == "caption of Łódź 🐶.png\n"
    assert sorted(names(tmp_path / "awkward")) == NAMES


def test_a_text_that_somebody_else_wrote_is_never_lost(kept, tmp_path):
    items, _, journal = kept
    mine = tmp_path / "awkward" / "a, b.txt"
    mine.write_text("my own words")
    with pytest.raises(DataError, match=r"in the way: .*/a, b\.txt \(1 in all\).*--skip-existing"):
        batch.export_text(items, None, journal, batch.TextFiles())
    batch.export_text(items, None, journal, batch.TextFiles(skip_existing=True))
    assert mine.read_text() == "my own words"
    other = tmp_path / "awkward" / "-x.txt"
    assert other.read_text() == "caption of -x.png\n"
    batch.export_text(items, None, journal, batch.TextFiles(skip_existing=True, prepend="sks, "))
    assert other.read_text() == "sks, caption of -x.png\n"  # ours, so it may be renewed
    other.write_text("edited")
    assert [file for _, file in batch.foreign_texts(items, None, journal)] == [other, mine]
    batch.export_text(items, None, journal, batch.TextFiles(skip_existing=True))
    assert other.read_text() == "edited"
    batch.export_text(items, None, journal, batch.TextFiles(overwrite=True))
    assert (other.read_text(), mine.read_text()) == ("caption of -x.png\n", "caption of a, b.png\n")


def test_listed_paths_stay_under_the_folder_of_texts(tmp_path):
    (tmp_path / "list.txt").write_text("/data/a.png\n../b.png\nc/d.png\n")
    items = discover(tmp_path / "list.txt")
    files = [file for _, file in text_files(items, tmp_path / "out")]
    assert files == [tmp_path / "out" / name for name in ("data/a.txt", "b.txt", "c/d.txt")]


# What can be known before the work starts


def test_checks_before_the_work(tmp_path):
    photos = tmp_path / "photos"
    for name in ("a.png", "b.png", "sub/a.jpg", "b.jpg"):
        paint(photos / name)
    items = discover(photos, recursive=True)
    with pytest.raises(DataError, match=r"a\.png and sub/a\.jpg would both be 'a'"):
        batch.check_output("submission", tmp_path / "out.csv", [items[0], items[3]], photos)
    with pytest.raises(DataError, match=r"b\.jpg and b\.png would both be .*b\.txt"):
        batch.check_output("txt", None, items, photos)
    with pytest.raises(ConfigError, match="format is 'docx'"):
        batch.check_output("docx", tmp_path / "out.csv", items, photos)
    with pytest.raises(DataError, match="nowhere is not a folder"):
        batch.check_output("csv", tmp_path / "nowhere" / "out.csv", items, photos)
    with pytest.raises(DataError, match="is a folder. Name a file"):
        batch.check_output("csv", photos, items, photos)
    with pytest.raises(DataError, match="part of the input"):
        batch.check_output("csv", photos / "a.png", items, photos)
    with pytest.raises(DataError, match="txt writes many"):
        batch.check_output("txt", photos / "a.png", items[:1], photos)
    batch.check_output("csv", tmp_path / "out.csv", items, photos)
    with pytest.raises(ConfigError, match="Cannot tell the format"):
        batch.guess_format(tmp_path / "out.xlsx")
    for kind, name in (("csv", "out.parquet"), ("submission", "out.npz"), ("jsonl", "out.csv")):
        with pytest.raises(ConfigError, match=f"ends in {Path(name).suffix}, and what is written is"):
            batch.check_output(kind, tmp_path / name, items[:2], photos)
    batch.check_output("submission", tmp_path / "out.CSV", items[:2], photos)
    batch.check_output("parquet", tmp_path / "out", items, photos)


def test_texts_of_an_archive_need_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
    with pytest.raises(ConfigError, match="--output"):
        batch.check_output("txt", None, discover(tmp_path / "a.zip"), tmp_path / "a.zip")


def test_too_little_space_is_known_before(tmp_path, monkeypatch):
    items = discover(paint(tmp_path / "photos" / "a.png").parent)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with pytest.raises(DataError, match="of free space, and the run needs about"):
        batch.check_output("submission", tmp_path / "out.csv", items, tmp_path / "photos")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    items = discover(paint(tmp_path / "photos" / "a.png").parent)
    (tmp_path / "sealed").mkdir(mode=0o500)
    with pytest.raises(DataError, match="cannot be written"):
        batch.check_output("csv", tmp_path / "sealed" / "out.csv", items, tmp_path / "photos")


# The command


def test_the_command_writes_what_is_asked_and_resumes(run, folder, tmp_path):
    out, errors, journal = tmp_path / "out.csv", tmp_path / "errors.csv", tmp_path / "j"
    code, told = run("batch", folder, "-o", out, "--errors", errors, "--batch-size", 3, "--journal", journal)
    assert code == 3
    assert "p3.png: The picture is not a readable" in told
    assert "4 of 5 pictures described, 5 tried now" in told and "1 failed" in told
    with open(errors, newline="", encoding="utf-8-sig") as file:
        assert [line["path"] for line in csv.DictReader(file)] == ["p3.png"]
    with open(out, newline="", encoding="utf-8-sig") as file:
        assert [line["path"] for line in csv.DictReader(file)] == [f"p{i}.png" for i in range(5)]

    # The same work for another format; the picture that failed is tried again.
    paint(folder / "p3.png", 3)
    code, told = run(
        "batch", folder, "-o", tmp_path / "sub.csv", "--format", "submission", "--journal", journal
    )
    assert code == 0
    assert "5 of 5 pictures described, 1 tried now" in told
    found = read_submission(tmp_path / "sub.csv")
    assert found.ids == [f"p{i}" for i in range(5)]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    code, told = run("batch", folder, "-o", out, "--journal", journal, "--restart", "--style", "fast")
    assert code == 0 and "5 tried now" in told


def test_the_command_says_what_was_damaged_and_does_it_again(run, folder, tmp_path):
    (folder / "p3.png").unlink()
    command = ("batch", folder, "-o", tmp_path / "out.csv")
    assert "4 tried now" in run(*command)[1]
    before = (tmp_path / "out.csv").read_bytes()
    with closing(sqlite3.connect(tmp_path / "out.csv.journal")) as database, database:
        database.execute("UPDATE results SET labels = '{' WHERE name = 'p1.png'")
    code, told = run(*command)
    assert code == 0 and "out.csv.journal: 1 result; described again" in told and "1 tried now" in told
    assert (tmp_path / "out.csv").read_bytes() == before


def test_a_failed_picture_of_a_submission_gets_the_training_mean(run, pipeline, folder, tmp_path):
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    code, told = run("batch", folder, "-o", tmp_path / "sub.csv", "--format", "submission")
    assert code == 3
    assert "failed pictures have the training mean" in told
    found = read_submission(tmp_path / "sub.csv")
    vectors = dict(zip(found.ids, found.vectors, strict=True))
    for failed in ("p3", "dot"):
        assert np.array_equal(vectors[failed], pipeline.engine.mean_embedding)
    assert (tmp_path / "sub.csv.journal").is_file()


def test_pictures_in_sub_folders_are_passed_over_with_a_word(run, folder, tmp_path):
    paint(folder / "below" / "q.png")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "p0.png", folder / ".hidden")
    _, told = run("batch", folder, "-o", tmp_path / "out.csv")
    assert "passed over in sub-folders: 1 picture. Add --recursive to take all." in told
    _, told = run("batch", folder, "-o", tmp_path / "out.csv", "--recursive")
    assert "5 of 6 pictures described, 2 tried now" in told and "passed over" not in told


def test_when_all_fail_the_old_output_stays(run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    (tmp_path / "out.csv").write_text("old")
    code, told = run("batch", tmp_path / "photos", "-o", tmp_path / "out.csv", "--errors", tmp_path / "e.csv")
    assert code == 2
    assert "nothing was written" in told
    assert (tmp_path / "out.csv").read_text() == "old"
    assert "a.png,The picture is empty" in (tmp_path / "e.csv").read_text()


def test_texts_beside_the_pictures_by_command(run, folder, tmp_path):
    (folder / "p0.txt").write_text("mine")
    code, told = run("batch", folder, "--format", "txt")
    assert code == 2 and "p0.txt" in told
    code, told = run("batch", folder, "--format", "txt", "--skip-existing", "--prepend", "sks, ")
    assert code == 3 and "3 of 4 pictures described, 4 tried now" in told
    assert (folder / "p0.txt").read_text() == "mine"
    assert (folder / "p1.txt").read_text().startswith("sks, ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "photos.journal"]
    shutil.copy(folder / "p1.txt", folder / "p1.before")
    assert run("batch", folder, "--format", "txt", "--skip-existing", "--prepend", "sks, ")[0] == 3
    assert (folder / "p1.txt").read_bytes() == (folder / "p1.before").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.xlsx"], "Cannot tell the format"),
        ([], "Cannot tell the format"),
        (["--format", "csv"], "--output"),
        (["-o", "out.csv", "--batch-size", "none"], "batch-size"),
        (["-o", "out.csv", "--errors", "out.csv"], "is to be written twice"),
        (["-o", "out.csv", "--prepend", "x"], "--format txt"),
        (["-o", "out.csv", "--engine", "best"], "engine is 'best'"),
    ],
)
def test_bad_usage(folder, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["batch", str(folder), *arguments])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_samples_make_the_samples_submission(run, shared_data, tmp_path):
    sample = shared_data / "kaggle_sample"
    code, _ = run("batch", sample / "images", "-o", tmp_path / "out.csv", "--format", "submission")
    assert code == 0
    with open(sample / "sample_submission.csv") as expected, open(tmp_path / "out.csv") as found:
        assert [line.split(",")[0] for line in found] == [line.split(",")[0] for line in expected]
    vectors = read_submission(tmp_path / "out.csv").vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_score_and_ensemble_by_command(run, tmp_path):
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    truth, first, second = (tmp_path / name for name in ("truth.csv", "a.csv", "b.csv"))
    vectors = rng.normal(size=(6, 384)).astype(np.float32)
    for path, noise in ((truth, 0.0), (first, 1.0), (second, 1.5)):
        noisy = vectors + noise * rng.normal(size=vectors.shape).astype(np.float32)
        with replacing(path) as file:
            write_submission(file, ((f"p{i}", vector) for i, vector in enumerate(noisy)))
    assert run("ensemble", first, second, "--ratio", 0.45, 0.55, "-o", tmp_path / "e.csv")[0] == 0
    blended = read_submission(tmp_path / "e.csv").vectors
    np.testing.assert_allclose(np.linalg.norm(blended, axis=1), 1, atol=1e-5)
    run("ensemble", "--ratio", 45, 55, first, second, "-o", tmp_path / "e2.csv")
    np.testing.assert_allclose(blended, read_submission(tmp_path / "e2.csv").vectors, atol=1e-6)
    assert run("score", tmp_path / "e.csv", truth, "-o", tmp_path / "table.csv")[0] == 0
    with open(tmp_path / "table.csv", newline="", encoding="utf-8-sig") as file:
        assert [line["imgId"] for line in csv.DictReader(file)] == [f"p{i}" for i in range(6)]
    assert run("ensemble", "tune", first, second, truth, "--json")[0] == 0
    assert run("ensemble", "tune", first, second)[0] == 2
    assert run("ensemble", first, second, "--ratio", 1, "-o", tmp_path / "e.csv")[0] == 2
    assert run("score", first, tmp_path / "nowhere.csv")[0] == 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_and_a_sigterm_at_random_moments_never_show(tmp_path):
    for i in range(16):
        paint(tmp_path / "photos" / f"{i:02}.png", i)
    (tmp_path / "photos" / "05.png").write_bytes(b"broken")
    (tmp_path / "work").mkdir()
    command = [
        sys.executable,
        "-m",
        "tests.helpers.kill_batch",
        str(tmp_path / "photos"),
        str(tmp_path / "work"),
        "20",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["kept"]) == 20
    assert any(0 < count < 15 for count in found["kept"])
    assert all(count % 4 == 0 or count == 15 for count in found["kept"])  # whole groups; 15 once reported
    assert found["outputs"] >= 1 and found["different"] == 0
    assert {name for name in found["files"] if name.endswith(".part")} == set()
    assert found["code"] == 143
    assert "of 16 pictures done and kept; the same command goes on." in found["said"]
    assert "Traceback" not in found["said"]
