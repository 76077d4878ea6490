"""Statements about captured output."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from nbflow.model.records import LogRecord
from nbflow.storage import raw
from nbflow.storage.schema import logs

_AT_ONCE = 500  # values in one statement


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


def of_tasks(connection: Connection, run: str, seqs: Sequence[int]) -> list[LogRecord]:
    """What some tasks of a run wrote, by task, try and number."""
    found: list[LogRecord] = []
    for start in range(0, len(seqs), _AT_ONCE):
        part = seqs[start : start + _AT_ONCE]
        statement = (
            f"SELECT * FROM logs WHERE run = ? AND seq IN ({raw.marks(len(part))}) ORDER BY seq, attempt, number"
        )
        found += [LogRecord._make(row) for row in raw.one(connection, statement, (run, *part))]
    return found
