"""Texts about photos, in sidecars, copies and originals: nobody's words are lost, nor a photo."""

import csv
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from img2prompt import batch
from img2prompt.batch import Journal, PhotoFiles, Row, discover, export_photos
from img2prompt.batch.photos import WRITER, texts_for, texts_in
from img2prompt.batch.runs import Runs
from img2prompt.errors import ConfigError, DataError
from img2prompt.images import read_metadata
from img2prompt.metadata import Notes
from img2prompt.posts import Seen, keywords
from img2prompt.results import Match
from img2prompt.xmp import packet, packets, texts_of, with_packet, with_texts
from tests.helpers import ROOT
from tests.helpers.batches import finish
from tests.helpers.pictures import CHINA, FLOWER, paint

LIMIT = 25 * 2**20
TOLD = {"description": ("A dog on the beach.",), "alt_text": ("A dog there.",), "keywords": ("dogs", "beach")}
WHOLE = TOLD | {"writer": (WRITER,)}
SIDECARS, FULL = PhotoFiles(), PhotoFiles(sidecar="full")
ORIGINALS, COPIES = PhotoFiles("originals"), PhotoFiles("copies")
DATE = 1_000_000_000_123_456_789  # nanoseconds; 2001


def described(folder: Path, **values) -> tuple[list, Journal]:
    """The pictures of a folder, all described alike, and their journal."""
    items = discover(folder)
    vector = np.zeros(384, np.float32)
    values = {"caption": "a dog on the beach", "alt_text": "A dog there.", "labels": {}, **values}
    journal = Journal(folder.parent / f"{folder.name}.journal", "x")
    journal.add(items, [Row(item.name, embedding=vector, **values) for item in items])
    return items, journal


@pytest.fixture
def photos(tmp_path):
    """A real photo, and painted pictures in the formats that texts are written into; all of them old."""
    folder = tmp_path / "photos"
    for name in ("b.png", "c.webp", "d.tiff"):
        paint(folder / name)
    shutil.copy(CHINA, folder / "a.jpg")
    for file in folder.iterdir():
        os.utime(file, ns=(DATE, DATE))
    return folder


@pytest.fixture
def known(photos):
    items, journal = described(photos)
    with closing(journal):
        yield items, journal


def texts(file: Path) -> dict:
    return texts_of(file.read_bytes()) if file.suffix == ".xmp" else texts_of(packets(file.read_bytes())[0])


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# What is said


def test_keywords_are_themes_and_likely_things():
    assert keywords(Seen("a dog on the beach")) == ("dogs", "beach")
    labels = {
        "things": [Match("beach", 0.9), Match("kite", 0.3)],
        "movements": [Match("baroque", 0.9)],
        "artists": [Match("Claude Monet", 0.9)],
    }
    found = keywords(Seen("a kite at the beach", labels))
    assert "beach" in found and not {"kite", "baroque", "Claude Monet"} & set(found)
    assert len(set(found)) == len(found) <= 10
    assert keywords(Seen("")) == ()


def test_a_person_s_caption_stays_as_it_is_and_names_no_machine(photos):
    items, journal = described(photos)
    with closing(journal):
        journal.edit("a.jpg", "Mina & ich\nam Meer")
        export_photos(items, None, journal, FULL, LIMIT)
    sidecar = photos / "a.jpg.xmp"
    assert texts(sidecar)["description"] == ("Mina & ich\nam Meer",)
    assert "writer" not in texts(sidecar) and b"by AI" not in sidecar.read_bytes()
    assert b"from a caption by a person" in sidecar.read_bytes()
    assert texts(photos / "b.png.xmp") == WHOLE
    assert (
        b'parameters="description, alt text, keywords written by AI"' in (photos / "b.png.xmp").read_bytes()
    )


# Sidecars


