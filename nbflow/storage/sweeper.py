"""Removing what is not needed any more: old runs with all that belongs to them, expired cache entries, artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select

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


def older_than(connection: Connection, time: float) -> list[str]:
    """Ids of the finished runs that ended before `time` (seconds since 1970)."""
    statement = select(schema.runs.c.id).where(schema.runs.c.finished_at < time)
    return list(connection.execute(statement).scalars())


def referenced(connection: Connection, *, without_runs: Sequence[str] = ()) -> set[str]:
    """Names of the artifacts that hold results of tasks, runs or cache entries, not counting some runs."""
    found: set[str] = set()
    for table, run in ((schema.tasks, schema.tasks.c.run), (schema.runs, schema.runs.c.id), (schema.cache, None)):
        column = table.c.result_uri
        statement = select(column).where(column.is_not(None)).distinct()
        if run is not None:
            statement = statement.where(run.not_in(without_runs))
        found.update(connection.execute(statement).scalars())
    return found


def packed(connection: Connection, *, without_runs: Sequence[str] = ()) -> Iterable[bytes]:
    """Signed stored values that may name further artifacts: arguments, errors and code, not counting some runs."""
    for table, run in ((schema.payloads, schema.payloads.c.run), (schema.runs, schema.runs.c.id)):
        for name in ("inputs", "error"):
            column = table.c[name]
            statement = select(column).where(column.is_not(None)).where(run.not_in(without_runs))
            yield from connection.execute(statement).scalars()
    code = schema.flow_versions.c.code
    yield from connection.execute(select(code).where(code.is_not(None))).scalars()


def vacuum(database: Database) -> None:
    """Give the space of removed rows back to the file system."""
    if database.dialect == "sqlite":
        with database.engine.connect() as connection:
            connection.connection.driver_connection.execute("VACUUM")  # type: ignore[union-attr]
