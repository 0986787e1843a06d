"""Every step that was taken with a set, kept in SQLite, so that each can be taken back as long as the set lives.

A step is in one of five states. Three of them are there only while captions are being written:

    writing ──▶ done ◀──▶ undone       undoing: done ──▶ undone       redoing: undone ──▶ done

Whatever stops the program there, the next that opens the journal finds the step, and both texts of each of
its changes.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from img2prompt.captions.table import Change, Look, Version
from img2prompt.errors import DataError

FORM = 0x69326331  # SQLite's application id for journals of this version: "i2c1"
WRITING, DONE, UNDOING, UNDONE, REDOING = STATES = ("writing", "done", "undoing", "undone", "redoing")

TABLES = """
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    made TEXT NOT NULL,
    kind TEXT NOT NULL,
    words TEXT NOT NULL,
    state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS changes (
    step INTEGER NOT NULL REFERENCES steps (id),
    name TEXT NOT NULL,
    before TEXT,
    after TEXT,
    kept_before TEXT NOT NULL,
    kept_after TEXT NOT NULL,
    PRIMARY KEY (step, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (
    name TEXT PRIMARY KEY,
    texts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (
    name TEXT PRIMARY KEY,
    stamp TEXT NOT NULL,
    hash TEXT NOT NULL,
    sharpness REAL NOT NULL,
    brightness REAL NOT NULL
) WITHOUT ROWID;
"""
# SQLite's words about a damaged file may quote it, and then be no text.
FAULTS = (sqlite3.Error, UnicodeDecodeError)


@dataclass(frozen=True)
class Step:
    """Something that was done to a set."""

    id: int
    made: datetime  # UTC
    kind: str  # what was done, such as "replace"
    words: tuple[str, ...]  # with what, such as ("cat", "dog")
    state: str  # one of `STATES`
    count: int  # pictures whose captions it changes

    @property
    def title(self) -> str:
        """What was done, and with what: replace "cat" "dog"."""
        return " ".join([self.kind, *(json.dumps(word, ensure_ascii=False) for word in self.words)])


class Journal:
    """The steps of one set, in one file, which one editor at a time may have open.

    Parameters
    ----------
    path : the file; made with the first step where there is none
    writable : whether it is to be written. Else it is not made, may be read while somebody else reads,
        and is empty where there is none.

    Raises
    ------
    DataError
        When it cannot be read or written, is damaged or no journal, or somebody else has it open.
    """

    def __init__(self, path: str | Path, writable: bool = True):
        self.path, self.writable = Path(path), writable
        try:
            self._database = self._open(writable)
        except FAULTS as error:
            raise self._explain(error) from error

    def _open(self, writable: bool) -> sqlite3.Connection:
        if not writable and not self.path.exists():
            database = sqlite3.connect(":memory:", check_same_thread=False)
        else:
            # Where it may be written, even reading may have to: to take back what SQLite was stopped in.
            mode = "rwc" if writable else "rw" if os.access(self.path, os.W_OK) else "ro"
            address = f"{self.path.absolute().as_uri()}?mode={mode}"
            database = sqlite3.connect(address, uri=True, timeout=1.0, check_same_thread=False)
        try:
            (form,) = database.execute("PRAGMA application_id").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and form != FORM:
                raise sqlite3.DatabaseError("not a database of this form")
            if writable or not tables:
                # Not SQLite's write-ahead log: a file of two parts is soon copied without the second.
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
                database.execute("PRAGMA synchronous = FULL")
                if not tables:
                    database.execute(f"PRAGMA application_id = {FORM}")
                    database.executescript(TABLES)
                database.execute("DELETE FROM steps WHERE false")  # takes the lock now
                database.commit()
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def steps(self) -> list[Step]:
        """All steps that are kept, the first first."""
        query = (
            "SELECT id, made, kind, words, state, (SELECT count(*) FROM changes WHERE step = steps.id) "
            "FROM steps ORDER BY id"
        )
        try:
            return [
                Step(id, datetime.fromisoformat(made), str(kind), self._texts(words), state, count)
                for id, made, kind, words, state, count in self._read(query)
            ]
        except (ValueError, TypeError) as error:
            raise self._damaged() from error

    def changes(self, step: int) -> list[Change]:
        """The changes of a step, by name."""
        query = (
            "SELECT name, before, after, kept_before, kept_after FROM changes WHERE step = ? ORDER BY name"
        )
        return [
            Change(
                name,
                Version(self._text(before), self._texts(kept)),
                Version(self._text(after), self._texts(kept_after)),
            )
            for name, before, after, kept, kept_after in self._read(query, [step])
        ]

    def kept(self) -> dict[str, tuple[str, ...]]:
        """Name → further captions to choose from, of the pictures that have some."""
        return {name: self._texts(texts) for name, texts in self._read("SELECT name, texts FROM kept")}

    def originals(self) -> dict[str, str | None]:
        """Name → the caption before the first step, of the pictures that a step changed."""
        query = (
            "SELECT name, before, min(step) FROM changes JOIN steps ON step = id "
            "WHERE state != ? GROUP BY name"
        )
        return {name: self._text(before) for name, before, _ in self._read(query, [UNDONE])}

    def begin(self, kind: str, words: Sequence[str], changes: Iterable[Change]) -> int:
        """Note what is about to be written; returns the number of the step, which is in state `WRITING`."""
        try:
            with self._database:
                made = datetime.now(timezone.utc).isoformat(timespec="seconds")
                cursor = self._database.execute(
                    "INSERT INTO steps (made, kind, words, state) VALUES (?, ?, ?, ?)",
                    (made, kind, json.dumps(words), WRITING),
                )
                self._database.executemany(
                    "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        (
                            cursor.lastrowid,
                            name,
                            before.text,
                            after.text,
                            json.dumps(before.kept),
                            json.dumps(after.kept),
                        )
                        for name, before, after in changes
                    ),
                )
        except FAULTS as error:
            raise self._explain(error) from error
        assert cursor.lastrowid is not None  # a row was put in
        return cursor.lastrowid

    def mark(self, step: int, state: str) -> None:
        """Note that a step is on its way, or is again what it was."""
        self._write([("UPDATE steps SET state = ? WHERE id = ?", [(state, step)])])

    def settle(
        self,
        step: int,
        state: str,
        kept: Iterable[tuple[str, tuple[str, ...]]],
        obsolete: Sequence[int] = (),
    ) -> None:
        """Note that a step's captions are all written.

        Parameters
        ----------
        state : `DONE` or `UNDONE`
        kept : the further captions of its pictures from now on
        obsolete : steps to delete, as they cannot be taken again after this one
        """
        kept = list(kept)
        self._write(
            [
                *_deletion(obsolete),
                ("UPDATE steps SET state = ? WHERE id = ?", [(state, step)]),
                ("DELETE FROM kept WHERE name = ?", [(name,) for name, _ in kept]),
                (
                    "INSERT INTO kept VALUES (?, ?)",
                    [(name, json.dumps(texts)) for name, texts in kept if texts],
                ),
            ]
        )

    def forget(self, step: int) -> None:
        """Delete a step that was never completed."""
        self._write(_deletion([step]))

    def renew(self, captions: Iterable[tuple[str, str, str]]) -> None:
        """Put other captions in the place of some (name, old one, new one) wherever steps begin or end with them."""
        rows = [(new, name, old) for name, old, new in captions]
        each = "step IN (SELECT id FROM steps) AND name = ?"  # step by step, so that none are looked through
        self._write(
            [
                (f"UPDATE changes SET {side} = ? WHERE {each} AND {side} = ?", rows)
                for side in ("before", "after")
            ]
        )

    def looks(self) -> dict[str, Look]:
        """Name → what was seen of the picture, of those that were looked at."""
        found = {}
        for name, *values in self._read("SELECT name, stamp, hash, sharpness, brightness FROM looks"):
            if (look := Look.checked(*values)) is not None:  # else it is damaged, and looked at again
                found[name] = look
        return found

    def add_looks(self, looks: Mapping[str, Look]) -> None:
        """Keep what was seen of pictures."""
        rows = [(name, *look) for name, look in looks.items()]
        self._write([("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?)", rows)])

    def _text(self, text: object) -> str | None:
        if text is not None and not isinstance(text, str):
            raise self._damaged()
        return text

    def _texts(self, text: object) -> tuple[str, ...]:
        """A list of captions as it is kept."""
        try:
            texts = json.loads(text)  # type: ignore[arg-type]
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damaged() from error
        if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
            raise self._damaged()
        return tuple(texts)

    def _read(self, query: str, values: Sequence[object] = ()) -> list[tuple]:
        try:
            return self._database.execute(query, values).fetchall()
        except FAULTS as error:
            raise self._explain(error) from error

    def _write(self, queries: Sequence[tuple[str, Sequence[Sequence[object]]]]) -> None:
        """Several changes of the file, or none of them."""
        try:
            with self._database:
                for query, values in queries:
                    self._database.executemany(query, values)
        except FAULTS as error:
            raise self._explain(error) from error

    def _damaged(self) -> DataError:
        return DataError(
            f"{self.path} is damaged, and with it the way back. Move it away to go on without it."
        )

    def _explain(self, error: Exception) -> DataError:
        reason = "malformed" if isinstance(error, UnicodeDecodeError) else str(error)
        if "locked" in reason:
            return DataError(
                f"{self.path} is in use: somebody else edits these captions. Wait until they are done."
            )
        if "full" in reason:
            return DataError(f"{self.path}: no space left. Free some and give the same command again.")
        if "malformed" in reason or "UTF-8" in reason:
            return self._damaged()
        if "not a database" in reason:
            return DataError(f"{self.path} is no journal of this version. Move it away to go on without it.")
        return DataError(f"{self.path} cannot be written ({reason}). Check the folder and its permissions.")


def _deletion(steps: Sequence[int]) -> list[tuple[str, Sequence[Sequence[object]]]]:
    numbers = [(step,) for step in steps]
    return [("DELETE FROM changes WHERE step = ?", numbers), ("DELETE FROM steps WHERE id = ?", numbers)]