def test_sidecars_lie_beside_the_photos_or_in_a_folder(known, photos, tmp_path):
    items, journal = known
    before = contents(photos)
    assert export_photos(items, None, journal, SIDECARS, LIMIT) == {}
    assert set(contents(photos)) - set(before) == {"a.xmp", "b.xmp", "c.xmp", "d.xmp"}
    assert export_photos(items, tmp_path / "out" / "texts", journal, FULL, LIMIT) == {}
    assert sorted(contents(tmp_path / "out" / "texts")) == [f"{item.name}.xmp" for item in items]
    assert all(texts(file) == WHOLE for file in (*photos.glob("*.xmp"), *(tmp_path / "out").rglob("*.xmp")))
    assert {name: data for name, data in contents(photos).items() if not name.endswith(".xmp")} == before
    assert discover(photos) == items  # nothing that the next run takes for a picture, or a changed one


def test_a_sidecar_keeps_what_others_wrote(known, photos):
    items, journal = known
    develop = b'<rdf:Description rdf:about="" xmlns:crs="urn:crs" crs:Exposure="+1.0"/>'
    theirs = with_texts(None, {"description": ["Mina at the sea"], "writer": ["Mina"]})
    theirs = theirs.replace(b"</rdf:RDF>", develop + b"</rdf:RDF>")
    (photos / "a.xmp").write_bytes(theirs)
    (photos / "b.xmp").write_bytes(b"<x/>")
    refused = export_photos(items, None, journal, SIDECARS, LIMIT)
    assert list(refused) == ["b.png"] and "no rdf:RDF in it" in refused["b.png"]
    assert (photos / "b.xmp").read_bytes() == b"<x/>"
    assert texts(photos / "a.xmp") == WHOLE | {"description": ("Mina at the sea",), "writer": ("Mina",)}
    assert (photos / "a.xmp").read_bytes().startswith(theirs[: theirs.index(develop)])
    assert develop in (photos / "a.xmp").read_bytes()
    export_photos(items, None, journal, PhotoFiles(overwrite=True), LIMIT)
    assert texts(photos / "a.xmp") == WHOLE and develop in (photos / "a.xmp").read_bytes()
    (photos / "a.xmp").write_bytes(theirs)
    journal.edit("a.jpg", "Mina by the sea")
    export_photos(items, None, journal, PhotoFiles(overwrite=True), LIMIT)
    assert texts(photos / "a.xmp")["description"] == ("Mina by the sea",)
    assert texts(photos / "a.xmp")["writer"] == ("Mina",)


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_a_person_s_sidecar_is_on_the_disk_before_it_takes_the_old_one_s_place(known, photos, monkeypatch):
    items, journal = known
    (photos / "a.xmp").write_bytes(with_texts(None, {"description": ["Mina at the sea"]}))
    (photos / "a.xmp").chmod(0o640)
    waited, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (waited.append(os.fstat(number).st_size), fsync(number)))
    assert export_photos(items, None, journal, SIDECARS, LIMIT) == {}
    assert stat.S_IMODE((photos / "a.xmp").stat().st_mode) == 0o640
    assert waited == [(photos / "a.xmp").stat().st_size]  # and not for those that are new


def test_own_texts_follow_the_caption_until_somebody_changes_them(known, photos):
    items, journal = known
    export_photos(items, None, journal, SIDECARS, LIMIT)
    before = contents(photos)
    export_photos(items, None, journal, SIDECARS, LIMIT)
    assert contents(photos) == before  # nothing new to say, so nothing is written
    edited = with_texts((photos / "b.xmp").read_bytes(), {"description": ["mine"]})
    (photos / "b.xmp").write_bytes(edited)
    for name in ("a.jpg", "b.png"):
        journal.edit(name, "two dogs")
    export_photos(items, None, journal, SIDECARS, LIMIT)
    found = texts(photos / "a.xmp")
    assert (found["description"], found["alt_text"]) == (("two dogs",), ("Two dogs.",))
    assert "writer" not in found  # it is a person's now
    found = texts(photos / "b.xmp")
    assert (found["description"], found["alt_text"]) == (("mine",), ("Two dogs.",))
    assert contents(photos)["c.xmp"] == before["c.xmp"]


