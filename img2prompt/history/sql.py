"""Questions in SQL about one's own posts, which can change nothing and see nobody else's.

A private copy of the owner's rows, without pictures and vectors, is what they are asked of: the
same for every database that keeps the history, and safe between people by construction.
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
MOST_CHARACTERS = 10_000  # of a question
MOST_BYTES = 100_000  # of a value, so that no answer fills the memory
STEPS = 10_000  # of SQLite's machine between two looks at the clock
# What could load code, or fill the memory before SQLite looks at the clock.
DENIED_FUNCTIONS = ("load_extension", "randomblob", "zeroblob", "printf", "format")
ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)


class Answer(NamedTuple):
    columns: list[str]
    rows: list[tuple[Any, ...]]
    cut: bool  # whether there were more


def columns() -> dict[str, list[str]]:
    """Table → its columns, as they can be asked about."""
    return {model.__tablename__: [column.key for column in _columns(model)] for model in TABLES}


def copy(engine: Engine, owner: str, file: Path) -> None:
    """Write the owner's rows into a new SQLite database; a file that is there is replaced.

    Raises
    ------
    HistoryError
        When the history cannot be read, or the copy not be written.
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
    """The answer to one SELECT, from the copy.

    At most `MOST_ROWS` rows, and no longer than `MOST_SECONDS`. The connection is read-only,
    and SQLite's authorizer lets pass nothing but reading.

    Raises
    ------
    HistoryError
        For anything else than one SELECT that can be answered within the limits.
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


def _explained(said: str) -> str:
    if said == "interrupted":
        return f"This takes longer than {MOST_SECONDS:g} seconds. Ask for less, or of fewer rows."
    if "not authorized" in said or "prohibited" in said:
        return "Only reading is possible here. Write one SELECT on the tables below."
    if "one statement" in said:
        return "One SELECT at a time, please."
    return f"SQLite does not understand this: {said}."


def _columns(model: Any) -> list[Any]:
    return [column for column in inspect(model).column_attrs if column.key not in LEFT_OUT]


def _plain(row: Iterable[Any]) -> tuple[Any, ...]:
    """Dates as text that SQLite's own functions read."""
    return tuple(f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else value for value in row)
