"""Gates: how many jobs of a kind are let through, at a time or in a span of time.

A job that has to pass gates is made ready only when each of them has a place for it. Until then it waits outside of
the index that workers look through, in the line of all jobs of its queue that have to pass the same gates. A line
stands at one gate, which is full; when that gets a place free, the line whose turn it is goes on, or goes to stand at
another gate that is full. So a million jobs of one key hold up nobody else, and nobody has to look through them.

A place is given back when the job ends; that of a rate, one period after its function was begun. Since places are taken
before that, and kept until it is known when it was, the starts within any period are never more than the gate allows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from nbflow.model.jobs import ClaimedJob, GateLineRecord, GateRecord, GateStartRecord, GateWaitRecord, JobRecord
from nbflow.storage import gates, jobs, queues
from nbflow.storage.connection import Connection

RATE = "rate:"  # before the names of gates that count starts
_PAUSED = ""  # where the lines of a paused queue stand


class Arrival(NamedTuple):
    """A job that could begin but for its gates."""

    job: str
    queue: str
    gates: str  # as the job's column has them
    priority: int
    place: int

    @classmethod
    def of(cls, job: JobRecord | ClaimedJob) -> Arrival:
        """A job as its row has it."""
        assert job.gates is not None  # it has to pass some
        return cls(job.id, job.queue, job.gates, job.priority, job.place)

    @property
    def line(self) -> str:
        """The name of the line that it belongs to."""
        return hashlib.blake2b(f"{self.queue}\n{self.gates}".encode(), digest_size=16).hexdigest()


class Left(NamedTuple):
    """What a job leaves behind that had passed its gates."""

    gates: str | None  # as the job's column has them
    began: float | None = None  # when its function was begun; None: it was not
    key: str = ""  # names this start: id and token
    counted: bool = False  # whether rates were told of it already, and may have forgotten it since


def names(stored: str | None) -> tuple[str, ...]:
    """The gates in the column of a job."""
    return tuple(json.loads(stored)) if stored else ()


def column(given: Iterable[str]) -> str | None:
    """Gates as the column of a job has them."""
    found = sorted(set(given))
    return json.dumps(found) if found else None


def arrive(connection: Connection, arrivals: Sequence[Arrival], now: float) -> None:
    """Let pending jobs through their gates as far as there are places; the others wait in their lines."""
    gates.lock(connection)
    for name, group in groupby(sorted(arrivals, key=lambda each: (each.line, *each[3:])), key=lambda each: each.line):
        coming = list(group)
        first = coming[0]
        standing = gates.line(connection, name)
        if standing is None:
            room, full = _room(connection, first.gates, first.queue)
            _pass(connection, coming[:room], now)
            coming = coming[room:]
            if not coming:
                continue
            first = coming[0]
            full = full or _room(connection, first.gates, first.queue)[1]
            line = GateLineRecord(name, first.queue, first.gates, full, first.priority, first.place)
            gates.stand(connection, line)
        elif (first.priority, first.place) < (standing.priority, standing.place):
            gates.stand(connection, standing._replace(priority=first.priority, place=first.place))
        gates.wait(connection, [GateWaitRecord(name, each.priority, each.place, each.job) for each in coming])


def leave(connection: Connection, job: str) -> bool:
    """Let a job wait no more; whether it did. Take `gates.lock` before the lock of its row."""
    gates.lock(connection)
    waits = gates.wait_of(connection, job)
    if waits is None:
        return False
    gates.leave(connection, [job])
    line = gates.line(connection, waits.line)
    if line is not None:
        _close_up(connection, line)
    return True


def began(connection: Connection, left: Left) -> None:
    """Count the start of a job."""
    rates = [name for name in names(left.gates) if name.startswith(RATE)]
    if not rates or left.began is None:
        return
    gates.lock(connection)
    for name, gate in gates.get(connection, rates).items():
        gates.count_start(connection, GateStartRecord(name, left.key, left.began))
        over = left.began + (gate.period or 0.0)
        if gate.wake_at is None or gate.wake_at > over:
            gates.wake_at(connection, name, over)


def give_back(connection: Connection, left: Iterable[Left]) -> set[str]:
    """Give back the places of jobs; returns the gates that have places now."""
    given: Counter[str] = Counter()
    for each in left:
        if not each.counted:
            began(connection, each)
        # A start is counted for as long as its period lasts.
        given.update(name for name in names(each.gates) if each.began is None or not name.startswith(RATE))
    if given:
        gates.lock(connection)
        gates.hold(connection, {name: -count for name, count in given.items()})
    return set(given)


def again(connection: Connection, job: Arrival, left: Left, now: float) -> None:
    """Let a job that a worker had, and that is pending now, give its places back and line up once more."""
    arrive(connection, [job], now)  # before its own places are free, so that it overtakes nobody
    let_through(connection, give_back(connection, [left]), now)


def tick(connection: Connection, now: float) -> None:
    """Give back the places of starts whose period is over."""
    due = gates.due(connection, now)
    if not due:
        return
    gates.lock(connection)
    for name, gate in gates.get(connection, due).items():
        period = gate.period or 0.0  # only rates have a time to wake at
        gates.hold(connection, {name: -gates.forget_starts(connection, name, now - period)})
        first = gates.first_start(connection, name)
        gates.wake_at(connection, name, first + period if first is not None else None)
    let_through(connection, due, now)


def let_through(connection: Connection, opened: Iterable[str], now: float) -> None:
    """Let jobs through gates that have places, in their order."""
    for name in sorted(opened):
        while (gate := gates.get(connection, [name]).get(name)) is not None and gate.held < gate.capacity:
            line = gates.next_line(connection, name)
            if line is None:
                break
            _go_on(connection, line, now)


def pause(connection: Connection, queue: str, now: float) -> None:
    """Have all jobs of a queue that was paused wait in their lines, so that they keep no place from others."""
    gates.lock(connection)
    for line in gates.lines_of(connection, queue):
        gates.stand(connection, line._replace(gate=_PAUSED))
    back = jobs.recall(connection, queue)
    freed = give_back(connection, [Left(record.gates) for record in back])
    arrive(connection, [Arrival.of(record) for record in back], now)
    let_through(connection, freed, now)


def resume(connection: Connection, queue: str, now: float) -> None:
    """Let the jobs of a queue go on that was paused."""
    gates.lock(connection)
    for paused in gates.lines_of(connection, queue):
        line: GateLineRecord | None = paused
        while line is not None and line.gate == _PAUSED:
            _go_on(connection, line, now)
            line = gates.line(connection, line.line)


def _go_on(connection: Connection, line: GateLineRecord, now: float) -> None:
    """Let the first job of a line pass, or have the line stand at the gate that keeps it from that."""
    room, full = _room(connection, line.gates, line.queue)
    if room <= 0:
        gates.stand(connection, line._replace(gate=full))
        return
    first = gates.first(connection, line.line)
    if first is not None:
        gates.leave(connection, [first.job])
        _pass(connection, [Arrival(first.job, line.queue, line.gates, first.priority, first.place)], now)
    _close_up(connection, line)


def _close_up(connection: Connection, line: GateLineRecord) -> None:
    """Put down who is the first of a line now."""
    first = gates.first(connection, line.line)
    if first is None:
        gates.break_up(connection, line.line)
    elif (first.priority, first.place) != (line.priority, line.place):
        gates.stand(connection, line._replace(priority=first.priority, place=first.place))


def _pass(connection: Connection, passing: Sequence[Arrival], now: float) -> None:
    """Take places for jobs of one line, and let workers have them."""
    if passing:
        gates.hold(connection, dict.fromkeys(names(passing[0].gates), len(passing)))
        jobs.make_ready(connection, [each.job for each in passing], now)


def _room(connection: Connection, stored: str, queue: str) -> tuple[int, str]:
    """How many jobs of a queue can pass these gates, and where the next one has to wait."""
    paused = queues.is_paused(connection, queue)
    if paused:
        return 0, _PAUSED
    found: list[GateRecord] = list(gates.get(connection, names(stored)).values())
    narrow = min(found, key=lambda gate: gate.capacity - gate.held, default=None)
    if narrow is None:  # its limits were forgotten
        return 1_000_000, _PAUSED
    return max(0, narrow.capacity - narrow.held), narrow.name
