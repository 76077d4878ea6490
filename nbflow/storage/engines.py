"""How connections to each kind of database are made, and what they are told first."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from nbflow.model.errors import ConfigError, DatabaseCorruptError, DatabaseMissingError
from nbflow.storage.errors import translated_os

_MAGIC = b"SQLite format 3\x00"
# A server that vanished without a word is noticed after 25 seconds instead of two hours. Options of libpq.
_KEEPALIVE = {
    "keepalives_idle": 10,  # seconds of silence until it is asked whether it is there
    "keepalives_interval": 5,  # seconds until it is asked again
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds until what was sent has to be acknowledged
}
_FIRST_WAIT, _LONGEST_WAIT = 0.0003, 0.005  # seconds between two tries to get the write lock
_random = random.Random()  # noqa: S311 - the global generator is the user's
_PAUSE = 0.01  # seconds between two tries to change the mode of an SQLite file


def sqlite_file(url: str) -> Path | None:
    """The file that an SQLite URL names; None if the URL is of another kind.

    All behind `sqlite:///` is the path, as it is: SQLAlchemy would take "?" in a folder's name for options.
    """
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    path = rest.removeprefix("/")
    if path in ("", ":memory:"):
        raise DatabaseMissingError("A database in memory cannot be shared by the threads of a run. Name a file.")
    return Path(path).absolute()


def sqlite(file: Path, url: str, *, create: bool, read_only: bool, timeout: float) -> Engine:
    """Connections to an SQLite file, which is there afterwards. Never changes a file that is something else."""
    with translated_os(url):
        if file.exists():
            _check_magic(file, url)
        elif not create:
            raise DatabaseMissingError(f"There is no database at {url}. Run a flow first, or name another with --db.")
        else:
            _make_folder(file.parent)
            file.touch()
    target = f"file:{quote(str(file))}?mode=ro" if read_only else str(file)

    def connect() -> sqlite3.Connection:  # past SQLAlchemy, whose versions differ in what they unquote
        return sqlite3.connect(target, timeout=timeout, check_same_thread=False, uri=read_only)

    engine = create_engine(URL.create("sqlite", database=str(file)), creator=connect)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        if not read_only:
            _use_wal(cursor, timeout)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA cache_size=-32000")  # kibibytes; the default of 2 MB is left at 10,000 jobs
        cursor.execute("PRAGMA wal_autocheckpoint=4000")  # pages; the default of 1,000 copies hot pages over and over
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("nbflow_write", False):
            _begin_to_write(connection, timeout)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_to_write(connection: Connection, timeout: float) -> None:
    """Begin a transaction with the write lock: one that reads first could not take it later.

    SQLite itself would wait for the lock in steps that soon are 25 and then 100 milliseconds long; the transactions of
    others take one. With four processes that write all the time that was a third of their time.
    """
    driver: Any = connection.connection.driver_connection
    try:
        if not _has_begun(driver, time.monotonic() + timeout):
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises what is wrong as SQLAlchemy does
    finally:
        with suppress(sqlite3.Error):
            driver.execute(f"PRAGMA busy_timeout={int(timeout * 1000)}")


def _has_begun(driver: Any, until: float) -> bool:
    """Begin as soon as nobody else writes; False if that is not so until a time of the monotonic clock, or fails."""
    pause = _FIRST_WAIT
    try:
        driver.execute("PRAGMA busy_timeout=0")
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return True
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    return False
            time.sleep(pause * _random.uniform(0.5, 1.0))  # so that two do not wait in step
            pause = min(1.5 * pause, _LONGEST_WAIT)
    except sqlite3.Error:
        return False


def postgresql(url: str, *, read_only: bool, timeout: float) -> Engine:
    """Connections to a PostgreSQL server, which need not answer yet."""
    try:
        import psycopg
    except ModuleNotFoundError as error:
        raise ConfigError("PostgreSQL needs the package psycopg: pip install 'nbflow[postgres]'.") from error
    given = make_url(url).query
    arguments = {name: value for name, value in _KEEPALIVE.items() if name not in given}
    arguments["connect_timeout"] = max(1, int(timeout))
    engine = create_engine(url, pool_pre_ping=True, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {max(1, int(timeout * 1000))}")
        if read_only:
            connection.execute("SET default_transaction_read_only = on")
        connection.commit()

    @event.listens_for(engine, "do_execute")
    def on_execute(cursor: Any, statement: str, values: Any, context: Any) -> bool:
        if not context.execution_options.get("nbflow_numbered", False):
            return False
        # The values are marked as the server does ($1). Of a row's 45 us, 40 went into psycopg's search for "%s".
        psycopg.RawCursor(cursor.connection).execute(statement.encode(), values)
        return True

    return engine


def _check_magic(file: Path, url: str) -> None:
    with file.open("rb") as stream:
        start = stream.read(len(_MAGIC))
    if start and start != _MAGIC:
        raise DatabaseCorruptError(
            f"{url} is not an SQLite database; it is left as it is. Name another file with --db."
        )


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if folder.name == ".nbflow" and not ignore.exists():
        ignore.write_text("*\n")


def _use_wal(cursor: Any, timeout: float) -> None:
    """Change the mode of a new file. SQLite itself waits for no lock here, when several processes do so at once."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
