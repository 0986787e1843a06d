"""Open the history's database: create or migrate it, and explain its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError, TimeoutError

from img2prompt.errors import HistoryError
from img2prompt.libraries import install
from img2prompt.settings import DATABASE_URL, variable

BUSY_SECONDS = 10  # how long SQLite waits for another program's write
CONNECT_SECONDS = 10  # how long PostgreSQL may take to answer
MIGRATION_LOCK = 0x696D6732  # "img2", the number of PostgreSQL's advisory lock

# Part of a database's own message → what is wrong and what to do. The first that matches counts.
REMEDIES = {
    "disk is full": "has no space left. Free some space, or delete old posts",
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


def default_url() -> str:
    """The URL in ``IMG2PROMPT_DATABASE_URL``, else that of ``history.db`` in the user's data folder."""
    from platformdirs import user_data_dir

    return variable(DATABASE_URL) or f"sqlite:///{Path(user_data_dir('img2prompt'), 'history.db')}"


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
    try:
        address = make_url(url or default_url())
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        options: dict[str, Any] = {}
        if address.drivername.startswith("postgresql"):
            options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_SECONDS}}
        elif address.database:
            Path(address.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(address, **options)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise HistoryError(
            f"{DATABASE_URL} is no address of a database ({error}). "
            "Use sqlite:////folder/history.db or postgresql://user:password@host/name."
        ) from error
    except ModuleNotFoundError as error:
        raise HistoryError(
            f"PostgreSQL needs psycopg, which is not installed. {install('psycopg')}"
        ) from error
    except OSError as error:
        raise HistoryError(
            f"The folder of {address.database} cannot be made ({error.strerror}). "
            f"Choose another with {DATABASE_URL}."
        ) from error
    return prepare(engine)


def prepare(engine: Engine) -> Engine:
    """Set up an engine made elsewhere, migrate its database, and return it.

    Calling it again is harmless, also from several processes at once: one migrates, the others wait.

    Raises
    ------
    HistoryError
        For the same reasons as in `open_database`, and for a database other than SQLite and PostgreSQL.
    """
    if engine.dialect.name not in ("sqlite", "postgresql"):
        raise HistoryError(f"{engine.dialect.name} is not supported; use SQLite or PostgreSQL.")
    if engine.dialect.name == "sqlite" and not event.contains(engine, "connect", _set_up_sqlite):
        engine.dispose()  # connections made before lack the settings below
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    with explained(engine), engine.connect() as connection:
        if _is_current(connection):
            return engine
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        if not _is_current(connection):  # another process may have been faster
            migrate(connection)
    return engine


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
    with explained(engine), engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turn errors of the database into a `HistoryError` that says what to do."""
    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        remedy = next((remedy for part, remedy in REMEDIES.items() if part in reason.lower()), None)
        if remedy is None and (error.connection_invalidated or not error.statement):
            remedy = f"cannot be reached. Check that the server runs, and {DATABASE_URL}"
        raise HistoryError(
            f"The history {name_of(engine)} {remedy or 'reported an error'}. ({reason})"
        ) from error
    except TimeoutError as error:
        raise HistoryError(f"The history {name_of(engine)} is busy. Try again in a moment.") from error
    except SQLAlchemyError as error:
        raise HistoryError(f"The history {name_of(engine)} reported an error. ({error})") from error


def name_of(engine: Engine) -> str:
    """The name of the database for messages: its file, or its address without the password."""
    if engine.dialect.name == "sqlite":
        return engine.url.database or "in memory"
    return engine.url.render_as_string(hide_password=True)


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = (
        None  # `_begin_sqlite` begins transactions; changes to tables are part of them
    )
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # a deleted post must be gone from the file too
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails instead of waiting for another writer, so
    # writers lock the database at once.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
