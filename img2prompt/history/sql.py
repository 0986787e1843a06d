"""Answer questions in SQL about one owner's posts.

Questions go to a private copy of the owner's rows, without pictures and vectors. So they work the
same for every database, cannot change the history, and cannot see the posts of other people.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, inspect, select

from img2prompt.errors import HistoryError
from img2prompt.history.database import reading
from img2prompt.history.tables import FailureRow, HashtagRow, LabelRow, PostRow, TimingRow, VariantRow

TABLES: tuple[Any, ...] = (PostRow, VariantRow, LabelRow, HashtagRow, TimingRow, FailureRow)
LEFT_OUT = ("owner", "fingerprint", "colours", "versions")
MOST_ROWS = 1000
MOST_SECONDS = 2.0
MOST_CHARACTERS = 10_000  # in a question
MOST_BYTES = 100_000  # in a value, so that no answer fills the memory
STEPS = 10_000  # instructions of SQLite's virtual machine between two checks of the time
# Functions that could load code, or fill the memory before the time is checked.
DENIED_FUNCTIONS = ("load_extension", "randomblob", "zeroblob", "printf", "format")
ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)


class Answer(NamedTuple):
    """A table that answers a question."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    cut: bool  # whether rows were left out


def columns() -> dict[str, list[str]]:
    """Table → the names of its columns, as questions can use them."""
    return {model.__tablename__: [column.key for column in _columns(model)] for model in TABLES}


def copy(engine: Engine, owner: str, file: Path) -> None:
    """Write the owner's rows into a new SQLite database; an existing file is replaced.

    Raises
    ------
    HistoryError
        When the history cannot be read, or the copy cannot be written.
    """
    file.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(file)) as target, reading(engine) as source:
            for model in TABLES:
                names = [column.key for column in _columns(model)]
                target.execute(f"CREATE TABLE {model.__tablename__} ({', '.join(names)})")
                query = select(*(getattr(model, name) for name in names))
                if hasattr(model, "owner"):
                    query = query.where(model.owner == owner)
                else:
                    query = query.join(PostRow, PostRow.id == model.post_id).where(PostRow.owner == owner)
                marks = ", ".join("?" * len(names))
                target.executemany(
                    f"INSERT INTO {model.__tablename__} VALUES ({marks})",
                    (_plain(row) for row in source.execute(query.execution_options(yield_per=1000))),
                )
            target.commit()
    except (sqlite3.Error, OSError) as error:
        raise HistoryError(f"No copy of the history could be made for questions: {error}.") from error


def ask(file: Path, question: str) -> Answer:
    """Answer one SELECT from a copy that `copy` made.

    The answer has at most `MOST_ROWS` rows and takes at most `MOST_SECONDS`. The connection is
    read-only, and SQLite's authorizer permits nothing but reading.

    Raises
    ------
    HistoryError
        For anything other than one SELECT that can be answered within the limits.
    """
    if len(question) > MOST_CHARACTERS:
        raise HistoryError(
            f"The question has {len(question)} characters; at most {MOST_CHARACTERS} are read."
        )
    end = time.monotonic() + MOST_SECONDS
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("PRAGMA query_only = ON")
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: time.monotonic() > end, STEPS)
        try:
            cursor = connection.execute(question)
            rows = cursor.fetchmany(MOST_ROWS + 1)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise HistoryError(_explained(str(error))) from error
        if cursor.description is None:
            raise HistoryError("There is nothing to answer. Write one SELECT.")
        names = [description[0] for description in cursor.description]
    return Answer(names, rows[:MOST_ROWS], len(rows) > MOST_ROWS)


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    denied = action == sqlite3.SQLITE_FUNCTION and second in DENIED_FUNCTIONS
    return sqlite3.SQLITE_OK if action in ALLOWED and not denied else sqlite3.SQLITE_DENY


def _explained(reason: str) -> str:
    """Turn a message of SQLite into one that says what to do."""
    if reason == "interrupted":
        return f"This takes longer than {MOST_SECONDS:g} seconds. Ask for less, or of fewer rows."
    if "not authorized" in reason or "prohibited" in reason:
        return "Only reading is possible here. Write one SELECT on the tables below."
    if "one statement" in reason:
        return "One SELECT at a time, please."
    return f"SQLite does not understand this: {reason}."


def _columns(model: Any) -> list[Any]:
    return [column for column in inspect(model).column_attrs if column.key not in LEFT_OUT]


def _plain(row: Iterable[Any]) -> tuple[Any, ...]:
    """A row with its dates as text that SQLite's date functions understand."""
    return tuple(f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else value for value in row)
