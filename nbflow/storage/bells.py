"""Bells: how a process that changed the database tells others to look, without any of them asking over and over.

On PostgreSQL a bell is LISTEN and NOTIFY. For an SQLite file it is a named pipe in a folder beside it: whoever waits
reads from a pipe of its own, whoever rings writes a byte to each pipe of the topic. A ring may be lost (a full disk, a
connection cut off), so that whoever waits also looks now and then by itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from nbflow.model.errors import StorageError
from nbflow.storage.database import Database

T = TypeVar("T")

JOBS = "jobs"  # there is something for workers: jobs, orders
NEWS = "news"  # jobs ended, wrote or told how far they are
SCHEDULES = "schedules"  # a schedule was made or changed


class Bell(Protocol):
    """What a process waits at."""

    def fileno(self) -> int:
        """The descriptor that can be read from when the bell was rung; -1 if it cannot be heard just now."""

    def clear(self) -> None:
        """Be ready for the next ring."""

    def close(self) -> None:
        """Listen no more."""


def wait(bell: Bell, seconds: float) -> bool:
    """Wait until a bell is rung, for `seconds` at most; whether it was."""
    descriptor = bell.fileno()
    rung = bool(select.select([descriptor] if descriptor >= 0 else [], [], [], max(0.0, seconds))[0])
    if rung:
        bell.clear()
    return rung


def listen(database: Database, topic: str) -> Bell:
    """A bell of this process for a topic."""
    if database.dialect == "postgresql":
        return _Notification(database, topic)
    return _Pipe(_folder(database), topic)


@contextmanager
def ringing(database: Database, *topics: str) -> Iterator[Connection]:
    """A connection in a transaction as of `database.write()`, after which the bells of some topics are rung."""
    with database.write() as connection:
        yield connection
        if database.dialect == "postgresql":
            notify(connection, *topics)
    if database.dialect != "postgresql":
        ring(database, *topics)


def changing(database: Database, action: Callable[[Connection], T], *topics: str) -> T:
    """Run `action(connection)` as `database.retrying` does, and ring the bells of some topics; its result."""

    def act(connection: Connection) -> T:
        found = action(connection)
        if database.dialect == "postgresql":
            notify(connection, *topics)
        return found

    found = database.retrying(act)
    if database.dialect != "postgresql":
        ring(database, *topics)
    return found


def notify(connection: Connection, *topics: str) -> None:
    """Have PostgreSQL ring the bells of some topics when the transaction is committed."""
    for topic in topics:
        connection.exec_driver_sql(f"NOTIFY {_channel(topic)}")


def ring(database: Database, *topics: str) -> None:
    """Ring the bells of some topics now."""
    if database.dialect == "postgresql":
        with database.write() as connection:
            notify(connection, *topics)
        return
    folder = _folder(database)
    try:
        names = os.listdir(folder)
    except OSError:
        return  # nobody listens
    for name in names:
        if name.partition("-")[0] in topics:
            _ring_pipe(folder / name)


def _channel(topic: str) -> str:
    return f"nbflow_{topic}"


def _folder(database: Database) -> Path:
    assert database.file is not None  # of an SQLite database
    return database.file.with_name(f"{database.file.name}.bells")


def _ring_pipe(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # its process died
            with contextlib.suppress(OSError):
                path.unlink()
        return
    with contextlib.suppress(OSError):  # full: it has been rung often enough
        os.write(descriptor, b"!")
    os.close(descriptor)


class _Pipe:
    """A named pipe that this process reads from."""

    def __init__(self, folder: Path, topic: str) -> None:
        self._path = folder / f"{topic}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            folder.mkdir(exist_ok=True)
            os.mkfifo(self._path, 0o600)
            # Open for writing too: else the pipe counts as ended, and so as readable, whenever a writer has gone.
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            self._descriptor = -1  # a file system without pipes: looking now and then has to do

    def fileno(self) -> int:
        return self._descriptor

    def clear(self) -> None:
        with contextlib.suppress(OSError):
            while len(os.read(self._descriptor, 4096)) == 4096:
                pass

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(OSError):
            self._path.unlink()


class _Notification:
    """A session of PostgreSQL that listens."""

    def __init__(self, database: Database, topic: str) -> None:
        self._database = database
        self._channel = _channel(topic)
        self._session: Any = None
        self._open()

    def fileno(self) -> int:
        if self._session is None:
            self._open()
        return self._session.fileno() if self._session is not None else -1

    def clear(self) -> None:
        import psycopg

        try:
            for _ in self._session.notifies(timeout=0):
                pass
        except psycopg.Error:  # the server went; the next fileno() tries again
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open(self) -> None:
        with contextlib.suppress(StorageError):
            self._session = self._database.own_session()
            self._session.execute(f"LISTEN {self._channel}")
