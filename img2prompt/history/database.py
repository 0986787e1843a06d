"""Open the history's database: create or migrate it, and explain its errors."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError, TimeoutError

from img2prompt.errors import HistoryError
from img2prompt.history import space
from img2prompt.libraries import install
from img2prompt.settings import DATABASE_URL, variable

BUSY_SECONDS = 10  # how long SQLite waits for another program's write
OLDEST_SQLITE = (3, 35)  # that can drop columns
CONNECT_SECONDS = 10  # how long PostgreSQL may take to answer
MIGRATION_LOCK = 0x696D6732  # "img2", the number of PostgreSQL's advisory lock

# Part of a database's own message → what is wrong and what to do. The first that matches counts.
REMEDIES = {
    "disk i/o error": "cannot be read or written: its disk is full or failing. Free some space, and try again",
    "no space left": "has no space left. Free some space on the server, or delete old posts",
    "locked": "is being written by another program. Try again in a moment",
    "readonly": "cannot be written. Give yourself write permission for the file and its folder, "
    f"or name another database in {DATABASE_URL}",
    "unable to open": f"cannot be opened. Check its folder and permissions, or name another in {DATABASE_URL}",
    "not a database": "is damaged or no SQLite database. Move it away; a new one is made at the next start",
    "malformed": "is damaged. Move it away; a new one is made at the next start",
    "password authentication failed": f"refuses this user or password. Correct {DATABASE_URL}",
    "does not exist": f"does not exist or lacks what is needed. Create it, or correct {DATABASE_URL}",
}


logger = logging.getLogger(__name__)

_TURNS: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()


class FullError(HistoryError):
    """The disk of an SQLite database is full."""


def default_url() -> str:
    """The URL in ``IMG2PROMPT_DATABASE_URL``, else that of ``history.db`` in the user's data folder."""
    return variable(DATABASE_URL) or f"sqlite:///{_data_folder() / 'history.db'}"


def _data_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("img2prompt")


def open_database(url: str | URL | None = None) -> Engine:
    """Connect to the database, create it if there is none, and bring its tables up to date.

    Parameters
    ----------
    url : ``sqlite:////folder/history.db`` or ``postgresql://user:password@host/name``;
        by default `default_url`

    Raises
    ------
    HistoryError
        When the database cannot be reached, opened or written, or was written by a newer version.
    """
    address = _address(url or default_url())
    options: dict[str, Any] = {}
    if address.drivername.startswith("postgresql"):
        options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
    try:
        engine = create_engine(address, **options)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise _no_address() from error
    except ModuleNotFoundError as error:
        raise HistoryError(
            f"PostgreSQL needs psycopg, which is not installed. {install('psycopg')}"
        ) from error
    return prepare(engine)


def _address(url: str | URL) -> URL:
    """The parsed address of a database, with the driver we use."""
    # Part of a password with an @ would be taken for a host, and be shown and looked up as one.
    if isinstance(url, str) and not url.startswith("sqlite"):
        before, _, after = url.partition("@")
        if "@" in after or (after and "?" in before):
            raise HistoryError(
                f"{DATABASE_URL} has an @ or a ? in a name or password. Write them as %40 and %3F there."
            )
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):  # whose words and context hold parts of the address
        raise _no_address() from None
    backend = address.get_backend_name()
    if backend not in ("sqlite", "postgres", "postgresql"):
        raise HistoryError(f"{backend} is not supported; use SQLite or PostgreSQL.")
    if address.drivername in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    return address


def _no_address() -> HistoryError:
    return HistoryError(
        f"{DATABASE_URL} is no address of a database. "
        "Use sqlite:////folder/history.db or postgresql://user:password@host/name."
    )


def prepare(engine: Engine) -> Engine:
    """Set up an engine made elsewhere, migrate its database, and return it.

    Calling it again is harmless, also from several processes at once: one migrates, the others wait.

    Raises
    ------
    HistoryError
        For the same reasons as in `open_database`, for a database other than SQLite and PostgreSQL,
        and for an SQLite older than `OLDEST_SQLITE`.
    """
    if engine.dialect.name not in ("sqlite", "postgresql"):
        raise HistoryError(f"{engine.dialect.name} is not supported; use SQLite or PostgreSQL.")
    if engine.dialect.name == "sqlite" and sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise HistoryError(
            f"The history needs SQLite {oldest} or newer; this Python has {sqlite3.sqlite_version}. "
            f"Use another Python, or PostgreSQL ({DATABASE_URL})."
        )
    if engine.dialect.name == "sqlite" and not event.contains(engine, "connect", _set_up_sqlite):
        engine.dispose()  # connections made before lack the settings below
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        if file := file_of(engine):
            _keep_private(file)
            space.reserve(file)
    with explained(engine), engine.connect() as connection:
        if _is_current(connection):
            return engine
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        if not _is_current(connection):  # another process may have been faster
            migrate(connection)
    return engine


