"""Captions of a whole set: operations, filters, counts, files, the way back, near-duplicates, the commands."""

import json
import os
import sqlite3
import sys
import tracemalloc
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from img2prompt.captions import Change, Editor, Entry, Filter, Folder, Journal, Version, edits
from img2prompt.captions import duplicates as comparing
from img2prompt.captions.counts import Length, count
from img2prompt.captions.editor import read
from img2prompt.captions.journal import UNDOING, WRITING
from img2prompt.captions.table import Look, tags, token_counts, words
from img2prompt.cli.main import main
from img2prompt.clip_tokens import tokenizer
from img2prompt.errors import ConfigError, DataError
from tests.helpers.pictures import CHINA, FLOWER, PHOTOS

CAPTIONS = {"a.jpg": "a cat on a mat", "b.png": "sks, a Cat, 35mm", "c.webp": "a dog"}


def entries(**captions):
    return [Entry(name, text) for name, text in captions.items()]


def after(changes):
    return {change.name: change.after.text for change in changes}


@pytest.fixture
def folder(tmp_path):
    """Pictures that are never opened, each with a caption but the last."""
    path = tmp_path / "photos"
    path.mkdir()
    for name, text in CAPTIONS.items():
        (path / name).touch()
        (path / name).with_suffix(".txt").write_text(f"{text}\n")
    (path / "d.jpg").touch()
    return path


@contextmanager
def editing(path):
    store = Folder(path)
    with closing(Journal(store.journal_file)) as journal:
        yield Editor(store, journal)


def now(editor):
    return read(editor.store, editor.journal)


def replace(editor, old, new):
    return editor.apply("replace", [old, new], edits.replace(now(editor), edits.Pattern(old), new).changes)


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.suffix == ".txt"}


# Operations


def test_replacing_counts_places_and_passes_over_the_rest():
    found = edits.replace(
        entries(a="a cat, a cat", b="a dog", c=None) + [Entry("d", "a cat", problem="locked")],
        edits.Pattern("cat"),
        "fox",
    )
    assert found.places == 2 and after(found.changes) == {"a": "a fox, a fox"}


@pytest.mark.parametrize(
    ("options", "old", "new", "expected"),
    [
        ({}, "a.c", "x", "abc axc"),
        ({"is_regex": True}, "a.c", "x", "x x"),
        ({"is_regex": True}, r"(\w+) (?<last>\w+)", r"\g<last>, \1", "axc, abc"),
        ({"ignore_case": True}, "ABC", r"\1", r"\1 axc"),
        ({"whole_words": True}, "ab", "x", "abc axc"),
        ({"whole_words": True}, "abc", "", " axc"),
    ],
)
def test_patterns(options, old, new, expected):
    assert edits.Pattern(old, **options).replaced("abc axc", new)[0] == expected


def test_a_pattern_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(edits, "SECONDS", 0.2)
    pattern = edits.Pattern(r"(a|aa|a?)+$", is_regex=True)
    with pytest.raises(ConfigError, match="takes longer than 0.2 seconds"):
        edits.replace(entries(a="a" * 60 + "b"), pattern, "x")
    pattern.begin()
    with pytest.raises(ConfigError, match="takes longer than 0.2 seconds"):
        Filter(pattern=pattern).of(entries(a="a" * 60 + "b"))


def test_patterns_that_cannot_be_used():
    with pytest.raises(ConfigError, match=r"no regular expression \(missing"):
        edits.Pattern("(", is_regex=True)
    with pytest.raises(ConfigError, match="nothing to look for"):
        edits.Pattern("")
    with pytest.raises(ConfigError, match="at most 1,000"):
        edits.Pattern("a" * 1001)
    with pytest.raises(ConfigError, match="cannot be used"):
        edits.Pattern("a", is_regex=True).replaced("a", r"\3")
    with pytest.raises(ConfigError, match="more than 20,000 characters"):
        edits.Pattern("a").replaced("a" * 300, "b" * 300)


def test_words_before_and_behind_are_put_once():
    before = entries(a="photo of a cat", b="a dog", c="", d=None)
    assert after(edits.prefix(before, "photo of ")) == {"b": "photo of a dog"}
    assert after(edits.suffix(before, ", 35mm ")) == {"a": "photo of a cat, 35mm", "b": "a dog, 35mm"}
    again = edits.suffix(entries(**after(edits.suffix(before, ", 35mm "))), ", 35mm ")
    assert again == []
    assert set(after(edits.prefix(before, "photo", empty=True))) == {"b", "c", "d"}


