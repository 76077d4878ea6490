"""Statements about attempts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from nbflow.model.records import AttemptRecord
from nbflow.storage.schema import attempts

_AT_ONCE = 500  # values in one statement


def of_run(connection: Connection, run: str) -> list[AttemptRecord]:
    """The attempts of a run's tasks, by task and number."""
    statement = select(attempts).where(attempts.c.run == run).order_by(attempts.c.seq, attempts.c.number)
    return [AttemptRecord(*row) for row in connection.execute(statement)]


def of_tasks(connection: Connection, run: str, seqs: Sequence[int]) -> list[AttemptRecord]:
    """The tries of some tasks of a run."""
    found: list[AttemptRecord] = []
    for start in range(0, len(seqs), _AT_ONCE):
        part = seqs[start : start + _AT_ONCE]
        statement = select(attempts).where(attempts.c.run == run, attempts.c.seq.in_(part))
        found += [AttemptRecord(*row) for row in connection.execute(statement)]
    return found
