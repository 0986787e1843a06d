"""Delete posts on a full disk.

SQLite needs space even to delete: changes go to its log (``-wal``) first, which can be emptied only
while the database itself can grow. So a file is kept in reserve beside the database. When the disk
is full, deleting takes its space, and goes in small steps that need little of it. SQLite then
reuses the space of what was deleted, so that saving works again as well.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

LOG_PAGES = 250  # of 4 kB, in SQLite's log before it is emptied; that can take as much in the database
RESERVE = 3_000_000  # bytes: for emptying the log, and for a step
STEP = 10  # posts deleted at a time; each changes some 20 pages
SMALLEST = RESERVE  # bytes of a database that is worth a reserve; a smaller one has little to delete
AMPLE = 20 * RESERVE  # free bytes with which there is room for it
NEEDED = 1_000_000  # free bytes that SQLite needs to open a database


def reserve(database: Path) -> None:
    """Make the file that is kept in reserve, or, when the disk is so full that SQLite could not start, delete it."""
    file = _file(database)
    with suppress(OSError):  # it is of use only later
        free = shutil.disk_usage(database.parent).free
        if free < NEEDED:
            file.unlink(missing_ok=True)
        elif free > AMPLE and database.stat().st_size > SMALLEST and not file.exists():
            file.touch(mode=0o600)
            file.write_bytes(os.urandom(RESERVE))  # zeros could be compressed away


def release(database: Path) -> None:
    """Give the space of the reserve to the database."""
    with suppress(OSError):
        _file(database).unlink(missing_ok=True)


def empty_log(engine: Engine) -> None:
    """Write SQLite's log into the database, as far as possible, and give its space back."""
    with suppress(sqlite3.Error, SQLAlchemyError), closing(engine.raw_connection()) as connection:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _file(database: Path) -> Path:
    return database.with_name(f"{database.name}-reserve")