@pytest.mark.parametrize(
    ("old", "new", "removed"),
    [
        ("a cat", "sks, a cat", "a cat"),
        ("a cat, sks, red", "sks, a cat, red", "a cat, red"),
        ("sks, a cat", "sks, a cat", "a cat"),
        ("sks,a cat", "sks,a cat", "a cat"),
        ("sks, a cat, sks", "sks, a cat", "a cat"),
        ("sksx, a  cat", "sks, sksx, a  cat", "sksx, a  cat"),
        ("sks", "sks", ""),
    ],
)
def test_a_trigger_word_is_the_first_tag(old, new, removed):
    assert after(edits.trigger(entries(a=old), " sks, ")).get("a", old) == new
    assert after(edits.trigger(entries(a=old), "sks", remove=True)).get("a", old) == removed
    assert edits.trigger(entries(a=new), "sks") == []


def test_a_trigger_word_alone_where_there_is_no_caption():
    assert edits.trigger(entries(a=None), "sks") == []
    assert after(edits.trigger(entries(a=None), "sks", empty=True)) == {"a": "sks"}
    with pytest.raises(ConfigError, match="more than one tag"):
        edits.trigger([], "a, b")


def test_several_captions_and_one_chosen():
    (change,) = edits.write([Entry("a", "one", ("zero",))], "two", keep=True)
    assert change.after == Version("two", ("zero", "one"))
    (change,) = edits.write([Entry("a", "two", ("zero", "one"))], "zero", keep=True)
    assert change.after == Version("zero", ("one", "two"))
    (change,) = edits.choose(Entry("a", "two", ("zero", "one")), 1)
    assert change.after == Version("zero", ("two", "one"))
    with pytest.raises(ConfigError, match="no other caption of the number 3; 2 are kept"):
        edits.choose(Entry("a", "two", ("zero", "one")), 3)
    changes = edits.add(entries(a="one", b=None, c="same"), {"a": "other", "b": "first", "c": "same"})
    assert {each.name: each.after for each in changes} == {
        "a": Version("one", ("other",)),
        "b": Version("first"),
    }


def test_captions_that_no_file_could_hold():
    assert after(edits.write(entries(a="x"), "\ufeffa cat \r\n")) == {"a": "a cat"}
    with pytest.raises(ConfigError, match="no text"):
        edits.write(entries(a="x"), "\udcff")
    with pytest.raises(ConfigError, match="more than 20,000"):
        edits.write(entries(a="x"), "y" * 20_001)


# Filters and counts


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "abcdef"),
        ({"text": "CAT"}, "ab"),
        ({"text": "f"}, "f"),  # a picture's name
        ({"text": "no text"}, "e"),  # what is wrong with one
        ({"pattern": edits.Pattern("^a cat")}, ""),
        ({"pattern": edits.Pattern("^a cat", is_regex=True)}, "a"),
        ({"pictures": ("?", "[ab]")}, "abcdef"),
        ({"pictures": ("[ab]",)}, ""),
        ({"pictures": ("a", "b", "d*")}, "abd"),
        ({"tag": "sks"}, "b"),
        ({"word": "Dog's"}, "c"),
        ({"text": "oil painting"}, "c"),  # a label
        ({"min_words": 4}, "a"),
        ({"max_words": 0}, "de"),
        ({"min_tokens": 78}, "f"),
        ({"max_tokens": 4}, "de"),
        ({"failed": True}, "de"),
        ({"failed": False}, "abcf"),
        ({"edited": True}, "b"),
        ({"edited": False, "failed": False}, "acf"),
        ({"marks": frozenset({"dark"})}, "c"),
        ({"marks": frozenset({"dark", "blurred"})}, ""),
    ],
)
def test_filters(options, expected):
    table = [
        Entry("a", "a cat on a mat"),
        Entry("b", "sks, a Cat", edited=True),
        Entry("c", "the dog's eye", labels=("Oil painting",), marks=frozenset({"dark"})),
        Entry("d", None),
        Entry("e", None, problem="No text here"),
        Entry("f", "!" * 3 + "incomprehensibilities" * 20),
    ]
    assert "".join(entry.name for entry in Filter(**options).of(table)) == expected