@pytest.mark.parametrize("options", [SIDECARS, ORIGINALS])
def test_what_no_xmp_can_hold_is_not_written_again_and_again(photos, options):
    items, journal = described(photos, caption="a dog\0 on\x1b\uffff the beach", alt_text="\x07")
    with closing(journal):
        journal.edit("a.jpg", " Mina\x0c\r\nam Meer\x1f ")
        assert export_photos(items, None, journal, options, LIMIT) == {}
        before = contents(photos)
        assert export_photos(discover(photos), None, journal, options, LIMIT) == {}
        assert contents(photos) == before
    written = {file.stem: texts(file) for file in photos.iterdir() if options.embed or file.suffix == ".xmp"}
    assert written["a"]["description"] == ("Mina\r\nam Meer",)
    assert written["b"]["description"] == ("A dog on the beach.",) and "alt_text" not in written["b"]


def test_what_a_photo_says_itself_is_not_said_otherwise_beside_it(known, photos):
    items, journal = known
    file = photos / "a.jpg"
    file.write_bytes(with_packet(file.read_bytes(), with_texts(None, {"description": ["Mina"]})))
    items = discover(photos)
    export_photos(items, None, journal, SIDECARS, LIMIT)
    assert set(texts(photos / "a.xmp")) == {"alt_text", "keywords"}
    export_photos(items, None, journal, PhotoFiles(overwrite=True), LIMIT)
    assert texts(photos / "a.xmp") == WHOLE


# Inside photos


def test_copies_have_the_texts_and_the_dates_and_originals_nothing(known, photos, tmp_path):
    items, journal = known
    (photos / "b.png").chmod(0o440)
    before = contents(photos)
    assert export_photos(items, tmp_path / "out", journal, COPIES, LIMIT) == {}
    assert contents(photos) == before
    for item in items:
        copy = tmp_path / "out" / item.name
        assert texts(copy) == WHOLE
        assert copy.stat().st_mtime_ns == item.file.stat().st_mtime_ns == DATE
        with Image.open(copy) as one, Image.open(item.file) as other:
            assert np.array_equal(np.array(one), np.array(other))
    assert stat.S_IMODE((tmp_path / "out" / "b.png").stat().st_mode) == 0o640  # else it could not be replaced
    # Again: ours are renewed, those that somebody changed are not.
    (tmp_path / "out" / "c.webp").write_bytes(b"mine")
    journal.edit("a.jpg", "new words")
    refused = export_photos(items, tmp_path / "out", journal, COPIES, LIMIT)
    assert list(refused) == ["c.webp"] and "not as this program wrote it" in refused["c.webp"]
    assert texts(tmp_path / "out" / "a.jpg")["description"] == ("new words",)
    assert (tmp_path / "out" / "c.webp").read_bytes() == b"mine"
    assert export_photos(items, tmp_path / "out", journal, replace(COPIES, overwrite=True), LIMIT) == {}
    assert texts(tmp_path / "out" / "c.webp") == WHOLE


