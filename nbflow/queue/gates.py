"""Gates: how many jobs of a kind are let through, at a time or in a span of time.

A job that has to pass gates is made ready only when each of them has a place for it. Until then it waits outside of the
index that workers look through, so that a million of them hold up nobody else. A place is given back when the job ends;
that of a rate, one period after it began. Since places are taken before a job begins and not when it does, the starts
within any period are never more than the gate's capacity.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from nbflow.model.jobs import GateStartRecord, GateWaitRecord, JobRecord
from nbflow.storage import gates, jobs

_PAGE = 100


class Waiting(NamedTuple):
    """A job in front of gates."""

    job: str
    priority: int
    place: int
    gates: tuple[str, ...]

    @classmethod
    def of(cls, record: JobRecord) -> Waiting:
        """A job as its row has it."""
        return cls(record.id, record.priority, record.place, names(record.gates))


def names(stored: str | None) -> tuple[str, ...]:
    """The gates in the column of a job."""
    return tuple(json.loads(stored)) if stored else ()


def admit(connection: Connection, waiting: Waiting, now: float) -> bool:
    """Let a job through all its gates at once, else let it wait in front of them; whether it passed."""
    found = gates.get(connection, waiting.gates)
    if any(gate.held >= gate.capacity for gate in found.values()):
        rows = [GateWaitRecord(name, waiting.priority, waiting.place, waiting.job) for name in waiting.gates]
        gates.wait(connection, rows)
        return False
    for name in found:
        gates.hold(connection, name, 1)
    gates.leave(connection, waiting.job)
    jobs.make_ready(connection, [waiting.job], now)
    return True


def began(connection: Connection, job: str, passed: Sequence[str], now: float) -> None:
    """Count the start of a job that was just claimed."""
    for name, gate in gates.get(connection, passed).items():
        if gate.period is not None:
            gates.count_start(connection, GateStartRecord(name, job, now))
            if gate.wake_at is None:
                gates.wake_at(connection, name, now + gate.period)


def ended(connection: Connection, passed: Sequence[str], now: float, *, began: bool) -> None:
    """Give back the places of a job, and let others through."""
    freed = []
    for name, gate in gates.get(connection, passed).items():
        if gate.period is None or not began:  # a start is counted for as long as its period lasts
            gates.hold(connection, name, -1)
            freed.append(name)
    let_through(connection, freed, now)


def tick(connection: Connection, now: float) -> None:
    """Give back the places of starts whose period is over."""
    due = gates.due(connection, now)
    for name, gate in gates.get(connection, due).items():
        assert gate.period is not None  # only rates have a time to wake at
        gone = gates.forget_starts(connection, name, now - gate.period)
        gates.hold(connection, name, -gone)
        first = gates.first_start(connection, name)
        gates.wake_at(connection, name, first + gate.period if first is not None else None)
    let_through(connection, due, now)


def let_through(connection: Connection, opened: Iterable[str], now: float) -> None:
    """Let jobs through gates that have places, in their order."""
    for name in opened:
        after: GateWaitRecord | None = None
        while _room(connection, name) > 0:
            page = gates.next_waits(connection, name, min(_PAGE, _room(connection, name)), after)
            if not page:
                break
            records = jobs.get(connection, [wait.job for wait in page])
            for wait in page:
                record = records.get(wait.job)
                if record is None or record.state != "pending":
                    gates.leave(connection, wait.job)
                else:
                    admit(connection, Waiting.of(record), now)
            after = page[-1]


def _room(connection: Connection, name: str) -> int:
    gate = gates.get(connection, [name]).get(name)
    return gate.capacity - gate.held if gate is not None else 0
