"""Statements that look over many jobs, for people."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, select

from nbflow.model.errors import JobNotFoundError
from nbflow.model.jobs import JobRecord
from nbflow.storage.schema import jobs

_FEW = 3
_ID = re.compile(r"[\w.-]+", re.ASCII)  # what ids are made of: those of runs and tasks have dots and dashes


def find(connection: Connection, text: str) -> JobRecord:
    """The job of this id, of a unique beginning of one, or "last". Raises JobNotFoundError."""
    newest = select(jobs).order_by(jobs.c.id.desc()).limit(1)
    if text == "last":
        row = connection.execute(newest).first()
        if row is None:
            raise JobNotFoundError("There are no jobs yet.")
        return JobRecord._make(row)
    rows = starting_with(connection, text)
    if len(rows) == 1 or (rows and rows[0].id == text):
        return rows[0]
    if rows:
        ids = ", ".join(row.id for row in rows)
        raise JobNotFoundError(f"{text!r} is the beginning of several jobs: {ids} ... Give more of the id.")
    raise JobNotFoundError(
        f"There is no job {text!r}. Finished jobs are kept for a while only; nbflow jobs lists those that there are."
    )


def starting_with(connection: Connection, text: str) -> list[JobRecord]:
    """A few jobs whose id starts with `text`, the one of just this id first."""
    if not _ID.fullmatch(text):
        return []
    exact = connection.execute(select(jobs).where(jobs.c.id == text)).first()
    if connection.dialect.name == "sqlite":
        begins = and_(jobs.c.id > text, jobs.c.id < text + "~")  # by the index
    else:  # in whose order of texts that need not be so
        begins = and_(jobs.c.id != text, func.starts_with(jobs.c.id, text))
    others = connection.execute(select(jobs).where(begins).order_by(jobs.c.id).limit(_FEW))
    return [JobRecord._make(row) for row in (*([exact] if exact is not None else ()), *others)]


def listed(
    connection: Connection, *, queue: str | None = None, states: Sequence[str] = (), limit: int | None = None
) -> list[JobRecord]:
    """Jobs of a queue and in some states (default: of all, in any), newest first."""
    statement = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    if queue is not None:
        statement = statement.where(jobs.c.queue == queue)
    if states:
        statement = statement.where(jobs.c.state.in_(states))
    return [JobRecord._make(row) for row in connection.execute(statement)]


def ids(connection: Connection, *, queue: str | None, states: Sequence[str], kind: str) -> list[str]:
    """Ids of the jobs of a kind and a queue (default: of all) that are in some states, the oldest first."""
    statement = select(jobs.c.id).where(jobs.c.state.in_(states), jobs.c.kind == kind).order_by(jobs.c.id)
    if queue is not None:
        statement = statement.where(jobs.c.queue == queue)
    return list(connection.execute(statement).scalars())


def counts(connection: Connection) -> list[tuple[str, str, bool, int]]:
    """(queue, state, whether it has a time that it is due at, number of jobs)."""
    has_time = jobs.c.due_at.is_not(None)
    statement = select(jobs.c.queue, jobs.c.state, has_time, func.count()).group_by(
        jobs.c.queue, jobs.c.state, has_time
    )
    return [(row[0], row[1], bool(row[2]), row[3]) for row in connection.execute(statement)]


def unfinished(connection: Connection, queue: str) -> int:
    """How many jobs of a queue have not finished."""
    open_ = jobs.c.state.in_(("ready", "pending", "running"))
    return connection.execute(select(func.count()).where(jobs.c.queue == queue, open_)).scalar_one()
