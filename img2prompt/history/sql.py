"""Answer questions in SQL about one owner's posts.

Questions go to a private copy of the owner's rows, without pictures and vectors, and to a process
of their own (`sandbox`). So they work the same for every database, cannot change the history,
cannot see the posts of other people, and end in time, whatever they ask.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, inspect, select

from img2prompt.errors import HistoryError
from img2prompt.history import sandbox
from img2prompt.history.database import reading
from img2prompt.history.integrity import rows
from img2prompt.history.tables import (
    FailureRow,
    HashtagRow,
    LabelRow,
    PictureRow,
    PostRow,
    TimingRow,
    VariantRow,
)
from img2prompt.wording import reason

TABLES: tuple[Any, ...] = (
    PostRow,
    PictureRow,
    VariantRow,
    LabelRow,
    HashtagRow,
    TimingRow,
    FailureRow,
)
LEFT_OUT = ("owner", "fingerprint", "colours", "versions")
AT_ONCE = 2  # questions; each may use `sandbox.MOST_MEMORY`
MOST_WAITING = 20  # seconds until a question has its turn

_turn = threading.BoundedSemaphore(AT_ONCE)
logger = logging.getLogger(__name__)


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
                    map(_plain, rows(source.execute(query.execution_options(yield_per=1000)))),
                )
            target.commit()
    except (sqlite3.Error, OSError) as error:
        raise HistoryError(
            f"No copy of the history could be made for questions ({reason(error)})."
        ) from error


def ask(engine: Engine, owner: str, question: str) -> Answer:
    """Answer one SELECT about an owner's posts.

    Parameters
    ----------
    engine : from `open_database`
    owner : whose posts
    question : the SELECT, in SQLite's SQL, on the tables that `columns` names

    Returns
    -------
    At most `sandbox.MOST_ROWS` rows of at most `sandbox.LARGEST_ANSWER` bytes. Binary values are
    written as in SQL: ``x'00ff'``.

    Raises
    ------
    HistoryError
        For anything other than one SELECT that can be answered within the limits of `sandbox`, and
        when the history cannot be read.
    """
    if not _turn.acquire(timeout=MOST_WAITING):
        raise HistoryError("Others are asking already. Try again in a moment.")
    try:
        with tempfile.TemporaryDirectory(prefix="img2prompt-") as folder:
            file = Path(folder, "posts.db")
            copy(engine, owner, file)
            return ask_file(file, question)
    finally:
        _turn.release()


def ask_file(file: Path, question: str) -> Answer:
    """As `ask`, of a copy that `copy` made."""
    if len(question) > sandbox.MOST_CHARACTERS:
        raise HistoryError(
            f"The question has {len(question)} characters; at most {sandbox.MOST_CHARACTERS} are read."
        )
    # -I and -S: nothing but the standard library, whatever the environment says, and a quick start.
    command = [sys.executable, "-I", "-S", sandbox.__file__, str(file)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(question).encode(),
            capture_output=True,
            check=False,
            timeout=sandbox.MOST_SECONDS,  # then it is killed
        )
    except subprocess.TimeoutExpired as error:
        raise HistoryError(
            f"This takes longer than {sandbox.MOST_SECONDS} seconds. Ask for less, or of fewer rows."
        ) from error
    except OSError as error:
        raise HistoryError(f"No process for the question can be started ({reason(error)}).") from error
    if done.returncode:
        logger.warning("A question ended with %d. %s", done.returncode, done.stderr.decode(errors="replace"))
        raise HistoryError(_explained("out of memory"))
    found = json.loads(done.stdout)
    if "error" in found:
        raise HistoryError(_explained(found["error"]))
    if not found["columns"]:
        raise HistoryError("There is nothing to answer. Write one SELECT.")
    return Answer(found["columns"], list(map(tuple, found["rows"])), found["cut"])


def _explained(reason: str) -> str:
    """Turn a message of SQLite into one that says what to do."""
    if "out of memory" in reason:
        return f"This takes more than {sandbox.LARGEST_HEAP // 1_000_000} MB of memory. Ask for less."
    if "too many columns" in reason:
        return f"This has more than {sandbox.MOST_COLUMNS} columns. Name the ones you need."
    if "too big" in reason:
        return f"A value has more than {sandbox.LARGEST_VALUE // 1000} kB. Ask for less."
    if "pattern too complex" in reason:
        return f"LIKE and GLOB take patterns of at most {sandbox.LONGEST_PATTERN} bytes."
    if "use function" in reason:
        return f"The function {reason.rpartition(' ')[2]} cannot be used here."
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
