"""How fast a large set of captions is edited, and how well near-duplicates are found, as JSON on stdout.

    python -m benchmarks.captions [CAPTIONS] [--photos FOLDER|TAR …]

10,000 pictures with captions of 8 to 60 words, in a new folder on the disk of the temporary files. Each time is
what a command takes without the start of Python: it opens the folder and the journal, and closes them. Beside it
stands the processor's time, which another program's work does not lengthen.

With photos, all of which must be different, the first 150 of them are compared with changed copies of theirs, and
all with each other.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from benchmarks.lite import machine
from img2prompt.captions import Change, Editor, Entry, Filter, Folder, Journal, edits
from img2prompt.captions.counts import count
from img2prompt.captions.duplicates import (
    BRIGHTNESS,
    SHARPNESS,
    Picture,
    groups,
    look,
    look_at,
    marks,
    pictures_on_disk,
)
from img2prompt.captions.editor import read
from img2prompt.captions.table import BLURRED, DARK, Look, token_counts
from img2prompt.images import open_image

CAPTIONS = 10_000
LOOKED_AT = 500  # pictures that are compared; the time grows with their number
COPIED = 150  # photos of which copies are made
TARGETS = {"list_s": "<= 1", "replace_s": "<= 1", "replace_in_half_s": "<= 1"}
WORDS = """
    a man woman dog cat street house tree car in on beside with red blue green large small old new standing
    sitting running looking table window door sky water mountain light photo painting of the and
""".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captions", nargs="?", type=int, default=CAPTIONS)
    parser.add_argument("--photos", nargs="+", type=Path, default=[])
    options = parser.parse_args()
    number = options.captions
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        fill(path, number)
        token_counts(["warm"])
        report: dict[str, Any] = {
            "captions": number,
            "list_s": timed(lambda: len(shown(path))),
            "filter_s": timed(lambda: len(Filter(text="red car", max_tokens=77).of(entries(path)))),
            "preview_s": timed(
                lambda: len(edits.replace(entries(path), edits.Pattern("dog"), "wolf").changes)
            ),
            "replace_in_half_s": timed(lambda: change(path, "dog", "wolf")),
            "replace_s": timed(lambda: change(path, "start", "begin")),
            "undo_s": timed(lambda: take(path, Editor.undo)),
            "redo_s": timed(lambda: take(path, Editor.redo)),
            "stats_s": timed(lambda: count(entries(path)).captions),
            "compare_500_pictures_s": timed(lambda: compare(path)),
        }
    if options.photos:
        report["near_duplicates"] = near_duplicates(options.photos)
    print(json.dumps({**report, "targets": TARGETS, "machine": machine()}, indent=2))


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Seconds by the clock and of the processor, and how many captions or pictures it came to."""
    began, began_work = time.perf_counter(), time.process_time()
    done = work()
    seconds, worked = time.perf_counter() - began, time.process_time() - began_work
    assert done, "nothing was done"
    return {"wall": round(seconds, 3), "cpu": round(worked, 3), "done": done}


def fill(path: Path, number: int) -> None:
    """Pictures with captions; each caption begins with "start", and half of them speak of a dog."""
    rng = np.random.default_rng(0)
    for each in range(number):
        if each < LOOKED_AT:
            noise = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((1024, 768)).save(path / f"{each:05}.jpg")
        else:
            (path / f"{each:05}.jpg").touch()
        words = rng.choice(WORDS, rng.integers(6, 59)).tolist()
        text = " ".join(["start", "dog" if each % 2 else "cat", *(word for word in words if word != "dog")])
        (path / f"{each:05}.txt").write_text(f"{text}\n", "utf-8")


@contextmanager
def opened(path: Path, writable: bool = False) -> Iterator[tuple[Folder, Journal]]:
    folder = Folder(path)
    with closing(Journal(folder.journal_file, writable)) as journal:
        yield folder, journal


def entries(path: Path) -> list[Entry]:
    with opened(path) as (folder, journal):
        return read(folder, journal)


def shown(path: Path) -> list[str]:
    """The lines of the list, with the tokens of each caption."""
    found = entries(path)
    counts = token_counts([entry.caption for entry in found])
    return [f"{entry.name}: {entry.caption} ({number})" for entry, number in zip(found, counts, strict=True)]


def change(path: Path, old: str, new: str) -> int:
    with opened(path, writable=True) as (folder, journal):
        editor = Editor(folder, journal)
        changes: Sequence[Change] = edits.replace(read(folder, journal), edits.Pattern(old), new).changes
        return editor.apply("replace", [old, new], changes).count


def take(path: Path, way: Callable[[Editor], object]) -> int:
    with opened(path, writable=True) as (folder, journal):
        return int(way(Editor(folder, journal)) is not None)


def compare(path: Path) -> int:
    files = dict(list(Folder(path).pictures.items())[:LOOKED_AT])
    looks = {name: look for name, look, _ in look_at(pictures_on_disk(files), {}) if look}
    groups(looks)
    return len(looks)


def near_duplicates(places: Sequence[Path]) -> dict[str, Any]:
    """How many copies are found and marked, and how many of the photos themselves."""
    looks: dict[str, Look] = {}
    copies: dict[str, list[tuple[Look, Look]]] = {name: [] for name in COPIES}
    for name, photo in photos(places):
        seen = look(Picture(name, "", photo.copy))
        if len(looks) < COPIED:
            for kind, changed in COPIES.items():
                copies[kind].append((seen, look(Picture(name, "", partial(changed, photo)))))
        looks[name] = seen
    found = marks(looks)
    return {
        "photos": len(looks),
        "pairs": len(looks) * (len(looks) - 1) // 2,
        "groups": groups(looks),
        "blurred": sum(BLURRED in held for held in found.values()),
        "dark": sum(DARK in held for held in found.values()),
        "copies": {
            kind: {
                "found": round(sum(bool(groups({"photo": a, "copy": b})) for a, b in pairs) / len(pairs), 3),
                "blurred": round(sum(b.sharpness < SHARPNESS for _, b in pairs) / len(pairs), 3),
                "dark": round(sum(b.brightness < BRIGHTNESS for _, b in pairs) / len(pairs), 3),
            }
            for kind, pairs in copies.items()
        },
    }


def photos(places: Sequence[Path]) -> Iterator[tuple[str, Image.Image]]:
    """The photos of folders and tars, by name."""
    for place in places:
        if place.is_dir():
            for file in sorted(place.iterdir()):
                yield str(file), open_image(file)
        else:
            with tarfile.open(place) as archive:
                for member in archive:
                    if content := archive.extractfile(member):
                        yield f"{place}/{member.name}", open_image(content.read())


def compressed(photo: Image.Image) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def blurred(photo: Image.Image, share: float) -> Image.Image:
    """With a Gaussian blur whose standard deviation is a share of the longer side."""
    return photo.filter(ImageFilter.GaussianBlur(share * max(photo.size)))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda photo: photo.resize((photo.width // 2, photo.height // 2)),
    "JPEG quality 30": compressed,
    "1.2 times as bright": lambda photo: ImageEnhance.Brightness(photo).enhance(1.2),
    "a fifth as bright": lambda photo: ImageEnhance.Brightness(photo).enhance(0.2),
    "without a border of 2.5 %": lambda photo: ImageOps.crop(photo, round(0.025 * photo.width)),
    "blurred by 0.6 %": lambda photo: blurred(photo, 0.006),
    "blurred by 1 %": lambda photo: blurred(photo, 0.01),
}


if __name__ == "__main__":
    main()
