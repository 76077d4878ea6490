"""One database: opened, migrated if it is older, and handed out as connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, insert, inspect, make_url, select

from nbflow.model import own_files
from nbflow.model.errors import DatabaseMissingError, DatabaseNewerError, DatabaseReadOnlyError
from nbflow.storage import engines, schema
from nbflow.storage.errors import translated
from nbflow.storage.retrying import PATIENCE, retry

T = TypeVar("T")

_MIGRATION_LOCK = 7_226_337  # of PostgreSQL's advisory locks


class Database:
    """An open database. Connections are for one thread at a time; the database is for all."""

    def __init__(self, url: str, engine: Engine, file: Path | None = None, *, read_only: bool = False) -> None:
        self.url = url  # without a password
        self.read_only = read_only
        self.engine = engine
        self.dialect = engine.dialect.name
        self.closed = False
        self.patience = PATIENCE  # seconds for which a lost connection is tried again
        self.file = file  # None: on a server
        self._inode = file.stat().st_ino if file is not None else 0
        if file is not None:
            own_files.add_database(file)
        self._writer = engine.execution_options(nbflow_write=True)
        # PostgreSQL would else show each statement what was committed just before it.
        self._reader = engine if file is not None else engine.execution_options(isolation_level="REPEATABLE READ")

    @property
    def full_url(self) -> str:
        """The URL with the password, for other processes of this user."""
        if self.file is not None:
            return f"sqlite:///{self.file}"
        return self.engine.url.render_as_string(hide_password=False)

    @contextmanager
    def read(self, *, patience: float | None = None) -> Iterator[Connection]:
        """A connection that sees one consistent state.

        Waits for a server that is away for `patience` seconds (default: the database's), but raises
        DatabaseUnreachableError when the connection is lost later on; see `retrying`.
        """
        with self._transaction(self._reader, self.patience if patience is None else patience) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end, or rolled back on an error.

        Waits for a server that is away, but raises DatabaseUnreachableError when the connection is lost later on, and
        nobody knows then whether what was written is committed; see `retrying`.
        """
        with self._transaction(self._writer, self.patience) as connection:
            yield connection

    def retrying(
        self,
        action: Callable[[Connection], T],
        *,
        write: bool = True,
        patience: float | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> T:
        """Run `action(connection)` in one transaction, again and again until the connection holds; its result.

        When the connection is lost during the commit, nobody can tell whether it happened. So `action` has to do no
        harm after its own commit: it makes up no ids or tokens (they are made outside of it), inserts with "on conflict
        do nothing", sets values and adds nothing to them, and takes what already carries its own token for its own.
        It may change nothing but the database.

        `write=False`: one consistent state to read. `patience` (default: the database's) and `wait` as in `retry`.
        """
        engine = self._writer if write else self._reader

        def attempt() -> T:
            with self._transaction(engine, 0.0) as connection:
                return action(connection)

        return retry(attempt, patience=self.patience if patience is None else patience, wait=wait)

    @contextmanager
    def _transaction(self, engine: Engine, patience: float) -> Iterator[Connection]:
        if engine is self._writer:
            self.check_writable()
        connected = retry(lambda: self._connect(engine), patience=patience)
        with translated(self.url), connected as connection, connection.begin():
            yield connection

    def check_writable(self) -> None:
        """Raise DatabaseReadOnlyError if it was opened for reading only."""
        if self.read_only:
            raise DatabaseReadOnlyError(
                f"{self.url} was opened for reading and cannot be written to. To act, open it so: "
                "QueueClient(write=True)."
            )

    def check_current(self) -> None:
        """Raise DatabaseNewerError if a newer nbflow has changed the tables since the database was opened."""
        found = self.retrying(
            lambda connection: connection.execute(select(schema.version_table.c.version_num)).scalar(), write=False
        )
        if found is not None and found > schema.VERSION:
            raise _newer(self.url, found)

    def own_session(self) -> Any:
        """A connection of the driver in autocommit mode that nobody else uses; to be closed."""
        self._check_there()
        with translated(self.url):
            connection = self.engine.raw_connection()
            session: Any = connection.driver_connection
            connection.detach()
            if self.dialect == "postgresql":  # SQLite's are in it from the beginning
                session.autocommit = True
        return session

    def _connect(self, engine: Engine) -> Connection:
        self._check_there()
        with translated(self.url):
            return engine.connect()

    def _check_there(self) -> None:
        """Raise if the file was removed: SQLite would go on with what nobody can ever open again."""
        if self.file is None:
            return
        try:
            found = self.file.stat().st_ino
        except FileNotFoundError:
            found = None
        if found != self._inode:
            self.close()  # so that it is opened anew when it is asked for the next time
            raise DatabaseMissingError(
                f"{self.url} was removed or replaced while it was in use; what this run stored is lost. Run it again."
            )

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


def open_database(
    url: str, *, create: bool = True, read_only: bool = False, timeout: float = 30.0, patience: float = 1.0
) -> Database:
    """Open the database at a SQLAlchemy URL; a new one gets its tables, an older one is migrated.

    `timeout`: seconds to wait for another process's lock. `patience`: seconds to wait for a server that does not answer
    now; few, so that a wrong URL is told soon. Raises DatabaseMissingError if there is none and `create` is false,
    DatabaseNewerError, DatabaseCorruptError, DatabaseReadOnlyError, DatabaseLockedError or DatabaseUnreachableError.
    """
    may_create = create and not read_only
    file = engines.sqlite_file(url)
    if file is not None:
        shown = url
        engine = engines.sqlite(file, url, create=may_create, read_only=read_only, timeout=timeout)
    else:
        shown = make_url(url).render_as_string(hide_password=True)
        engine = engines.postgresql(url, read_only=read_only, timeout=timeout)
    database = Database(shown, engine, file, read_only=read_only)
    try:
        database.patience = patience
        _bring_up_to_date(database, create=may_create)
        database.patience = PATIENCE
    except BaseException:
        database.close()
        raise
    return database


def _bring_up_to_date(database: Database, *, create: bool) -> None:
    found = _version(database)
    if found == schema.VERSION:
        return
    if found is not None and found > schema.VERSION:
        raise _newer(database.url, found)
    if found is None and not create:
        raise DatabaseMissingError(
            f"{database.url} has no tables of nbflow. Run a flow first, or name another with --db."
        )
    if database.read_only:
        raise DatabaseReadOnlyError(
            f"{database.url} was written by an older nbflow (schema {found}, this one is {schema.VERSION}), and is "
            "to be read only. The next run, worker or QueueClient(write=True) brings it up to date."
        )
    database.retrying(_upgrade)


def _newer(url: str, found: str) -> DatabaseNewerError:
    return DatabaseNewerError(
        f"{url} was written by a newer nbflow (schema {found}, this one knows {schema.VERSION}). "
        "Update nbflow: pip install -U nbflow."
    )


def _upgrade(connection: Connection) -> None:
    """Bring the tables to this version, or make them. Under a lock: another process may have done it meanwhile."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    found = _version_of(connection)
    if found is None:
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.version_table).values(version_num=schema.VERSION))
    elif found < schema.VERSION:
        from nbflow.storage import migrations

        migrations.upgrade(connection)


def _version(database: Database) -> str | None:
    return database.retrying(_version_of, write=False)


def _version_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema.version_table.name):
        return None
    return connection.execute(select(schema.version_table.c.version_num)).scalar()