class Later(datetime):
    """A clock that is an hour ahead."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + timedelta(hours=1)


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_copies_that_are_there_are_not_written_again(photos, tmp_path, monkeypatch, source):
    if source == "archive":
        photos = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", photos))
    items, journal = described(photos)
    out = tmp_path / "out"
    with closing(journal):
        assert export_photos(items, out, journal, COPIES, LIMIT) == {}
        before = {file.name: (file.read_bytes(), file.stat().st_ino) for file in out.iterdir()}
        monkeypatch.setattr(packet, "datetime", Later)
        assert export_photos(items, out, journal, COPIES, LIMIT) == {}
        assert {file.name: (file.read_bytes(), file.stat().st_ino) for file in out.iterdir()} == before
        journal.edit("a.jpg", "new words")
        export_photos(items, out, journal, COPIES, LIMIT)
        assert texts(out / "a.jpg")["description"] == ("new words",)
        journal.edit("a.jpg", "")  # what it was made of once is not what is there
        export_photos(items, out, journal, COPIES, LIMIT)
        assert texts(out / "a.jpg") == WHOLE
        assert all((out / name).read_bytes() == before[name][0] for name in ("b.png", "c.webp", "d.tiff"))


def test_originals_keep_dates_and_permissions_and_are_not_described_again(known, photos):
    items, journal = known
    (photos / "a.jpg").chmod(0o604)
    link = photos.parent / "link"
    (photos / "b.png").rename(link)
    (photos / "b.png").symlink_to(link)
    assert export_photos(items, None, journal, ORIGINALS, LIMIT) == {}
    assert {file.name for file in photos.iterdir()} == {item.name for item in items}  # and no part of one
    for item in items:
        assert texts(item.file) == WHOLE and item.file.stat().st_mtime_ns == DATE
    assert stat.S_IMODE((photos / "a.jpg").stat().st_mode) == 0o604
    assert (photos / "b.png").is_symlink() and texts(link) == WHOLE
    found = discover(photos)
    assert found != items and journal.missing(found) == []
    before = contents(photos)
    assert export_photos(found, None, journal, ORIGINALS, LIMIT) == {}
    assert contents(photos) == before
    journal.edit("a.jpg", "new words")
    export_photos(found, None, journal, ORIGINALS, LIMIT)
    assert texts(photos / "a.jpg")["description"] == ("new words",)


def test_a_photo_s_own_texts_are_kept_unless_people_say_so(known, photos):
    items, journal = known
    mine = {"description": ["At the sea"], "keywords": ["Jeju", "Mina"], "writer": ["Mina"]}
    for item in items:
        item.file.write_bytes(with_packet(item.file.read_bytes(), with_texts(None, mine)))
    items = discover(photos)
    assert export_photos(items, None, journal, ORIGINALS, LIMIT) == {}
    wanted = {name: tuple(values) for name, values in mine.items()} | {"alt_text": TOLD["alt_text"]}
    assert all(texts(item.file) == wanted for item in items)
    items = discover(photos)
    assert export_photos(items, None, journal, replace(ORIGINALS, overwrite=True), LIMIT) == {}
    assert all(texts(item.file) == WHOLE for item in items)


def test_texts_in_the_part_that_a_jpeg_keeps_apart_are_kept(known, photos):
    items, journal = known
    part = with_texts(None, {"keywords": ["from there"]}, "made", "another")
    body = (
        b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + len(part).to_bytes(4, "big") + bytes(4) + part
    )
    data = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(
        data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
    )
    items = discover(photos)[:1]
    assert export_photos(items, photos.parent / "o", journal, COPIES, LIMIT) == {}
    main, more = packets((photos.parent / "o" / "a.jpg").read_bytes())
    assert more == part and b"History" not in main  # which there must not be twice
    assert texts_of(main) == {name: values for name, values in WHOLE.items() if name != "keywords"}
    refused = export_photos(items, None, journal, replace(ORIGINALS, overwrite=True), LIMIT)
    assert "a JPEG keeps apart" in refused["a.jpg"]


@pytest.mark.parametrize(
    ("theirs", "offered"),
    [
        ({}, None),
        ({"description": ["Mina at sea"]}, Notes(description="Mina at sea")),
        ({"keywords": ["Jeju", "Mina"]}, Notes(keywords=("Jeju", "Mina"))),
        ({"description": ["Mina"], "writer": ["Mina"]}, Notes(description="Mina")),
    ],
)
def test_what_was_written_into_a_photo_is_offered_to_nobody_as_their_own(known, photos, theirs, offered):
    items, journal = known
    for item in items:
        item.file.write_bytes(with_packet(item.file.read_bytes(), with_texts(None, theirs)))
    items = discover(photos)
    assert export_photos(items, None, journal, ORIGINALS, LIMIT) == {}
    for item in items:
        assert len(texts(item.file)) >= 3
        assert read_metadata(item.file).notes == offered, item.name


def test_a_person_s_caption_is_offered_and_what_derives_from_it_is_not(known, photos):
    items, journal = known
    journal.edit("a.jpg", "a dog of Mina's")
    export_photos(items, None, journal, ORIGINALS, LIMIT)
    assert texts(photos / "a.jpg")["keywords"]
    assert read_metadata(photos / "a.jpg").notes == Notes(description="a dog of Mina's")
    journal.edit("a.jpg", "")
    export_photos(discover(photos), None, journal, ORIGINALS, LIMIT)
    assert texts(photos / "a.jpg") == WHOLE and read_metadata(photos / "a.jpg").notes is None


def test_keywords_that_another_program_copied_are_still_not_theirs(known, photos):
    items, journal = known
    export_photos(items, None, journal, ORIGINALS, LIMIT)
    data = (photos / "a.jpg").read_bytes()
    copies = iim((25, "dogs"), (25, "beach"), (25, "holiday"), (120, "A dog on the beach."))
    (photos / "a.jpg").write_bytes(data[:2] + copies + data[2:])
    assert read_metadata(photos / "a.jpg").notes == Notes(keywords=("holiday",))


def iim(*values: tuple[int, str]) -> bytes:
    """IPTC-IIM in a segment APP13, as programs wrote captions and keywords before there was XMP."""
    records = b"".join(
        b"\x1c\2" + bytes([kind]) + len(text.encode()).to_bytes(2, "big") + text.encode()
        for kind, text in values
    )
    body = (
        b"Photoshop 3.0\0"
        + b"8BIM\4\4\0\0"
        + len(records).to_bytes(4, "big")
        + records
        + bytes(len(records) % 2)
    )
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body


def test_older_forms_of_texts_count_too(tmp_path):
    plain = io.BytesIO()
    Image.open(CHINA).convert("RGB").resize((64, 48)).save(plain, "JPEG")
    data = plain.getvalue()
    older = data[:2] + iim((120, "Am Meer"), (25, "Jeju"), (25, "바다")) + data[2:]
    assert texts_in(older) == {"description": ("Am Meer",), "keywords": ("Jeju", "바다")}
    assert texts_in(with_packet(older, with_texts(None, {"description": ["New"]})))["description"] == ("New",)
    exif = Image.Exif()
    for said, counts in (
        ("A day at sea", True),
        ("한강", True),
        ("OLYMPUS DIGITAL CAMERA         ", False),
        ("  ", False),
    ):
        exif[0x010E] = said.encode()
        for form in ("JPEG", "PNG", "WEBP"):
            buffer = io.BytesIO()
            Image.open(io.BytesIO(data)).save(buffer, form, exif=exif)
            assert (texts_in(buffer.getvalue()) != {}) == counts, (said, form)
        tags = ImageFileDirectory_v2()
        tags[270] = said.encode()
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).save(buffer, "TIFF", tiffinfo=tags)
        assert (texts_in(buffer.getvalue()) != {}) == counts, said
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(older)
    items, journal = described(tmp_path / "photos")
    with closing(journal):
        export_photos(items, None, journal, ORIGINALS, LIMIT)
        assert texts(tmp_path / "photos" / "a.jpg") == {"alt_text": TOLD["alt_text"]}
        assert texts_in((tmp_path / "photos" / "a.jpg").read_bytes())["description"] == ("Am Meer",)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no picture", b"II*\0\x08\0\0\0"])
def test_broken_metadata_are_no_texts(data):
    assert texts_in(data) == {}


def test_what_cannot_be_written_is_said_and_the_rest_is_done(photos):
    paint(photos / "e.gif")
    paint(photos / "f.bmp")
    (photos / "c.webp").write_bytes((photos / "c.webp").read_bytes()[:-30])
    items, journal = described(photos)
    with closing(journal):
        paint(photos / "d.tiff", 5, (64, 64))  # another picture, after it was described
        before = contents(photos)
        refused = export_photos(items, None, journal, ORIGINALS, LIMIT)
        assert list(refused) == ["c.webp", "d.tiff", "e.gif", "f.bmp"]
        assert "ends too early" in refused["c.webp"] and "has changed since" in refused["d.tiff"]
        assert "JPEG, PNG, WebP, TIFF files only" in refused["e.gif"]
        after = contents(photos)
        assert {name for name in after if after[name] != before[name]} == {"a.jpg", "b.png"}
        assert export_photos(items[:1], photos.parent / "o", journal, COPIES, 1000) == {
            "a.jpg": "The file is larger than 0.000953674 MB. Raise max_megabytes."
        }


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everything")
def test_a_write_protected_original_is_left_alone(known, photos):
    items, journal = known
    (photos / "a.jpg").chmod(0o444)
    before = contents(photos)["a.jpg"]
    assert "is write-protected" in export_photos(items, None, journal, ORIGINALS, LIMIT)["a.jpg"]
    assert contents(photos)["a.jpg"] == before


FULL_DISK = """
import resource, sys
from contextlib import closing
from pathlib import Path
from img2prompt.batch import Journal, PhotoFiles, discover, export_photos
folder = Path(sys.argv[1])
items = discover(folder)
with closing(Journal(folder.parent / "photos.journal", "x")) as journal:
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    export_photos(items, None, journal, PhotoFiles("originals"), 2**25)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs the limits of POSIX")
def test_an_original_that_cannot_be_written_whole_stays_as_it_was(known, photos):
    """A limit on the size of files stops the writing in its midst, as a full disk does."""
    known[1].close()
    before = contents(photos)
    command = [sys.executable, "-c", FULL_DISK, str(photos)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode and "a.jpg cannot be written: File too large" in done.stderr
    assert contents(photos) == before


KILLED = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from img2prompt.batch import Journal, PhotoFiles, discover, export_photos
folder = Path(sys.argv[1])
def stop(event, arguments):
    if event == "os.rename":  # all is written, and the new file takes the place of the old one now
        os.kill(os.getpid(), signal.SIGKILL)
items = discover(folder)
with closing(Journal(folder.parent / "photos.journal", "x")) as journal:
    sys.addaudithook(stop)
    export_photos(items, None, journal, PhotoFiles("originals"), 2**25)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_kill_in_the_midst_of_it_leaves_the_original(known, photos):
    known[1].close()
    before = contents(photos)
    done = subprocess.run([sys.executable, "-c", KILLED, str(photos)], cwd=ROOT, check=False)
    assert done.returncode == -9
    left = contents(photos)
    assert {name: left.pop(name) for name in before} == before and len(left) == 1  # and the unfinished one
    with closing(Journal(photos.parent / "photos.journal", "x")) as again:
        assert export_photos(discover(photos), None, again, ORIGINALS, LIMIT) == {}
    assert set(contents(photos)) == set(before)  # which the next run takes
    assert texts(photos / "a.jpg") == WHOLE


# Before the work starts


def test_checks_before_the_work(photos, tmp_path):
    paint(photos / "b.jpg")
    items = discover(photos)
    source = str(photos)
    with pytest.raises(DataError, match=r"b\.xmp' in the output; rename one, or add --sidecar full"):
        batch.check_output("xmp", None, items, source, SIDECARS)
    with pytest.raises(DataError, match=r"'.*b\.xmp' in the output; rename one\.$"):
        batch.check_output("xmp", tmp_path / "out", items, source)
    batch.check_output("xmp", None, items, source, FULL)
    batch.check_output("xmp", None, items, source, ORIGINALS)
    batch.check_output("xmp", tmp_path / "out", items, source, COPIES)
    for inside in (photos, photos / "out"):
        with pytest.raises(DataError, match="among the originals"):
            batch.check_output("xmp", inside, items, source, COPIES)
    (tmp_path / "list").write_text("photos/a.jpg\n")
    listed = [replace(items[0], name="photos/a.jpg")]
    with pytest.raises(DataError, match="among the originals"):
        batch.check_output("xmp", tmp_path, listed, tmp_path / "list", COPIES)
    with pytest.raises(ConfigError, match="Copies of the photos need a folder"):
        batch.check_output("xmp", None, items, source, COPIES)
    with pytest.raises(ConfigError, match="Originals are changed where they are"):
        batch.check_output("xmp", tmp_path / "out", items, source, ORIGINALS)
    with pytest.raises(DataError, match="a file; xmp writes many"):
        batch.check_output("xmp", photos / "a.jpg", items[:1], source, FULL)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photos / "a.jpg", "a.jpg")
    with pytest.raises(ConfigError, match="into an archive or a store"):
        batch.check_output("xmp", None, discover(tmp_path / "a.zip"), tmp_path / "a.zip", ORIGINALS)
    for wrong in ({"embed": "all"}, {"sidecar": "none"}):
        with pytest.raises(ConfigError, match="choose one of"):
            PhotoFiles(**wrong)