def test_counts():
    table = entries(a="a cat, red", b="a cat, red", c="cat " * 100, d=None)
    counts = count([*table, Entry("e", "blue", edited=True)], top=2)
    assert (counts.pictures, counts.captions, counts.failed, counts.edited) == (5, 4, 1, 1)
    assert (counts.same, counts.too_long) == (1, 1)
    assert counts.words == Length(1, 3, 100) and counts.tokens == Length(3, 6, 102)
    assert counts.top_words == [("cat", 3), ("a", 2)]
    assert counts.top_tags == [("a cat", 2), ("red", 2)]
    assert count([]).words is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_tokens_are_counted_as_one_by_one(texts):
    assert token_counts(texts) == [len(tokenizer().encode(text)) + 2 for text in texts]


@given(st.text())
def test_words_and_tags_are_in_the_caption(text):
    assert all(tag in text and tag == tag.strip() for tag in tags(text))
    assert all(word in text.casefold() for word in words(text))


# Files


def test_files_are_found_as_trainers_have_them(tmp_path):
    for name in ("b.JPG", "a.png", "a.jpg", "10_sub/c.webp", ".hidden.png", ".git/e.png", "__MACOSX/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "c.caption").write_text("nobody's")
    (tmp_path / "stray.txt").write_text("nobody's")
    store = Folder(tmp_path)
    assert list(store.pictures) == ["a.jpg", "a.png", "b.JPG"] and store.passed_over == 1
    assert store.texts() == {"a.jpg": "a", "b.JPG": None} and store.strays() == 1
    deep = Folder(tmp_path, recursive=True, suffix="caption")
    assert deep.names == ["10_sub/c.webp", "a.jpg", "b.JPG"] and deep.strays() == 1
    with pytest.raises(ConfigError, match="suffix of pictures"):
        Folder(tmp_path, suffix=".png")
    with pytest.raises(ConfigError, match="no suffix"):
        Folder(tmp_path, suffix="/etc/x")
    with pytest.raises(DataError, match="is not a folder"):
        Folder(tmp_path / "none")


def test_what_is_not_the_caption_stays_to_the_byte(folder):
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfa cat\r\nin two lines \r\n\r\n")
    (folder / "b.txt").write_bytes(b"  a cat")
    (folder / "c.txt").write_bytes(b"")
    before = contents(folder)
    with editing(folder) as editor:
        replace(editor, "cat", "dog")
        assert contents(folder) == {
            "a.txt": b"\xef\xbb\xbfa dog\r\nin two lines \r\n\r\n",
            "b.txt": b"  a dog",
            "c.txt": b"",
        }
        editor.apply("edit", [], edits.write(now(editor), "same"))
        assert (folder / "d.txt").read_bytes() == b"same\n" and (folder / "c.txt").read_bytes() == b"same"
        editor.undo()
        editor.undo()
    assert contents(folder) == before


def test_a_caption_that_cannot_be_read_stays_and_the_others_do_not_suffer(folder):
    (folder / "a.txt").write_bytes(b"\xffa cat")
    (folder / "c.txt").write_text("a cat" * 20_000)
    with editing(folder) as editor:
        problems = [entry.problem for entry in now(editor)]
        assert "not UTF-8" in problems[0] and problems[1] == "" and "larger than 80 kB" in problems[2]
        assert replace(editor, "Cat", "dog").count == 1
    assert (folder / "a.txt").read_bytes() == b"\xffa cat"


def test_a_link_stays_one(folder, tmp_path):
    (tmp_path / "elsewhere.txt").write_text("a cat")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(tmp_path / "elsewhere.txt")
    with editing(folder) as editor:
        replace(editor, "cat", "dog")
    assert (folder / "a.txt").is_symlink() and (tmp_path / "elsewhere.txt").read_text() == "a dog"


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_a_caption_keeps_the_permissions_of_its_file(folder):
    (folder / "a.txt").chmod(0o640)
    with editing(folder) as editor:
        replace(editor, "cat", "dog")
        assert (folder / "a.txt").stat().st_mode & 0o777 == 0o640
        editor.undo()
    assert (folder / "a.txt").stat().st_mode & 0o777 == 0o640


# The way back


def test_steps_are_undone_and_redone_whoever_opens_the_folder(folder):
    first = contents(folder)
    with editing(folder) as editor:
        replace(editor, "a cat", "a fox")
        second = contents(folder)
        editor.apply("trigger", ["sks"], edits.trigger(now(editor), "sks", empty=True))
    third = contents(folder)
    assert (folder / "d.txt").read_text() == "sks\n"
    with editing(folder) as editor:
        assert editor.undo().step.title == 'trigger "sks"' and contents(folder) == second
    with editing(folder) as editor:
        assert editor.undo().written == 1 and contents(folder) == first
        with pytest.raises(ConfigError, match="nothing to undo"):
            editor.undo()
        assert not any(entry.edited for entry in now(editor))
    with editing(folder) as editor:
        editor.redo()
        editor.redo()
        assert contents(folder) == third
        assert [entry.name for entry in now(editor) if entry.edited] == ["a.jpg", "c.webp", "d.jpg"]
        with pytest.raises(ConfigError, match="nothing to redo"):
            editor.redo()


def test_a_new_step_ends_what_could_be_redone(folder):
    with editing(folder) as editor:
        replace(editor, "cat", "fox")
        editor.undo()
        replace(editor, "cat", "bear")
        with pytest.raises(ConfigError, match="nothing to redo"):
            editor.redo()
        assert [step.title for step in editor.journal.steps()] == ['replace "cat" "bear"']


def test_kept_captions_come_and_go_with_their_steps(folder):
    with editing(folder) as editor:
        editor.apply("edit", [], edits.write(now(editor)[:1], "a lion", keep=True))
        editor.apply("choose", [], edits.choose(now(editor)[0], 1))
    with editing(folder) as editor:
        entry = now(editor)[0]
        assert (entry.text, entry.kept, entry.edited) == ("a cat on a mat", ("a lion",), False)
        editor.undo()
        assert now(editor)[0].version == Version("a lion", ("a cat on a mat",))
        editor.undo()
        assert now(editor)[0].version == Version("a cat on a mat")


@pytest.mark.parametrize("way", ["undo", "redo"])
def test_what_another_program_changed_is_never_overwritten(folder, way):
    with editing(folder) as editor:
        editor.apply("prefix", ["my "], edits.prefix(now(editor), "my "))
        if way == "redo":
            editor.undo()
        (folder / "a.txt").write_text("somebody else's\n")
        before = contents(folder)
        with pytest.raises(
            DataError, match=r"a.jpg \(1 in all\): the caption was changed by another program since"
        ):
            getattr(editor, way)()
        assert contents(folder) == before
        taken = getattr(editor, way)(leave_changed=True)
        assert (taken.written, taken.left) == (2, ["a.jpg"])
        assert (folder / "a.txt").read_text() == "somebody else's\n"
        assert (folder / "c.txt").read_text() == ("a dog\n" if way == "undo" else "my a dog\n")


def test_a_file_that_is_gone_counts_as_changed(folder):
    with editing(folder) as editor:
        replace(editor, "cat", "fox")
        (folder / "a.txt").unlink()
        with pytest.raises(DataError, match="another program"):
            editor.undo()
        assert not (folder / "a.txt").exists()


def test_an_old_view_cannot_overwrite_a_newer_file(folder):
    with editing(folder) as editor:
        changes = edits.prefix(now(editor), "my ")
        (folder / "b.txt").write_text("somebody else's")
        before = contents(folder)
        with pytest.raises(DataError, match="b.png"):
            editor.apply("prefix", ["my "], changes)
        assert contents(folder) == before and editor.journal.steps() == []


class Faulty:
    """A folder on a disk that fails at one caption, and, if asked, does not take anything afterwards."""

    def __init__(self, store, at, for_good):
        self.store, self.left, self.for_good = store, at, for_good
        self.problems = store.problems
        self.texts = store.texts

    def write(self, texts):
        for name, text in texts.items():
            if self.left == 0:
                self.left = 0 if self.for_good else -1
                raise KeyboardInterrupt if self.for_good else DataError("no space left")
            self.left -= 1
            self.store.write({name: text})


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("way", ["apply", "undo", "redo"])
def test_a_step_that_is_cut_short_is_set_back(folder, way, at, for_good):
    """With `for_good`, the program ends in the middle of it, and the next one finds what was left."""
    with editing(folder) as editor:
        changes = edits.prefix(now(editor), "my ")
        if way != "apply":
            editor.apply("prefix", [], changes)
        if way == "redo":
            editor.undo()
        before, states = contents(folder), [step.state for step in editor.journal.steps()]
        editor.store = Faulty(editor.store, at, for_good)
        with pytest.raises((DataError, KeyboardInterrupt)):
            editor.apply("prefix", [], changes) if way == "apply" else getattr(editor, way)()
        if not for_good:
            assert contents(folder) == before
    with editing(folder) as editor:
        assert editor.mended == (at if for_good else 0)
        assert contents(folder) == before
        assert [step.state for step in editor.journal.steps()] == states
        assert not list(folder.glob(".*.part"))


def test_a_full_disk_cuts_no_caption_short(folder, full_disk):
    before, store = contents(folder), Folder(folder)
    store.texts()
    with full_disk(4096), pytest.raises(DataError, match="a.txt cannot be written"):
        store.write({"a.jpg": "word " * 3000})
    assert contents(folder) == before
    assert not list(folder.glob(".*.part"))


def test_what_was_cut_short_and_then_changed_by_others_stays_theirs(folder):
    with editing(folder) as editor:
        changes = edits.prefix(now(editor), "my ")
        editor.journal.begin("prefix", ["my "], changes)
        editor.store.write({"a.jpg": "my a cat on a mat", "b.png": "my sks, a Cat, 35mm"})
    (folder / "a.txt").write_text("somebody else's")
    with editing(folder) as editor:
        assert editor.mended == 1 and editor.journal.steps() == []
    assert (folder / "a.txt").read_text() == "somebody else's"
    assert (folder / "b.txt").read_text() == "sks, a Cat, 35mm\n"


COMMANDS = st.one_of(
    st.tuples(st.just("prefix"), st.sampled_from(["x", "a ", "é\n"])),
    st.tuples(st.just("suffix"), st.sampled_from(["!", ", b", " "])),
    st.tuples(st.just("trigger"), st.sampled_from(["sks", "cat"])),
    st.tuples(st.just("replace"), st.sampled_from(["a", "cat", " "])),
    st.tuples(st.just("write"), st.text(max_size=8)),
    st.tuples(st.sampled_from(["undo", "redo", "reopen"]), st.just("")),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(COMMANDS, max_size=12), data=st.data())
def test_undo_and_redo_lead_through_every_version(tmp_path_factory, script, data):
    """Whatever was done: the files are those of the version that undo and redo have come to."""
    path = tmp_path_factory.mktemp("set")
    for name, text in CAPTIONS.items():
        (path / name).touch()
        (path / name).with_suffix(".txt").write_text(text)
    (path / "d.jpg").touch()
    versions, place = [contents(path)], 0
    journal = Journal(path / "journal")
    editor = Editor(Folder(path), journal)
    try:
        for kind, text in script:
            if kind == "reopen":
                journal.close()
                journal = Journal(path / "journal")
                editor = Editor(Folder(path), journal)
            elif kind in ("undo", "redo"):
                target = place + (1 if kind == "redo" else -1)
                if 0 <= target < len(versions):
                    getattr(editor, kind)()
                    place = target
                else:
                    with pytest.raises(ConfigError):
                        getattr(editor, kind)()
            else:
                chosen = now(editor)[: data.draw(st.integers(1, 4))]
                try:
                    if kind == "replace":
                        changes = edits.replace(chosen, edits.Pattern(text), "ß").changes
                    elif kind == "write":
                        changes = edits.write(chosen, text, keep=True)
                    else:
                        changes = getattr(edits, kind)(chosen, text, empty=True)
                except ConfigError:
                    continue
                if changes:
                    editor.apply(kind, [text], changes)
                    versions[place + 1 :] = [contents(path)]
                    place += 1
            assert contents(path) == versions[place]
    finally:
        journal.close()


# The journal


def test_two_editors_are_refused(folder):
    with editing(folder), pytest.raises(DataError, match="somebody else edits these captions"):
        Journal(Folder(folder).journal_file)


def test_reading_makes_no_file_and_needs_no_permission(folder):
    with closing(Journal(Folder(folder).journal_file, writable=False)) as journal:
        assert (journal.steps(), journal.kept(), journal.originals(), journal.looks()) == ([], {}, {}, {})
    assert not Folder(folder).journal_file.exists()
    with editing(folder) as editor:
        replace(editor, "cat", "fox")
    with closing(Journal(Folder(folder).journal_file, writable=False)) as journal:
        assert journal.originals()["a.jpg"] == "a cat on a mat"


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_journal_that_is_none(folder, content):
    Folder(folder).journal_file.write_bytes(content)
    with pytest.raises(DataError, match="Move it away"):
        Journal(Folder(folder).journal_file)


def test_another_programs_database(folder):
    with closing(sqlite3.connect(Folder(folder).journal_file)) as database:
        database.execute("CREATE TABLE mine (x)")
    with pytest.raises(DataError, match="no journal of this version"):
        Journal(Folder(folder).journal_file)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE changes SET before = x'ff'",
        "UPDATE changes SET kept_before = '[1]'",
        "UPDATE changes SET kept_after = '" + "[" * 100_000 + "'",
        "UPDATE steps SET made = 'yesterday'",
        "UPDATE steps SET words = '{}'",
        "UPDATE changes SET before = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_damaged_journal_changes_nothing(folder, damage):
    with editing(folder) as editor:
        replace(editor, "cat", "fox")
    with closing(sqlite3.connect(Folder(folder).journal_file)) as database:
        database.execute(damage)
        database.commit()
    before = contents(folder)
    with pytest.raises(DataError, match="is damaged"), editing(folder) as editor:
        editor.undo()
    assert contents(folder) == before


def test_a_journal_from_a_stranger_reaches_no_file_outside(folder):
    outside = folder.parent / "outside.txt"
    outside.write_text("mine")
    (folder.parent / "outside.jpg").touch()
    with closing(Journal(Folder(folder).journal_file)) as journal:
        for name in ("../outside.jpg", str(folder.parent / "outside.jpg")):
            step = journal.begin("edit", [], [Change(name, Version("theirs"), Version("mine"))])
            journal.mark(step, WRITING)
    with editing(folder) as editor:
        assert editor.mended == 0
        step = editor.journal.begin("edit", [], [Change("../outside.jpg", Version("mine"), Version("x"))])
        editor.journal.mark(step, UNDOING)
    with editing(folder) as editor, pytest.raises(DataError, match="another program"):
        editor.undo()
    assert outside.read_text() == "mine"


# Pictures


@pytest.fixture
def looks(tmp_path):
    """What copies of two photos look like."""
    pytest.importorskip("imagehash")
    pytest.importorskip("scipy")
    china, flower = Image.open(CHINA), Image.open(FLOWER)
    china.save(tmp_path / "china.png")
    china.resize((200, 133)).save(tmp_path / "small.jpg", quality=40)
    ImageEnhance.Brightness(china).enhance(1.2).save(tmp_path / "bright.webp")
    ImageEnhance.Brightness(china).enhance(0.1).save(tmp_path / "dark.png")
    china.crop((320, 0, 640, 427)).save(tmp_path / "crop.png")
    flower.save(tmp_path / "flower.png")
    flower.filter(ImageFilter.GaussianBlur(8)).save(tmp_path / "blurred.png")
    (tmp_path / "broken.png").write_text("no picture")
    files = Folder(tmp_path).pictures
    return {name: look for name, look, _ in comparing.look_at(comparing.pictures_on_disk(files), {})}


def test_near_duplicates_are_found_and_other_pictures_are_not(looks):
    assert looks.pop("broken.png") is None
    assert comparing.groups(looks) == [
        ["bright.webp", "china.png", "dark.png", "small.jpg"],
        ["blurred.png", "flower.png"],
    ]
    marks = comparing.marks(looks)
    assert {name for name, held in marks.items() if "blurred" in held} == {"blurred.png"}
    assert {name for name, held in marks.items() if "dark" in held} == {"dark.png"}
    assert "crop.png" not in marks
    assert comparing.groups({}) == []
    with pytest.raises(ConfigError, match="between 0 and 16"):
        comparing.groups(looks, 17)


def test_pairs_are_those_of_a_comparison_of_each_with_each(monkeypatch):
    import numpy as np

    monkeypatch.setattr(comparing, "PAIRS", 7 * 40)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 40, dtype=np.uint64)
    hashes[20:] = hashes[:20] ^ (np.uint64(1) << rng.integers(0, 63, 20).astype(np.uint64))
    rows, columns = map(np.concatenate, zip(*comparing._near(hashes, 1), strict=True))
    expected = {
        (i, j) for i in range(40) for j in range(i + 1, 40) if int(hashes[i] ^ hashes[j]).bit_count() <= 1
    }
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected and len(expected) >= 20


