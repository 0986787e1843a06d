"""Journals of batches: bytes of the file, and values in sound files."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from img2prompt.batch.journal import Journal, Row
from img2prompt.batch.sources import Item
from img2prompt.embeddings import WIDTH
from img2prompt.errors import Img2PromptError
from tests.fuzz.mutations import mutate

MEGABYTES = 900  # about 600 take the dictionary and the tokenizer that read an edited caption
SETTINGS = "settings"
JOURNAL, PAGE = "run.journal", 4096
WRONG = (
    None,
    "",
    0,
    -1,
    2**63 - 1,
    1e308,
    float("inf"),
    b"",
    b"\xff\xfe",
    "null",
    "[]",
    "{}",
    "[[]]",
    '{"": [1]}',
)


def make(chooser: Random) -> dict[str, bytes]:
    samples = sound()
    files = dict(chooser.choice(samples))
    if chooser.random() < 0.3:
        return {JOURNAL: with_wrong_values(samples[0][JOURNAL], chooser)}
    name = chooser.choice(sorted(files))
    others = [sample[name] for sample in samples if name in sample]
    files[name] = mutate(files[name], chooser, others, (len(files[name]) // PAGE, PAGE))
    return files


def attempt(folder: Path) -> None:
    with closing(Journal(folder / JOURNAL, SETTINGS)) as journal:
        items = pictures()
        refusal = None
        for step in (
            lambda: journal.missing(items),
            lambda: list(journal.rows(items)),
            lambda: list(journal.failed(items)),
            lambda: journal.overview(),
            lambda: journal.edit("0.jpg", "edited"),
            lambda: journal.wrote("run.csv", "digest"),
            lambda: [text.encode() for each in journal.described_anew() for text in each],
            lambda: journal.forget_errors(),
            lambda: journal.add(items, rows()),
        ):
            try:
                step()
            except Img2PromptError as error:
                refusal = error
        if refusal:
            raise refusal


@functools.cache
def sound() -> tuple[dict[str, bytes], ...]:
    """Journals of a small and a larger batch, and of one that was killed, the same at each call."""
    return journal_of(3), journal_of(len(pictures())), journal_of(3, killed=True)


def journal_of(count: int, killed: bool = False) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        with closing(Journal(Path(folder, JOURNAL), SETTINGS)) as journal:
            earlier = [replace(row, caption=row.caption and "a cat") for row in rows()[:count]]
            journal.add(pictures()[:count], earlier)
            journal.add(pictures()[:count], rows()[:count])  # described anew
            journal.edit("1.jpg", "a caption of my own")
            journal.will_write("run.csv", "digest")
            before = files_in(folder)
        return before if killed else files_in(folder)


def files_in(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


@functools.cache
def pictures() -> list[Item]:
    return [Item(f"{number}.jpg", "stamp", bytes) for number in range(12)]


@functools.cache
def rows() -> list[Row]:
    labels = {"mediums": [("a photo", 0.25), ("a painting", 0.125)]}
    described = [
        Row(
            item.name,
            "a dog on a beach",
            "a dog on a beach, a photo",
            labels,
            "A dog.",
            ("dog", "beach"),
            640,
            480,
            np.full(WIDTH, WIDTH**-0.5, np.float32),
        )
        for item in pictures()[1:]
    ]
    return [Row(pictures()[0].name, error="is damaged"), *described]


def with_wrong_values(data: bytes, chooser: Random) -> bytes:
    """The same file with a few values replaced, whatever its tables are."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, JOURNAL)
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA synchronous = OFF")
            for _ in range(chooser.choice((1, 1, 2, 5))):
                (table,) = chooser.choice(
                    database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                )
                column = chooser.choice(database.execute(f"PRAGMA table_info({table})").fetchall())[1]
                (key,) = chooser.choice(database.execute(f"SELECT {column} FROM {table}").fetchall())
                with suppress(sqlite3.IntegrityError):  # what the table itself refuses
                    database.execute(
                        f"UPDATE OR FAIL {table} SET {column} = ? WHERE {column} IS ?",
                        (wrong(key, chooser), key),
                    )
            database.commit()
        return path.read_bytes()


def wrong(value: object, chooser: Random) -> object:
    """A damaged text or vector, or something else altogether."""
    if value and isinstance(value, str | bytes) and chooser.random() < 0.5:
        data = value.encode() if isinstance(value, str) else value
        mutant = mutate(data, chooser, [data])
        return mutant.decode("utf-8", "replace") if isinstance(value, str) else mutant
    return chooser.choice(WRONG)
