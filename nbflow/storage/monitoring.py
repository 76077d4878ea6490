"""Statements that a monitor asks each second: none of them looks at more rows than it shows, or at a bounded number.

What needs a look at every row (`waiting`, `ended_jobs`, `run_states`) is asked as seldom as it is dear; see
`client.sampling`.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from nbflow.model.records import LogRecord
from nbflow.storage import raw

_OPEN = "('pending', 'ready', 'running')"


class RunRow(NamedTuple):
    """What a list of runs shows of one."""

    id: str
    flow: str
    state: str
    executor: str
    parameters: str  # JSON
    created_at: float
    started_at: float | None
    finished_at: float | None
    owner: str | None
    error_type: str | None
    error_message: str | None


class TaskRow(NamedTuple):
    """A task that runs, of a flow."""

    run: str
    seq: int
    key: str
    name: str
    started_at: float | None
    progress: float | None
    attempts: int


class JobRow(NamedTuple):
    """A job that runs."""

    id: str
    name: str
    kind: str
    queue: str
    worker: str | None
    run: str | None
    seq: int | None
    started_at: float | None
    progress: float | None
    message: str | None
    attempt: int


def latest_runs(connection: Connection, limit: int) -> list[RunRow]:
    """The newest runs, the newest first."""
    statement = f"SELECT {', '.join(RunRow._fields)} FROM runs ORDER BY created_at DESC, id DESC LIMIT ?"
    return [RunRow._make(row) for row in raw.one(connection, statement, (limit,))]


def open_runs(connection: Connection) -> list[RunRow]:
    """All runs that are not finished, the newest first. Looks at every run."""
    statement = f"SELECT {', '.join(RunRow._fields)} FROM runs WHERE state IN {_OPEN} ORDER BY created_at DESC, id DESC"
    return [RunRow._make(row) for row in raw.one(connection, statement)]


def run(connection: Connection, id: str) -> RunRow | None:
    """One run."""
    row = raw.one(connection, f"SELECT {', '.join(RunRow._fields)} FROM runs WHERE id = ?", (id,)).first()
    return RunRow._make(row) if row is not None else None


def run_states(connection: Connection, since: float) -> dict[str, int]:
    """How many runs there are in each state, of those created since then."""
    statement = "SELECT state, count(*) FROM runs WHERE created_at >= ? GROUP BY state"
    return dict(raw.one(connection, statement, (since,)))


def last_task(connection: Connection, run: str) -> int:
    """The highest number of a task of a run; 0 if it has none."""
    return raw.one(connection, "SELECT max(seq) FROM tasks WHERE run = ?", (run,)).scalar() or 0


def first_open_task(connection: Connection, run: str, start: int, stop: int) -> int | None:
    """The first task of a run that is not finished, of those numbered from `start` and before `stop`."""
    statement = f"SELECT min(seq) FROM tasks WHERE run = ? AND seq >= ? AND seq < ? AND state IN {_OPEN}"
    found: int | None = raw.one(connection, statement, (run, start, stop)).scalar()
    return found


def task_states(connection: Connection, run: str, start: int, stop: int) -> dict[str, int]:
    """How many tasks of a run are in each state, of those numbered from `start` and before `stop`."""
    statement = (
        "SELECT state, count(*) FROM tasks WHERE run = ? AND seq >= ? AND seq < ? AND kind <> 'record' GROUP BY state"
    )
    return dict(raw.one(connection, statement, (run, start, stop)))


def running_tasks(connection: Connection, run: str, start: int, stop: int, *, limit: int) -> list[TaskRow]:
    """Tasks of a run that run now, of those numbered from `start` and before `stop`."""
    statement = (
        f"SELECT {', '.join(TaskRow._fields)} FROM tasks WHERE run = ? AND seq >= ? AND seq < ? AND state = 'running' "
        "AND kind <> 'record' ORDER BY seq LIMIT ?"
    )
    return [TaskRow._make(row) for row in raw.one(connection, statement, (run, start, stop, limit))]


def running_jobs(connection: Connection, limit: int) -> list[JobRow]:
    """Jobs that run now, those that began first before all others."""
    statement = f"SELECT {', '.join(JobRow._fields)} FROM jobs WHERE state = 'running' ORDER BY started_at, id LIMIT ?"
    return [JobRow._make(row) for row in raw.one(connection, statement, (limit,))]


def running_by_queue(connection: Connection) -> dict[str, int]:
    """How many jobs run, by queue."""
    return dict(raw.one(connection, "SELECT queue, count(*) FROM jobs WHERE state = 'running' GROUP BY queue"))


def ready_by_queue(connection: Connection) -> dict[str, int]:
    """How many jobs a worker could take now, by queue. Looks at each of them, in an index."""
    return dict(raw.one(connection, "SELECT queue, count(*) FROM jobs WHERE state = 'ready' GROUP BY queue"))


def other_jobs(connection: Connection) -> list[tuple[str, str, bool, int]]:
    """(queue, state, whether it has a time that it is due at, number) of jobs neither ready nor running.

    Looks at all of them.
    """
    statement = (
        "SELECT queue, state, due_at IS NOT NULL, count(*) FROM jobs WHERE state NOT IN ('ready', 'running') "
        "GROUP BY queue, state, due_at IS NOT NULL"
    )
    return [(queue, state, bool(due), count) for queue, state, due, count in raw.one(connection, statement)]


def attempts_begun(connection: Connection) -> int | None:
    """A number that grows by one with each attempt that is stored; None if the database counts nothing of the kind."""
    if connection.dialect.name == "sqlite":
        return raw.one(connection, "SELECT max(rowid) FROM attempts").scalar() or 0
    statement = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'attempts'"
    found: int | None = raw.one(connection, statement).scalar()
    return found


def log_after(connection: Connection, run: str, seq: int, attempt: int, *, number: int, limit: int) -> list[LogRecord]:
    """What an attempt wrote after its piece `number`; of much the end."""
    statement = (
        "SELECT * FROM logs WHERE run = ? AND seq = ? AND attempt = ? AND number > ? ORDER BY number DESC LIMIT ?"
    )
    found = raw.one(connection, statement, (run, seq, attempt, number, limit))
    return [LogRecord._make(row) for row in reversed(found)]