def test_thousands_of_copies_take_no_more_than_their_number(monkeypatch):
    """Both of one picture, whose pairs are 200 million, and of pictures that are nearly the same, one by one."""
    pytest.importorskip("imagehash")
    pytest.importorskip("scipy")

    def seen(hashes):
        return {str(number): Look("", f"{each:016x}", 1.0, 1.0) for number, each in enumerate(hashes)}

    comparing.groups(seen([0, 1]))  # imports what it needs
    tracemalloc.start()
    try:
        (same, others) = comparing.groups(seen([7] * 20_000 + [2**63 + 2**40, 2**63 + 2**41]), 2)
        assert len(same) == 20_000 and others == ["20000", "20001"]
        (near,) = comparing.groups(seen(range(4000)), 16)
        assert len(near) == 4000
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()
    # Groups that only meet in a later block are one, whatever their order.
    monkeypatch.setattr(comparing, "PAIRS", 1)
    chain = [(1 << length) - 1 for length in range(40)]
    assert [len(group) for group in comparing.groups(seen(chain[::2] + chain[1::2]), 1)] == [40]
    assert comparing.groups(seen(chain[::2]), 1) == []


# The commands


@pytest.fixture
def run(capsys, folder):
    """Run `img2prompt captions FOLDER …`: (exit code, stdout, stderr)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["captions", str(folder), *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return left.value.code, captured.out, captured.err

    return run


def test_list_shows_words_tokens_and_what_is_special(run):
    code, out, err = run("list", "--captioned")
    assert code == 0 and out.splitlines()[0] == "a.jpg: a cat on a mat  (5 words, 7 tokens)"
    assert err == "img2prompt: 3 of 4 pictures.\n"
    assert run("edit", "c.webp", "dog " * 80, "--keep")[0] == 0
    assert "(80 words, 82 tokens, CLIP reads 77, edited, 1 other caption)" in run("list", "--edited")[1]
    record = json.loads(run("list", "--min-tokens", 78, "--json")[1])["captions"][0]
    assert (record["picture"], record["tokens"], record["kept"]) == ("c.webp", 82, ["a dog"])
    assert run("list", "--failed")[1] == "d.jpg: – no caption\n"


def test_a_dry_run_shows_and_writes_nothing(run, folder):
    before = sorted(folder.iterdir())
    code, out, err = run("replace", "a cat", "a fox", "-i", "--dry-run")
    assert code == 0 and "- a cat on a mat\n+ a fox on a mat\n" in out
    assert err == "img2prompt: 2 places in 2 captions of 4 pictures would change; nothing was written.\n"
    assert sorted(folder.iterdir()) == before and (folder / "a.txt").read_text() == "a cat on a mat\n"
    report = json.loads(run("replace", "a cat", "a fox", "-i", "--dry-run", "--json")[1])
    assert (report["changed"], report["places"], report["dry_run"]) == (2, 2, True)
    assert report["changes"][0]["after"] == {"text": "a fox on a mat", "kept": []}


def test_commands_change_undo_and_redo(run, folder):
    assert run("replace", r"\ba (\w+)", r"the \1", "--regex", "--picture", "a*", "--picture", "c*")[0] == 0
    assert run("prefix", "photo of ", "--tag", "sks")[0] == 0
    assert run("suffix", ", 35mm", "--max-words", 2)[0] == 0
    assert run("trigger", "sks", "--failed")[0] == 0
    assert run("trigger", "sks")[0] == 0
    assert contents(folder) == {
        "a.txt": b"sks, the cat on the mat\n",
        "b.txt": b"sks, photo of sks, a Cat, 35mm\n",
        "c.txt": b"sks, the dog, 35mm\n",
        "d.txt": b"sks\n",
    }
    assert run("trigger", "sks", "--remove")[0] == 0
    log = [line.split("  ")[1] for line in run("log")[1].splitlines()]
    assert log[-1] == 'remove trigger "sks"' and len(log) == 6
    for _ in range(6):
        assert run("undo")[0] == 0
    assert contents(folder) == {Path(k).stem + ".txt": f"{v}\n".encode() for k, v in CAPTIONS.items()}
    assert run("undo")[0] == 2
    assert json.loads(run("redo", "--json")[1])["captions"] == 2
    assert [step["state"] for step in json.loads(run("log", "--json")[1])] == ["done"] + ["undone"] * 5


def test_brackets_in_a_name_are_no_pattern(run, folder):
    (folder / "a[1].jpg").touch()
    (folder / "a1.jpg").touch()
    assert run("edit", "a[1].jpg", "mine")[0] == 0
    assert (folder / "a[1].txt").read_text() == "mine\n" and not (folder / "a1.txt").exists()
    assert run("list", "--picture", "a[[]1].jpg")[2] == "img2prompt: 0 of 6 pictures.\n"
    assert run("prefix", "still ", "--picture", "?[*].jpg")[0] == 0
    assert (folder / "a[1].txt").read_text() == "still mine\n"


def test_captions_of_another_folder_are_chosen_from(run, folder, tmp_path):
    (tmp_path / "other").mkdir()
    for stem, text in {"a": "one feline", "d": "a bird"}.items():
        (tmp_path / "other" / f"{stem}.txt").write_text(text)
    assert run("add", tmp_path / "other")[0] == 0
    assert (folder / "d.txt").read_text() == "a bird\n"
    assert run("choose", "a.jpg")[1] == "a.jpg: a cat on a mat\n1. one feline\n"
    assert run("choose", "*", 1)[0] == 0
    assert (folder / "a.txt").read_text() == "one feline\n"
    assert run("choose", "a.jpg", 2)[0] == 2
    assert run("choose", "nothing*", 1)[0] == 2


def test_the_exit_code_tells_of_captions_that_cannot_be_read(run, folder):
    (folder / "a.txt").write_bytes(b"\xff")
    code, _, err = run("prefix", "my ")
    assert code == 3 and "a.txt is not UTF-8 text" in err and (folder / "c.txt").read_text() == "my a dog\n"
    assert run("edit", "a.jpg", "x")[0] == 2
    assert run("list")[0] == 3


def test_stats_and_what_is_passed_over(run, folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "e.jpg").touch()
    (folder / "sub" / "e.txt").write_text("a cat")
    code, out, err = run("stats")
    assert code == 0 and "3 captions of 4 pictures" in out and "1 without a caption" in out
    assert "passed over in sub-folders: 1 picture" in err
    report = json.loads(run("stats", "--json", "--top", 1)[1])
    assert report["top_words"] == [["a", 3]] and report["strays"] == 0
    with pytest.raises(SystemExit):
        main(["captions", str(folder), "--recursive", "prefix", "my "])
    assert (folder / "sub" / "e.txt").read_text() == "my a cat"
    assert run("undo")[0] == 0  # with the sub-folder's, though it is not named
    assert (folder / "sub" / "e.txt").read_text() == "a cat"


def test_duplicates_are_found_once_and_kept(run, folder, monkeypatch):
    pytest.importorskip("imagehash")
    pytest.importorskip("scipy")
    for name, photo in {"a.jpg": CHINA, "d.jpg": CHINA, "b.png": FLOWER, "c.webp": FLOWER}.items():
        Image.open(photo).resize((300, 200) if name < "c" else (400, 270)).save(folder / name)
    code, out, err = run("duplicates")
    assert code == 0 and out == "a.jpg  d.jpg\nb.png  c.webp\n"
    assert "4 in 2 groups" in err

    def not_again(picture):
        raise AssertionError(picture.name)

    monkeypatch.setattr(comparing, "look", not_again)
    assert json.loads(run("duplicates", "--json")[1])["groups"] == [["a.jpg", "d.jpg"], ["b.png", "c.webp"]]
    assert len(run("list", "--duplicate")[1].splitlines()) == 4
    assert run("list", "--dark")[1] == ""


def test_usage_errors(run, folder):
    assert run("replace", "(", "x", "--regex")[0] == 2
    assert run("prefix", "")[0] == 2
    assert run("list", "--matching", "(")[0] == 2
    code, _, err = run("edit", "none.jpg", "x")
    assert code == 2 and "names no picture" in err
    for file in folder.iterdir():
        file.unlink()
    assert "holds no pictures" in run("list")[2]


def test_a_caption_comes_from_standard_input(run, folder, monkeypatch, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("a lion\n")
    with open(source) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert run("edit", "d.jpg", "-")[0] == 0
    assert (folder / "d.txt").read_text() == "a lion\n"


def test_photos_of_the_bundle_are_neither_blurred_nor_dark():
    pytest.importorskip("imagehash")
    pytest.importorskip("scipy")
    files = {file.name: os.fspath(file) for file in PHOTOS.glob("*.jpg")}
    looks = {name: look for name, look, _ in comparing.look_at(comparing.pictures_on_disk(files), {})}
    assert len(looks) >= 2 and comparing.marks(looks) == {}
