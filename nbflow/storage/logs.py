"""Statements about captured output."""

from __future__ import annotations

from sqlalchemy import Connection, select

from nbflow.model.records import LogRecord
from nbflow.storage import raw
from nbflow.storage.schema import logs


def read(
    connection: Connection,
    run: str,
    *,
    seq: int | None = None,
    after: float | None = None,
    limit: int | None = None,
) -> list[LogRecord]:
    """What the tasks of a run (or the one numbered `seq`) wrote, in order of time; `after`: only later pieces."""
    statement = select(logs).where(logs.c.run == run)
    if seq is not None:
        statement = statement.where(logs.c.seq == seq)
    if after is not None:
        statement = statement.where(logs.c.time > after)
    ordered = statement.order_by(logs.c.time, logs.c.seq, logs.c.attempt, logs.c.number).limit(limit)
    return [LogRecord(*row) for row in connection.execute(ordered)]


def of_attempt(connection: Connection, run: str, seq: int, attempt: int, after: int) -> list[LogRecord]:
    """What one try wrote, from piece number `after` + 1 on."""
    statement = "SELECT * FROM logs WHERE run = ? AND seq = ? AND attempt = ? AND number > ? ORDER BY number"
    return [LogRecord(*row) for row in raw.one(connection, statement, (run, seq, attempt, after))]
