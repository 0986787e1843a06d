"""How fast a large set of captions is edited, as JSON on stdout. Run it on a quiet machine.

    python -m benchmarks.captions [CAPTIONS]

10,000 pictures with captions of 8 to 60 words, in a new folder on the disk of the temporary files. Each number
is what a command takes without the start of Python: it opens the folder and the journal, and closes them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.lite import machine
from img2prompt.captions import Change, Editor, Entry, Filter, Folder, Journal, edits
from img2prompt.captions.counts import count
from img2prompt.captions.duplicates import groups, look_at, pictures_on_disk
from img2prompt.captions.editor import read
from img2prompt.captions.table import token_counts

CAPTIONS = 10_000
LOOKED_AT = 500  # pictures that are compared; the time grows with their number
TARGETS = {"list_s": "<= 1", "replace_s": "<= 1", "replace_in_half_s": "<= 1"}
WORDS = """
    a man woman dog cat street house tree car in on beside with red blue green large small old new standing
    sitting running looking table window door sky water mountain light photo painting of the and
""".split()


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CAPTIONS
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        fill(path, number)
        token_counts(["warm"])
        report = {
            "captions": number,
            "list_s": timed(lambda: len(shown(path))),
            "filter_s": timed(lambda: len(Filter(text="red car", max_tokens=77).of(entries(path)))),
            "preview_s": timed(lambda: len(edits.replace(entries(path), edits.Pattern("dog"), "wolf").changes)),
            "replace_in_half_s": timed(lambda: change(path, "dog", "wolf")),
            "replace_s": timed(lambda: change(path, "start", "begin")),
            "undo_s": timed(lambda: take(path, Editor.undo)),
            "redo_s": timed(lambda: take(path, Editor.redo)),
            "stats_s": timed(lambda: count(entries(path)).captions),
            "compare_a_picture_ms": round(timed(lambda: compare(path)) * 1000 / LOOKED_AT, 2),
        }
    print(json.dumps({**report, "targets": TARGETS, "machine": machine()}, indent=2))


def timed(work: Callable[[], int]) -> float:
    began = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - began
    assert done, "nothing was done"
    return round(seconds, 3)


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


if __name__ == "__main__":
    main()
