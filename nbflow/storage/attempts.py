"""Statements about attempts."""

from __future__ import annotations

from sqlalchemy import Connection, select

from nbflow.model.records import AttemptRecord
from nbflow.storage.schema import attempts


def of_run(connection: Connection, run: str) -> list[AttemptRecord]:
    """The attempts of a run's tasks, by task and number."""
    statement = select(attempts).where(attempts.c.run == run).order_by(attempts.c.seq, attempts.c.number)
    return [AttemptRecord(*row) for row in connection.execute(statement)]


def of_task(connection: Connection, run: str, seq: int, number: int) -> AttemptRecord | None:
    """One try of a task."""
    statement = select(attempts).where(attempts.c.run == run, attempts.c.seq == seq, attempts.c.number == number)
    row = connection.execute(statement).first()
    return AttemptRecord(*row) if row is not None else None
