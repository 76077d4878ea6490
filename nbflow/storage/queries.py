"""Statements behind frames: many rows of runs, tasks, jobs and tries, by column, filtered in SQL."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from nbflow.model.queries import Query
from nbflow.model.records import RunRecord
from nbflow.model.states import State
from nbflow.storage import packed, raw
from nbflow.storage.database import Database
from nbflow.storage.pages import Texts, UnreadableError
from nbflow.storage.query_columns import EVERYTHING, Selection

_NO_JOBS = "LEFT JOIN jobs AS j ON 1 = 0"  # a million times no job cost half a second
_FEW = 1_000  # rows up to which fetching them one by one is as fast
_INDEXED = (("ready",), ("running",))  # states of which there is an index of jobs
_log = logging.getLogger("nbflow")


class Found(NamedTuple):
    """The rows that a query found, by column."""

    columns: dict[str, Any]  # float64 with NaN, `Texts`, or arrays of str and None
    total: int  # rows that there are without the limit
    order: str  # the column that rows are to be sorted by


def read(database: Database, what: str, query: Query) -> Found:
    """The rows of a kind of frame: of `query.columns` alone, if it names some, and of what they are to be sorted by.

    They are in no particular order. With a limit they are the newest of each table that they come from.
    """
    selections = EVERYTHING[what]
    has_jobs = bool(database.retrying(_any_job, write=False))
    statements = [_Statement(selection, query, has_jobs=has_jobs) for selection in selections]
    parts = [_read(database, statement) for statement in statements]
    total = 0
    for statement, part in zip(statements, parts, strict=True):
        count = len(part[selections[0].begins_name])
        if query.limit is not None and count >= query.limit:
            count = database.retrying(statement.count, write=False)
        total += count
    return Found(packed.joined(parts, statements[0].kinds), total, selections[0].begins_name)


def flows(database: Database) -> dict[str, str]:
    """The flow of each run."""
    rows = database.retrying(lambda connection: raw.one(connection, "SELECT id, flow FROM runs"), write=False)
    return {row[0]: row[1] for row in rows}


def unfinished_runs(connection: Connection) -> list[RunRecord]:
    """The runs that have not finished."""
    states = ", ".join(f"'{state}'" for state in State if not state.finished)
    rows = raw.one(connection, f"SELECT * FROM runs WHERE state IN ({states}) ORDER BY created_at")
    return [RunRecord._make(row) for row in rows]


def waiting_since(connection: Connection, queue: str) -> float | None:
    """Since when the job of a queue waits that is served next."""
    statement = "SELECT ready_at FROM jobs WHERE state = 'ready' AND queue = ? ORDER BY priority, place LIMIT 1"
    found = raw.one(connection, statement, (queue,)).scalar()
    return float(found) if found is not None else None


def names(connection: Connection, what: str) -> list[str]:
    """The names that there are of "queue", "flow" or "step" (of tasks and of jobs)."""
    return sorted(row[0] for row in raw.one(connection, _NAMES[what]))


_NAMES = {
    "queue": "SELECT name FROM queues UNION SELECT queue FROM jobs",
    "flow": "SELECT DISTINCT flow FROM runs",
    "step": "SELECT name FROM tasks UNION SELECT name FROM jobs",
}


def _any_job(connection: Connection) -> raw.Rows:
    return raw.one(connection, "SELECT 1 FROM jobs LIMIT 1")


def _read(database: Database, statement: _Statement) -> dict[str, Any]:
    if database.file is not None and (statement.limit is None or statement.limit > _FEW):
        try:
            return packed.read(database, statement.packed())
        except (UnreadableError, sqlite3.Error) as error:
            _log.debug("Rows are fetched one by one: %s", error)
    return database.retrying(statement.fetch, write=False)


class _Statement:
    """A SELECT for one kind of frame."""

    def __init__(self, selection: Selection, query: Query, *, has_jobs: bool) -> None:
        wanted = query.columns or tuple(selection.columns)
        self._selection = selection
        # What rows are sorted by is always read. Texts lie side by side: that is how they are read fastest.
        self._columns = {
            name: column
            for name, column in sorted(selection.columns.items(), key=lambda item: item[1].kind, reverse=True)
            if name in wanted or name == selection.begins_name
        }
        self.kinds = {name: column.kind for name, column in self._columns.items()}
        self.limit = query.limit
        self._conditions: list[str] = [selection.where]
        self._joins = {join for column in self._columns.values() for join in column.join.split()}
        self._values: list[Any] = []
        self._has_jobs = has_jobs
        self._query = query
        self._filter(query)

    def packed(self) -> packed.Packed:
        """As what is read past Python's objects."""
        table, alias = self._selection.table, self._selection.alias
        key: str | None = "rowid"
        if self.limit is not None or (table == "jobs" and self._query.states in _INDEXED):
            key = None
        elif self._query.run is not None:  # which an index finds, and has in the order of its tasks
            key = "seq" if table in ("tasks", "attempts") else None
        of_run = self._query.run is not None
        bounds = f"SELECT min({key}), max({key}) FROM {table}{' WHERE run = ?' if of_run else ''}"
        return packed.Packed(
            self._select(), self.kinds, self._tables("sqlite") + self._newest(), self._values,
            f"{alias}.{key}" if key is not None else None, bounds, (self._query.run,) if of_run else (),
        )  # fmt: skip

    def fetch(self, connection: Connection) -> dict[str, Any]:
        """The rows, fetched one by one."""
        import numpy as np

        statement = f"{self._select()} {self._tables(connection.dialect.name)}{self._newest()}"
        rows = raw.one(connection, statement, self._values)
        columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [() for _ in self._columns]
        found: dict[str, Any] = {}
        for (name, kind), values in zip(self.kinds.items(), columns, strict=True):
            if kind == "number":
                found[name] = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            else:
                found[name] = Texts.of(values) if kind == "text" else np.array(values, dtype=object)
        return found

    def count(self, connection: Connection) -> int:
        """How many rows there are without the limit."""
        statement = f"SELECT count(*) {self._tables(connection.dialect.name)}"
        return int(raw.one(connection, statement, self._values).scalar())

    def _select(self) -> str:
        return f"SELECT {', '.join(column.sql for column in self._columns.values())}"

    def _tables(self, dialect: str) -> str:
        selection = self._selection
        written = selection.joins if self._has_jobs else {**selection.joins, "job": _NO_JOBS}
        joins = [join for name, join in written.items() if name in self._joins]
        conditions = " AND ".join(self._conditions)
        text = f"FROM {selection.table} AS {selection.alias} {' '.join(joins)} WHERE {conditions}"
        return text.replace("instr(", "strpos(") if dialect == "postgresql" else text

    def _newest(self) -> str:
        if self.limit is None:
            return ""
        selection = self._selection
        return f" ORDER BY {selection.begins} DESC, {selection.tie} DESC LIMIT {int(self.limit)}"

    def _filter(self, query: Query) -> None:
        """Take over what the query asks for. Values are always parameters, but for states, which are words."""
        filters = self._selection.filters
        if query.states:
            # Written out, and one as one, since a partial index is used for nothing else.
            listed = ", ".join(f"'{State(state).value}'" for state in query.states)
            self._conditions.append(f"{self._selection.alias}.state {_one_of(listed)}")
        for name in ("queue", "flow", "step", "run"):
            value = getattr(query, name)
            if value is not None:
                self._where(filters[name], value)
        if query.since is not None:
            ends = self._selection.ends
            self._where(f"({ends} IS NULL OR {ends} >= ?)", query.since)
        if query.until is not None:
            self._where(f"{self._selection.begins} < ?", query.until)
        for tag in query.tags:
            join, _, listed = filters["tags"].rpartition(": ")
            self._where(f"{join}: instr({listed}, ?) > 0", json.dumps(tag))

    def _where(self, condition: str, value: Any) -> None:
        join, _, rest = condition.rpartition(": ")
        if join:
            self._joins.update(join.split())
        self._conditions.append(rest)
        self._values += [value] * rest.count("?")


def _one_of(listed: str) -> str:
    return f"IN ({listed})" if "," in listed else f"= {listed}"
