"""Keep the results of each picture in SQLite as soon as they are there.

A group of pictures is one transaction: after a crash, the file holds all of it or none. A row
that a failing disk or another program has damaged counts as a failed picture, and no other
row suffers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from img2prompt.batch.derived import with_caption
from img2prompt.batch.rows import Row, decode, encode, is_text, stored_of, text_of
from img2prompt.batch.sources import Item
from img2prompt.errors import DataError

CHUNK = 500  # rows read at a time
FORM = 0x69327031  # SQLite's application id for journals of this version: "i2p1"

TABLES = """
CREATE TABLE IF NOT EXISTS results (
    name TEXT PRIMARY KEY,
    stamp TEXT NOT NULL,
    settings TEXT NOT NULL,
    caption TEXT NOT NULL,
    prompt TEXT NOT NULL,
    labels TEXT NOT NULL,
    alt_text TEXT NOT NULL,
    hashtags TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    embedding BLOB,
    error TEXT NOT NULL,
    colours TEXT NOT NULL DEFAULT '[]',
    stored TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS edits (
    name TEXT PRIMARY KEY,
    caption TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS former (
    name TEXT NOT NULL,
    caption TEXT NOT NULL,
    PRIMARY KEY (name, caption)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS written (
    path TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (path, digest)
) WITHOUT ROWID;
"""
COLUMNS = (
    "name, caption, prompt, labels, alt_text, hashtags, width, height, embedding, error, colours, stored"
)
LATER = {
    "colours": "'[]'",
    "stored": "''",
}  # columns that journals of earlier versions lack → what stands for them
# A caption that somebody edited takes precedence over the model's.
EDIT = "(SELECT caption FROM edits WHERE edits.name = results.name)"

DAMAGED = "What the journal says of the picture is damaged. The next run describes it again."


class Line(NamedTuple):
    """The short form of a row, for the overview of a run."""

    name: str
    caption: str
    error: str
    stored: str = ""  # the prompt that the file itself holds


# SQLite's words about a damaged file may quote it, and then be no text.
FAULTS = (sqlite3.Error, UnicodeDecodeError)


class Journal:
    """The results so far, in one file, which one run at a time may have open.

    Safe to share between threads, so that a page can show results while the work goes on.

    Parameters
    ----------
    path : the file; created if there is none
    settings : `fingerprint` of the pipeline; results with another one are ignored

    Raises
    ------
    DataError
        When the file cannot be written, is not a journal, or another run has it open.
    """

    def __init__(self, path: str | Path, settings: str):
        self.path = Path(path)
        self.settings = settings
        self._turn = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._closed = False
        try:
            self._open()
        except FAULTS as error:
            raise self._explain(error) from error

    def _open(self) -> sqlite3.Connection:
        """The connection to the file, which is made if there is none."""
        if self._closed:
            raise sqlite3.ProgrammingError("closed")
        if self._database is None:
            database = sqlite3.connect(self.path, timeout=1.0, check_same_thread=False)
            try:
                # Bytes that are no UTF-8 must not fail the other rows of a query.
                database.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
                _check_form(database)
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                database.executescript(TABLES)
                _add_columns(database)
                database.execute("DELETE FROM results WHERE false")  # takes the lock now
                database.commit()
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def rest(self) -> None:
        """Let go of the file, for other runs too; the next use opens it again."""
        with self._turn:
            if self._database is not None:
                self._database.close()
                self._database = None

    def close(self) -> None:
        """Let go of the file for good."""
        self._closed = True
        self.rest()

    def add(self, items: Sequence[Item], rows: Sequence[Row]) -> None:
        """Save one row for each item: all of them, or none if the machine stops meanwhile."""
        values = [(item.stamp, self.settings, *encode(row)) for item, row in zip(items, rows, strict=True)]
        marks = ", ".join("?" * len(values[0]))
        # By name, as those that a journal of an earlier version lacked stand in another order in it.
        new = f"INSERT OR REPLACE INTO results (stamp, settings, {COLUMNS}) VALUES ({marks})"
        old = "SELECT name, caption FROM results WHERE name = ? AND caption != ? AND error = ''"
        captions = [(row.name, row.caption) for row in rows]
        self._write_all((f"INSERT OR IGNORE INTO former {old}", captions), (new, values))

    def missing(self, items: Iterable[Item]) -> list[Item]:
        """The items that have no row yet or whose file has changed since, in the given order."""
        known = dict(self._read("SELECT name, stamp FROM results WHERE settings = ?", [self.settings]))
        return [item for item in items if known.get(item.name) != item.stamp]

    def rows(self, items: Sequence[Item]) -> Iterator[Row]:
        """Yield the rows of the items that have one, in the given order, with few in memory at a time.

        A row whose caption somebody edited has the edit, and what derives from it, unless the picture failed.
        """
        for start in range(0, len(items), CHUNK):
            names = [item.name for item in items[start : start + CHUNK]]
            marks = ", ".join("?" * len(names))
            query = f"SELECT {COLUMNS}, {EDIT} FROM results WHERE settings = ? AND name IN ({marks})"
            by_name = {values[0]: values for values in self._read(query, [self.settings, *names])}
            for name in names:
                if name in by_name:
                    *values, edit = by_name[name]
                    try:
                        row = decode(*values)
                        yield row if edit is None or row.error else with_caption(row, text_of(edit))
                    except ValueError:
                        yield Row(name, error=DAMAGED)

    def failed(self, items: Sequence[Item]) -> Iterator[Row]:
        """Yield the rows of the items that failed."""
        return (row for row in self.rows(items) if row.error)

    def overview(self) -> list[Line]:
        """The short form of all rows, sorted by name."""
        query = f"SELECT name, coalesce({EDIT}, caption), error, stored FROM results WHERE settings = ? ORDER BY name"
        return [_line(*values) for values in self._read(query, [self.settings]) if is_text(values[0])]

    def labelled(self, text: str) -> dict[str, tuple[str, ...]]:
        """The labels with this text in them, by the names of their pictures; A is as good as a."""
        query = """
            SELECT name, iif(pair.type = 'array', json_extract(pair.value, '$[0]'), '') AS label
            FROM results, json_each(iif(json_valid(labels), labels, '{}')) AS tables,
                json_each(iif(tables.type = 'array', tables.value, '[]')) AS pair
            WHERE settings = ? AND instr(lower(label), lower(?))
        """
        found: dict[str, list[str]] = {}
        for name, label in self._read(query, [self.settings, text]):
            if is_text(name) and is_text(label):
                found.setdefault(name, []).append(label)
        return {name: tuple(labels) for name, labels in found.items()}

    def edit(self, name: str, caption: str) -> None:
        """Replace the model's caption, now and after any later run; an empty caption restores the model's."""
        if caption:
            self._write("INSERT OR REPLACE INTO edits VALUES (?, ?)", [(name, caption)])
        else:
            self._write("DELETE FROM edits WHERE name = ?", [(name,)])

    def restamp(self, name: str, stamp: str) -> None:
        """Take a picture's result for one of its file as it is now (its `Item.stamp`)."""
        self._write("UPDATE results SET stamp = ? WHERE name = ?", [(stamp, name)])

    def edit_all(self, captions: Mapping[str, str]) -> None:
        """Replace captions (name → caption), all or none of them; one that is the model's again is no edit."""
        names = [(name,) for name in captions]
        values = [(name, text, name, self.settings, text) for name, text in captions.items()]
        same = "SELECT 1 FROM results WHERE name = ? AND settings = ? AND caption = ?"
        self._write_all(
            ("DELETE FROM edits WHERE name = ?", names),
            (f"INSERT INTO edits SELECT ?, ? WHERE NOT EXISTS ({same})", values),
        )

    def edited(self) -> set[str]:
        """The names of the pictures whose caption somebody edited."""
        return {name for (name,) in self._read("SELECT name FROM edits", ())}

    def of_model(self, name: str) -> str:
        """The model's caption of a picture; empty where there is none."""
        query = "SELECT caption FROM results WHERE settings = ? AND name = ? AND error = ''"
        found = self._read(query, [self.settings, name])
        return found[0][0] if found and is_text(found[0][0]) else ""

    def described_anew(self) -> list[tuple[str, str, str]]:
        """Name, the model's caption before, and its caption now, of those that are not `forget_former` yet."""
        query = (
            "SELECT name, former.caption, results.caption FROM former JOIN results USING (name) "
            "WHERE settings = ? AND error = ''"
        )
        return [texts for texts in self._read(query, [self.settings]) if all(map(is_text, texts))]

    def forget_former(self, captions: Iterable[tuple[str, str]]) -> None:
        """Delete captions (name, caption) that were the model's before."""
        self._write("DELETE FROM former WHERE name = ? AND caption = ?", list(captions))

    def clear(self) -> None:
        """Delete all results, but keep the edited captions."""
        self._write("DELETE FROM results", [()])

    def forget_errors(self) -> None:
        """Delete the rows of pictures that failed, so that the next run tries them again."""
        self._write("DELETE FROM results WHERE error != ''", [()])

    def drop_damaged(self) -> int:
        """Delete what is damaged, so that the next run describes those pictures again; return how many."""
        edits = self._read("SELECT rowid, name, caption FROM edits", ())
        damaged = [(number,) for number, *texts in edits if not all(map(is_text, texts))]
        self._write("DELETE FROM edits WHERE rowid = ?", damaged)
        last, dropped = -1, []
        query = f"SELECT rowid, {COLUMNS} FROM results WHERE rowid > ? ORDER BY rowid LIMIT {CHUNK}"
        while rows := self._read(query, [last]):
            last = rows[-1][0]
            for number, *values in rows:
                try:
                    decode(*values)
                except ValueError:
                    dropped.append((number,))
        self._write("DELETE FROM results WHERE rowid = ?", dropped)
        return len(damaged) + len(dropped)

    def will_write(self, path: str, *digests: str) -> None:
        """Note that this program writes a file with this content, by one or more digests of it (SHA-256)."""
        self._write("INSERT OR IGNORE INTO written VALUES (?, ?)", [(path, digest) for digest in digests])

    def wrote(self, path: str, digest: str) -> bool:
        """Whether this program wrote the file with this content (its SHA-256)."""
        return bool(self._read("SELECT 1 FROM written WHERE path = ? AND digest = ?", [path, digest]))

    def _read(self, query: str, values: Sequence[object]) -> list[tuple]:
        try:
            with self._turn:
                return self._open().execute(query, values).fetchall()
        except FAULTS as error:
            raise self._explain(error) from error

    def _write(self, query: str, values: Sequence[Sequence[object]]) -> None:
        self._write_all((query, values))

    def _write_all(self, *queries: tuple[str, Sequence[Sequence[object]]]) -> None:
        """Several changes of the file, or none of them."""
        try:
            with self._turn, self._open() as database:
                for query, values in queries:
                    database.executemany(query, values)
        except FAULTS as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> DataError:
        reason = "malformed" if isinstance(error, UnicodeDecodeError) else str(error)
        if "locked" in reason:
            return DataError(f"{self.path} is in use by another run. Wait for it, or stop it.")
        if "full" in reason:
            return DataError(
                f"{self.path}: no space left. Free some and give the same command again; it goes on from here."
            )
        if "malformed" in reason:
            return DataError(f"{self.path} is damaged. Move it away, and give the same command again.")
        if "not a database" in reason:
            return DataError(f"{self.path} is no journal of this version. Move it away, or name another.")
        return DataError(f"{self.path} cannot be written ({reason}). Check the folder and its permissions.")


def _line(name: str, caption: object, error: object, stored: object) -> Line:
    try:
        said = stored_of(stored)
        return Line(name, text_of(caption), text_of(error), (said and said.prompt) or "")
    except ValueError:
        return Line(name, "", DAMAGED)


def _add_columns(database: sqlite3.Connection) -> None:
    """Give a journal of an earlier version the columns that it lacks."""
    there = {column[1] for column in database.execute("PRAGMA table_info(results)")}
    for name, default in LATER.items():
        if name not in there:
            database.execute(f"ALTER TABLE results ADD COLUMN {name} TEXT NOT NULL DEFAULT {default}")


def _check_form(database: sqlite3.Connection) -> None:
    (form,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and form != FORM:
        raise sqlite3.DatabaseError("not a database of this form")
    database.execute(f"PRAGMA application_id = {FORM}")
