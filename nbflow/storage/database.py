"""One database: opened, migrated if it is older, and handed out as connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select

from nbflow.model.errors import DatabaseCorruptError, DatabaseMissingError, DatabaseNewerError
from nbflow.storage import schema
from nbflow.storage.errors import translated

_MAGIC = b"SQLite format 3\x00"
_MIGRATION_LOCK = 7_226_337  # of PostgreSQL's advisory locks


class Database:
    """An open database. Connections are for one thread at a time; the database is for all."""

    def __init__(self, url: str, engine: Engine) -> None:
        self.url = url  # without a password
        self.engine = engine
        self.dialect = engine.dialect.name
        self.closed = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state."""
        with translated(self.url), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end, or rolled back on an error."""
        with translated(self.url), self.engine.connect() as plain:
            connection = plain.execution_options(nbflow_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.closed = True
        self.engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<database {self.url}>"


def open_database(url: str, *, create: bool = True, read_only: bool = False, timeout: float = 30.0) -> Database:
    """Open the database at a SQLAlchemy URL; a new one gets its tables, an older one is migrated.

    `timeout`: seconds to wait for another process's lock. Raises DatabaseMissingError if there is none and `create`
    is false, DatabaseNewerError, DatabaseCorruptError, DatabaseReadOnlyError, DatabaseLockedError or
    DatabaseUnreachableError.
    """
    parsed = make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(url, parsed.database, create=create and not read_only, read_only=read_only, timeout=timeout)
    else:
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": max(1, int(timeout))})
    database = Database(shown, engine)
    try:
        _bring_up_to_date(database, create=create and not read_only)
    except BaseException:
        database.close()
        raise
    return database


def _sqlite(url: str, path: str | None, *, create: bool, read_only: bool, timeout: float) -> Engine:
    file = Path(path or ":memory:").absolute()
    if path in (None, "", ":memory:"):
        raise DatabaseMissingError("A database in memory cannot be shared by the threads of a run. Name a file.")
    if file.exists():
        _check_magic(file, url)
    elif not create:
        raise DatabaseMissingError(f"There is no database at {url}. Run a flow first, or name another with --db.")
    else:
        _make_folder(file.parent)
    query = "?mode=ro&uri=true" if read_only else ""
    target = f"sqlite:///file:{file}{query}" if read_only else f"sqlite:///{file}"
    engine = create_engine(target, connect_args={"timeout": timeout, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        if not read_only:
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("nbflow_write", False)
        # IMMEDIATE takes the write lock at once: a transaction that reads first could not take it later.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

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


def _bring_up_to_date(database: Database, *, create: bool) -> None:
    found = _version(database)
    if found == schema.VERSION:
        return
    if found is not None and found > schema.VERSION:
        raise DatabaseNewerError(
            f"{database.url} was written by a newer nbflow (schema {found}, this one knows {schema.VERSION}). "
            "Update nbflow: pip install -U nbflow.",
        )
    if found is None and not create:
        raise DatabaseMissingError(
            f"{database.url} has no tables of nbflow. Run a flow first, or name another with --db."
        )
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        _upgrade(connection, _version_of(connection))


def _upgrade(connection: Connection, found: str | None) -> None:
    """Bring the tables from version `found` to this one. Under a lock: another process may have done it meanwhile."""
    if found is None:
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.version_table).values(version_num=schema.VERSION))
    elif found < schema.VERSION:
        from nbflow.storage import migrations

        migrations.upgrade(connection)


def _version(database: Database) -> str | None:
    with database.read() as connection:
        return _version_of(connection)


def _version_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema.version_table.name):
        return None
    return connection.execute(select(schema.version_table.c.version_num)).scalar()