# By command, and on the Batch page


@pytest.fixture
def run(quick_run):
    return quick_run


def test_by_command(photos, tmp_path, run):
    shutil.copy(FLOWER, photos / "f.jpg")
    paint(photos / "g.gif")
    code, said = run("batch", photos, "--format", "xmp")
    assert code == 0 and "written to sidecars beside the pictures" in said
    assert len(list(photos.glob("*.xmp"))) == 6
    found = texts(photos / "f.xmp")
    assert found["writer"] == (WRITER,) and found["description"][0][0].isupper()
    before = contents(photos)
    journal, errors = photos.parent / "photos.journal", tmp_path / "errors.csv"
    code, said = run(
        "batch", photos, "--embed", "copies", "-o", tmp_path / "out", "--journal", journal, "--errors", errors
    )
    assert code == 3 and "tried now" not in said and "1 could not be written" in said
    assert "g.gif: Texts are written into JPEG" in said
    with open(errors, encoding="utf-8-sig", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["g.gif"]
    assert texts(tmp_path / "out" / "f.jpg") == found and contents(photos) == before
    code, said = run("batch", photos, "--embed", "originals")
    assert code == 2 and "add --yes-change-originals" in said and contents(photos) == before
    code, said = run("batch", photos, "--embed", "originals", "--yes-change-originals")
    assert code == 3 and "written to the pictures" in said and texts(photos / "f.jpg") == found
    code, said = run("batch", photos, "--embed", "originals", "--yes-change-originals")
    assert code == 3 and "tried now" not in said
    for wrong, why in (
        (["-o", tmp_path / "x.csv", "--embed", "copies", "--format", "csv"], "are for --format xmp"),
        (["-o", tmp_path / "x.csv", "--overwrite"], "--overwrite is for --format txt and xmp"),
        (["--format", "xmp", "--skip-existing"], "are for --format txt"),
        (["--format", "xmp", "--yes-change-originals"], "is for --embed originals"),
        (["--embed", "all"], "embed is 'all'"),
        (["--sidecar", "full", "--embed", "copies", "-o", tmp_path / "o"], "Leave out one"),
        (["--sidecar", "none"], "sidecar is 'none'"),
        (["--format", "xmp", "--tone", "plain"], "xmp holds no posts"),
    ):
        code, said = run("batch", photos, *wrong)
        assert code == 2 and why in said, wrong


def test_a_batch_of_the_page_offers_sidecars(pipeline, tmp_path):
    mine = with_packet(CHINA.read_bytes(), with_texts(None, {"description": ["Mine"], "keywords": ["China"]}))
    full = with_packet(FLOWER.read_bytes(), with_texts(None, TOLD))
    files = [
        ("trip/a.jpg", mine),
        ("trip/b.jpg", CHINA.read_bytes()),
        ("trip/c.jpg", full),
        ("d.jpg", b"none"),
    ]
    runs = Runs(tmp_path)
    run = runs.add(files=[(name, io.BytesIO(data)) for name, data in files])
    try:
        runs.start(run, lambda: pipeline, [])
        finish(run)
        run.edit("trip/b.jpg", "A tower, I say")
        assert run.problem("xmp") == ""
        with zipfile.ZipFile(io.BytesIO(run.export("xmp", lambda: pipeline))) as archive:
            found = {name: texts_of(archive.read(name)) for name in archive.namelist()}
    finally:
        runs.remove(run.id)
    assert list(found) == ["trip/a.xmp", "trip/b.xmp"]  # c says all itself
    assert set(found["trip/a.xmp"]) == {"alt_text"}
    assert found["trip/b.xmp"]["description"] == ("A tower, I say",) and "writer" not in found["trip/b.xmp"]


def test_texts_for_a_row():
    assert texts_for(Row("a.jpg", "a dog", alt_text="A dog."))["writer"] == (WRITER,)
    assert texts_for(Row("a.jpg", "a dog", edited=True))["description"] == ("a dog",)
