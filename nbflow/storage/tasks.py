"""Statements about tasks and their payloads."""

from __future__ import annotations

from sqlalchemy import Connection, and_, select

from nbflow.model.records import PayloadRecord, TaskRecord
from nbflow.storage.schema import payloads, tasks


def of_run(connection: Connection, run: str) -> list[TaskRecord]:
    """The tasks of a run in the order in which they were called."""
    rows = connection.execute(select(tasks).where(tasks.c.run == run).order_by(tasks.c.seq))
    return [TaskRecord(*row) for row in rows]


def payload(connection: Connection, run: str, seq: int) -> PayloadRecord | None:
    """The payloads of a task, or None if it has not finished."""
    row = connection.execute(select(payloads).where(and_(payloads.c.run == run, payloads.c.seq == seq))).first()
    return PayloadRecord(*row) if row is not None else None
