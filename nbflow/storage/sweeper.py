"""Removing what is not needed any more: old runs with all that belongs to them, expired cache entries, artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, delete, select

from nbflow.storage import schema
from nbflow.storage.database import Database

_OF_RUN = (schema.tasks, schema.payloads, schema.attempts, schema.logs, schema.events)
_AT_ONCE = 500  # values in one statement


def delete_runs(connection: Connection, runs: Sequence[str]) -> None:
    """Remove runs with their tasks, attempts, output and events. Cached results stay."""
    for start in range(0, len(runs), _AT_ONCE):
        part = runs[start : start + _AT_ONCE]
        for table in _OF_RUN:
            connection.execute(delete(table).where(table.c.run.in_(part)))
        connection.execute(delete(schema.runs).where(schema.runs.c.id.in_(part)))


def delete_tries(connection: Connection, jobs: Sequence[str]) -> None:
    """Remove the tries of jobs and their output."""
    for start in range(0, len(jobs), _AT_ONCE):
        for table in (schema.attempts, schema.logs):
            connection.execute(delete(table).where(table.c.run.in_(jobs[start : start + _AT_ONCE])))


def delete_of_jobs(connection: Connection, jobs: Sequence[str]) -> None:
    """Remove the tries, the output and the needs of jobs."""
    delete_tries(connection, jobs)
    for start in range(0, len(jobs), _AT_ONCE):
        part = jobs[start : start + _AT_ONCE]
        connection.execute(delete(schema.job_needs).where(schema.job_needs.c.job.in_(part)))


def older_than(connection: Connection, time: float) -> list[str]:
    """Ids of the finished runs that ended before `time` (seconds since 1970)."""
    statement = select(schema.runs.c.id).where(schema.runs.c.finished_at < time)
    return list(connection.execute(statement).scalars())


def referenced(connection: Connection, *, without_runs: Sequence[str] = ()) -> set[str]:
    """Names of the artifacts that hold results of tasks, runs or cache entries, not counting some runs."""
    cached = schema.cache.c.result_uri
    found: set[str] = set(connection.execute(select(cached).where(cached.is_not(None))).scalars())
    for run, column in ((schema.tasks.c.run, schema.tasks.c.result_uri), (schema.runs.c.id, schema.runs.c.result_uri)):
        found.update(_kept(connection, run, column, without_runs))
    of_jobs = schema.jobs.c.result_uri
    found.update(connection.execute(select(of_jobs).where(of_jobs.is_not(None))).scalars())
    return found


def packed(connection: Connection, *, without_runs: Sequence[str] = ()) -> Iterable[bytes]:
    """Signed stored values that may name further artifacts: arguments, errors and code, not counting some runs."""
    for table, run in ((schema.payloads, schema.payloads.c.run), (schema.runs, schema.runs.c.id)):
        for name in ("inputs", "error"):
            yield from _kept(connection, run, table.c[name], without_runs)
    versions = schema.deployment_versions
    for column in (schema.flow_versions.c.code, versions.c.snapshot, schema.jobs.c.error, schema.signals.c.payload):
        yield from _column(connection, column)


def calls(connection: Connection) -> Iterator[bytes]:
    """Signed calls of jobs and schedules, which may name further artifacts."""
    for column in (schema.jobs.c.payload, schema.schedules.c.payload):
        yield from _column(connection, column)


def _column(connection: Connection, column: Column[Any]) -> Iterator[Any]:
    statement = select(column).where(column.is_not(None)).execution_options(yield_per=_AT_ONCE)
    return iter(connection.execute(statement).scalars())


def _kept(connection: Connection, run: Column[str], column: Column[Any], without_runs: Sequence[str]) -> Iterator[Any]:
    """What a column holds, piece by piece. The runs are left out here: no statement takes any number of them."""
    removed = frozenset(without_runs)
    statement = select(run, column).where(column.is_not(None)).execution_options(yield_per=_AT_ONCE)
    return (value for owner, value in connection.execute(statement) if owner not in removed)


def vacuum(database: Database) -> None:
    """Give the space of removed rows back to the file system."""
    if database.dialect == "sqlite":
        with database.read() as connection:
            connection.exec_driver_sql(
                "COMMIT"
            )  # of the transaction that was begun for us: VACUUM refuses to run in one
            connection.exec_driver_sql("VACUUM")
