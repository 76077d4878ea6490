"""Large results of an SQLite database as columns, past Python's objects; see `pages` for how.

The rows are read in parts by several threads at once, each with a connection of its own: SQLite and numpy leave the
other threads of Python alone meanwhile. All connections see one state of the database.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from queue import SimpleQueue
from typing import Any, NamedTuple

from nbflow.storage.database import Database
from nbflow.storage.pages import PAGE_SIZE, Table, Texts, UnreadableError

_PART = 100_000  # rows that one thread reads at a time
_MOST_THREADS = 4
_TRIES = 20  # at having all connections see one state, of a database that is being written to
_NAME = "packed"  # of the database in memory


class Packed(NamedTuple):
    """A SELECT whose rows are to become columns."""

    select: str  # SQL of the columns: "SELECT ... "
    kinds: Mapping[str, str]  # by name, in order: "number", "text" (that repeats, or is missing) or "object" (another)
    tables: str  # "FROM ... WHERE ..."
    values: Sequence[Any]
    key: str | None  # "t.rowid", or another number of which ranges can be read apart; None: all at once
    bounds: str  # SELECT of its least and its greatest value
    bounds_values: Sequence[Any] = ()


def read(database: Database, wanted: Packed) -> dict[str, Any]:
    """The rows by column: float64, `Texts`, or arrays of str and None.

    Raises UnreadableError, or an error of sqlite3, if they have to be fetched in another way.
    """
    import pandas as pd  # noqa: F401 - not by several threads at once

    with _sessions(database, wanted) as sessions:
        parts = _parts(sessions[0], wanted)
        if len(sessions) == 1:
            return joined([sessions[0].part(wanted, *part) for part in parts], wanted.kinds)
        free: SimpleQueue[_Session] = SimpleQueue()
        for session in sessions:
            free.put(session)

        def one(part: tuple[int, int]) -> dict[str, Any]:
            session = free.get()
            try:
                return session.part(wanted, *part)
            finally:
                free.put(session)

        with ThreadPoolExecutor(len(sessions), "nbflow-reader") as pool:
            return joined(list(pool.map(one, parts)), wanted.kinds)


class _Session:
    """A connection with a database in memory beside it."""

    def __init__(self, database: Database) -> None:
        self.connection: sqlite3.Connection = database.own_session()
        if not hasattr(self.connection, "serialize"):  # depends on how Python was built
            raise UnreadableError("This Python's sqlite3 cannot hand out a database as bytes.")
        self._columns = 0
        execute = self.connection.execute
        execute(f"ATTACH ':memory:' AS {_NAME}")
        execute(f"PRAGMA {_NAME}.page_size = {PAGE_SIZE}")
        execute(f"PRAGMA {_NAME}.auto_vacuum = NONE")
        execute(f"PRAGMA {_NAME}.journal_mode = OFF")

    def begin(self) -> None:
        """See one state of the database from now on."""
        self.connection.execute("BEGIN")
        self.connection.execute("SELECT count(*) FROM alembic_version").fetchone()

    def part(self, wanted: Packed, low: int, high: int) -> dict[str, Any]:
        """The rows of which the key is from `low` to `high`, by column."""
        tables, values = wanted.tables, [*wanted.values]
        if wanted.key is not None:
            tables, values = f"{tables} AND {wanted.key} BETWEEN ? AND ?", [*values, low, high]
        rows = self._copy(f"{wanted.select} {tables}", values, len(wanted.kinds))
        table = Table(self.connection.serialize(name=_NAME), rows, len(wanted.kinds))
        found: dict[str, Any] = {}
        for kind, names in groupby(wanted.kinds, key=lambda name: wanted.kinds[name]):
            group = list(names)
            if kind == "text":
                found.update(zip(group, table.texts(len(group)), strict=True))
            else:
                found.update((name, table.numbers() if kind == "number" else table.objects()) for name in group)
        return found

    def _copy(self, statement: str, values: Sequence[Any], columns: int) -> int:
        """Copy rows to the table in memory; how many they are."""
        if self._columns:
            self.connection.execute(f"DELETE FROM {_NAME}.t")
        else:
            self._columns = columns
            # Without types: numbers stay what they are.
            self.connection.execute(f"CREATE TABLE {_NAME}.t ({', '.join(f'c{n}' for n in range(columns))})")
        return self.connection.execute(f"INSERT INTO {_NAME}.t {statement}", values).rowcount


@contextmanager
def _sessions(database: Database, wanted: Packed) -> Iterator[list[_Session]]:
    """Connections that see one state: as many as are of use, or one if it changes so often that they never do."""
    sessions: list[_Session] = []
    try:
        sessions.append(_Session(database))
        count = min(_threads(), len(_parts(sessions[0], wanted)))
        sessions += [_Session(database) for _ in range(count - 1)]
        yield sessions if _agree(sessions) else sessions[:1]
    finally:
        for session in sessions:
            session.connection.close()


def _agree(sessions: Sequence[_Session]) -> bool:
    """Let connections see one state; False if they did not come to it, and the first one sees a state of its own."""
    for _ in range(_TRIES):
        before = _version(sessions[-1])
        for session in sessions:
            session.begin()
        if len(sessions) == 1 or _version(sessions[-1]) == before:
            return True  # nobody committed anything from before the first to after the last
        for session in sessions:
            session.connection.execute("ROLLBACK")
    sessions[0].begin()
    return False


def _version(session: _Session) -> int:
    """A number that changes with each commit of other connections, as seen from here."""
    return int(session.connection.execute("PRAGMA data_version").fetchone()[0])


def _threads() -> int:
    usable = getattr(os, "sched_getaffinity", None)  # not on every system
    return min(_MOST_THREADS, len(usable(0)) if usable is not None else os.cpu_count() or 1)


def _parts(session: _Session, wanted: Packed) -> list[tuple[int, int]]:
    """The least and the greatest key of each part."""
    if wanted.key is None:
        return [(0, 0)]
    low, high = session.connection.execute(wanted.bounds, wanted.bounds_values).fetchone()
    if low is None:
        return [(0, 0)]
    return [(start, min(start + _PART - 1, high)) for start in range(low, high + 1, _PART)]


def joined(parts: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Rows one behind the other."""
    import numpy as np

    if len(parts) == 1:
        return dict(parts[0])
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        columns = [part[name] for part in parts]
        found[name] = Texts.joined(columns) if kind == "text" else np.concatenate(columns)
    return found
