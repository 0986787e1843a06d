"""Answer one question in SQL within limits: a program of its own, which `img2prompt.history.sql` starts and ends.

    python -I -S sandbox.py FILE < question.json > answer.json

SQLite works on one step at a time and cannot be stopped within it, so no limit of its own bounds
time or memory for certain. A process can be ended. It imports only the standard library, and so
starts within hundredths of a second.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

MOST_ROWS = 1000
MOST_SECONDS = 2
MOST_CHARACTERS = 10_000  # in a question
MOST_COLUMNS = 100
LONGEST_PATTERN = 200  # bytes of what LIKE and GLOB look for; their time grows with it
LARGEST_VALUE = 100_000  # bytes
LARGEST_ANSWER = 4_000_000  # bytes; rows beyond are left out
LARGEST_HEAP = 200_000_000  # bytes that SQLite may use
MOST_MEMORY = 2 * LARGEST_HEAP  # bytes that the process may use, Python included

ACTIONS = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
# Functions of numbers, texts, dates and groups. None reads files, loads code or returns an address, and
# none makes a long value of a short one in a single step, as printf and zeroblob do.
FUNCTIONS = frozenset(
    """
    abs acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2
    mod pi pow power radians random round sign sin sinh sqrt tan tanh trunc
    char concat concat_ws glob hex instr length like lower ltrim octet_length quote replace rtrim substr
    substring trim unicode upper
    current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch
    avg count group_concat max min string_agg sum total
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
    coalesce if ifnull iif nullif typeof
    """.split()
)


def answer(file: str, question: str) -> dict[str, Any]:
    """Ask a database one SELECT.

    Parameters
    ----------
    file : the path of an SQLite database; it is only read, and every table in it may be
    question : the SELECT

    Returns
    -------
    ``columns`` (names), ``rows`` (lists of numbers, texts and nulls) and ``cut`` (whether rows were
    left out), or only ``error``: what SQLite said.
    """
    try:
        with closing(sqlite3.connect(f"{Path(file).resolve().as_uri()}?mode=ro", uri=True)) as connection:
            _restrict(connection)
            cursor = connection.execute(question)
            columns = [description[0] for description in cursor.description or ()]
            if len(columns) > MOST_COLUMNS:
                return {"error": "too many columns"}
            rows, cut = _within_budget(cursor)
            return {"columns": columns, "rows": rows, "cut": cut}
    except MemoryError:
        return {"error": "out of memory"}
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        return {"error": str(error)}


def limit_process() -> None:
    """Limit this process's memory and time, and let it write no file, as far as the platform can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, most in (
        ("RLIMIT_AS", MOST_MEMORY),
        ("RLIMIT_CPU", MOST_SECONDS + 1),  # the caller's clock comes first, while there is a caller
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
    ):
        with suppress(AttributeError, ValueError, OSError):  # a platform without it, or a lower limit
            resource.setrlimit(getattr(resource, name), (most, most))


def _restrict(connection: sqlite3.Connection) -> None:
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # sorting fills no disk
    connection.execute(f"PRAGMA hard_heap_limit = {LARGEST_HEAP}")
    if sys.version_info >= (3, 11):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, MOST_COLUMNS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LONGEST_PATTERN)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = second in FUNCTIONS
        elif action == sqlite3.SQLITE_READ:
            allowed = first in tables or not second  # without a column it may be a name from WITH
        else:
            allowed = action in ACTIONS
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _within_budget(found: Iterable[tuple[Any, ...]]) -> tuple[list[list[Any]], bool]:
    """The first rows that fit into an answer, and whether there are more."""
    rows: list[list[Any]] = []
    left = LARGEST_ANSWER
    for values in found:
        row = [f"x'{value.hex()}'" if isinstance(value, bytes) else value for value in values]
        left -= len(json.dumps(row))
        if left < 0 or len(rows) == MOST_ROWS:
            return rows, True
        rows.append(row)
    return rows, False


if __name__ == "__main__":
    limit_process()
    json.dump(answer(sys.argv[1], json.load(sys.stdin)), sys.stdout)