def file_of(engine: Engine) -> Path | None:
    """The file of an SQLite database; None for one in memory or one that is named by a URI."""
    name = engine.url.database or ":memory:"
    return None if name == ":memory:" or name.startswith("file:") else Path(name).absolute()


def _keep_private(file: Path) -> None:
    """Make the file, and our own folder for it, readable and writable for their owner only.

    SQLite gives the files that it makes beside a database the permissions of the database.
    """
    folder = file.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            file.touch(mode=0o600)
    except OSError as error:
        raise HistoryError(
            f"The folder of {file} cannot be made or written ({error.strerror}). "
            f"Choose another with {DATABASE_URL}."
        ) from error
    private = {Path(f"{file}{suffix}"): 0o600 for suffix in ("", "-wal", "-shm", "-journal")}
    if folder == _data_folder():  # any other folder may be there for other things too
        private[folder] = 0o700
    for path, mode in private.items():
        with suppress(OSError):  # it is not there, or belongs to somebody else, who decides
            if path.stat().st_mode & 0o077:
                path.chmod(mode)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Migrate the tables to a revision, in the transaction of the connection."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "img2prompt.history:migrations")
    command.upgrade(config, revision)


def _is_current(connection: Connection) -> bool:
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "img2prompt.history:migrations")
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current and current not in {script.revision for script in scripts.walk_revisions()}:
        raise HistoryError(
            f"{name_of(connection.engine)} was written by a newer version of img2prompt (its tables have "
            f"revision {current}). Update img2prompt, or name another database in {DATABASE_URL}."
        )
    return current == scripts.get_current_head()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection that sees the same state of the database until it is closed."""
    with explained(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that is committed at the end of the block, or rolled back after an error."""
    with (
        explained(engine),
        _turn(engine),
        engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Let the threads of this process write to SQLite one after the other.

    SQLite lets a writer sleep for up to a tenth of a second before it looks whether the last one is done.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    turn = _TURNS.setdefault(engine, threading.Lock())
    if not turn.acquire(timeout=BUSY_SECONDS):
        raise TimeoutError
    try:
        yield
    finally:
        turn.release()


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn errors of the database into a `HistoryError` that says what to do."""
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        if "disk is full" in reason:
            raise FullError(
                f"The history {name_of(engine)} has no space left. Free some space, or delete old posts. ({reason})"
            ) from error
        remedy = next((remedy for part, remedy in REMEDIES.items() if part in reason.lower()), None)
        if remedy is None and (error.connection_invalidated or not error.statement):
            remedy = f"cannot be reached. Check that the server runs, and {DATABASE_URL}"
        raise _trouble(engine, remedy or "reported an error", reason) from error
    except TimeoutError as error:
        raise HistoryError(f"The history {name_of(engine)} is busy. Try again in a moment.") from error
    except SQLAlchemyError as error:
        raise _trouble(engine, "reported an error", str(getattr(error, "orig", None) or error)) from error


def _trouble(engine: Engine, what: str, reason: str) -> HistoryError:
    """The error to raise. A server's own words may name users, addresses and contents: they are for the log."""
    name = name_of(engine)
    logger.warning("The history %s: %s", name, reason)
    details = f"({reason})" if engine.dialect.name == "sqlite" else "The log has the details."
    return HistoryError(f"The history {name} {what}. {details}")


def name_of(engine: Engine) -> str:
    """The name of the database for messages: its file, or ``name on host``."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return url.database or "in memory"
    host = url.query.get("host") or url.host or "this machine"
    return f"{url.database or 'PostgreSQL'} on {host if isinstance(host, str) else ', '.join(host)}"


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = (
        None  # `_begin_sqlite` begins transactions; changes to tables are part of them
    )
    connection.text_factory = _decoded
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # a deleted post must be gone from the file too
    _write_ahead(cursor)
    cursor.execute(f"PRAGMA wal_autocheckpoint = {space.LOG_PAGES}")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switch to a write-ahead log. While another process does this too, SQLite fails at once instead of waiting."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.05)


def _decoded(text: bytes) -> str:
    """A text as it is stored. One damaged character spoils neither the text nor the page that shows it."""
    return text.decode("utf-8", "replace")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails instead of waiting for another writer, so
    # writers lock the database at once.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
