"""Statements about attempts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, select

from nbflow.model.records import AttemptRecord
from nbflow.model.states import State
from nbflow.storage.schema import attempts, tasks

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


def next_numbers(connection: Connection, run: str) -> dict[int, int]:
    """The number that the next attempt of each ready task of a run will have, by task."""
    # In one statement: an attempt that begins between two reads would be taken for one that is to come.
    joined = tasks.outerjoin(attempts, and_(attempts.c.run == tasks.c.run, attempts.c.seq == tasks.c.seq))
    statement = (
        select(tasks.c.seq, func.coalesce(func.max(attempts.c.number), 0) + 1)
        .select_from(joined)
        .where(tasks.c.run == run, tasks.c.state == State.READY.value)
        .group_by(tasks.c.seq)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}
