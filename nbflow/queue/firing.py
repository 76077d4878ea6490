"""Firing schedules: which of their times are to be enqueued, and the one transaction that does it.

A firing and its job are stored together, under the lock of the schedule and with one row at most for each logical time.
So a time fires exactly once, whoever dies when, and however many schedulers there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from nbflow.model.errors import ScheduleError
from nbflow.model.jobs import FiringRecord, ScheduleRecord
from nbflow.queue.broker import Broker, NewJob
from nbflow.queue.cron import Timetable
from nbflow.queue.templates import Shot, shots
from nbflow.storage import schedules
from nbflow.storage.connection import Connection

GRACE = 60.0  # seconds by which a time may be late where late ones are not caught up with
AT_ONCE = 100  # times of one schedule in one transaction
_MOST_NEEDS = 10  # earlier jobs that one waits for
_TICK = 1e-6  # seconds


class Plan(NamedTuple):
    """What is to become of the times of a schedule that are due."""

    schedule: ScheduleRecord
    run: tuple[float, ...]
    missed: tuple[float, float] | None  # the first and the last of those that are not run
    next_at: float | None  # the next time to be dealt with
    last_at: float  # the last one that is dealt with now


class Volley(NamedTuple):
    """A plan with all that it needs, ready to be carried out."""

    plan: Plan
    shots: list[Shot]


def timetable(schedule: ScheduleRecord) -> Timetable:
    """When a schedule is due."""
    return Timetable(schedule.kind, schedule.expression, schedule.zone, schedule.start_at, schedule.end_at)


def plan(schedule: ScheduleRecord, now: float) -> Plan:
    """Decide on the times of a schedule that are due now. Raises ScheduleError if it says nothing that makes sense."""
    first = schedule.next_at
    if first is None or first > now:
        raise ScheduleError(f"schedule {schedule.name!r} is not due.")
    table = timetable(schedule)
    following = table.after(first)
    if following is None or following > now:  # the only one, as it usually is
        run = (first,) if first >= _oldest(schedule, now) else ()
        return Plan(schedule, run, None if run else (first, first), following, first)
    if schedule.catchup == "latest":
        return _latest(schedule, table, first, now)
    return _each(schedule, table, first, now)


def _oldest(schedule: ScheduleRecord, now: float) -> float:
    """The earliest time that is not too late to be run."""
    if schedule.catchup not in ("none", "latest", "all"):
        raise ScheduleError(f"schedule {schedule.name!r} cannot catch up with {schedule.catchup!r}.", field="catchup")
    grace = schedule.misfire_grace
    if grace is None and schedule.catchup == "none":
        grace = GRACE
    return now - grace if grace is not None else -math.inf


def _latest(schedule: ScheduleRecord, table: Timetable, first: float, now: float) -> Plan:
    """Run the last time that is due."""
    last = max(first, table.upto(now) or first)
    following = table.after(last)
    if last < _oldest(schedule, now):
        return Plan(schedule, (), (first, last), following, last)
    before = table.upto(last - _TICK)
    missed = (first, before) if before is not None and before >= first else None
    return Plan(schedule, (last,), missed, following, last)


def _each(schedule: ScheduleRecord, table: Timetable, first: float, now: float) -> Plan:
    """Run all times that are due and not too late; a part of them if there are many."""
    missed, oldest = None, _oldest(schedule, now)
    at: float | None = first
    if first < oldest:
        last = max(first, table.upto(oldest - _TICK) or first)
        missed, at = (first, last), table.after(last)
    run: list[float] = []
    while at is not None and at <= now and len(run) < AT_ONCE:
        run.append(at)
        at = table.after(at)
    return Plan(schedule, tuple(run), missed, at, run[-1] if run else missed[1] if missed else first)


def volley(broker: Broker, schedule: ScheduleRecord, now: float) -> Volley:
    """Plan and load. Raises ScheduleError or SignatureError for a schedule whose row is broken."""
    found = plan(schedule, now)
    return Volley(found, load(broker, schedule, found.run, now))


def load(
    broker: Broker, schedule: ScheduleRecord, times: Sequence[float], now: float, overlap: str | None = None
) -> list[Shot]:
    """The jobs for some times of a schedule. Raises ScheduleError or SignatureError."""
    broker.values.unseal(schedule.payload or b"")
    return shots(schedule, times, now, overlap)


def carry_out(connection: Connection, broker: Broker, volleys: Sequence[Volley], now: float) -> tuple[int, int]:
    """Carry out plans inside a transaction, but for those whose schedule others have, or have changed since.

    Returns how many were carried out, and how many jobs they enqueued.
    """
    locked = schedules.lock(connection, [each.plan.schedule.name for each in volleys])
    mine = [each for each in volleys if locked.get(each.plan.schedule.name) == each.plan.schedule.revision]
    firings = shoot(connection, broker, [shot for each in mine for shot in each.shots], now)
    _note_missed(connection, [each.plan for each in mine if each.plan.missed is not None], now)
    schedules.advance(connection, [(each.plan.next_at, each.plan.last_at, each.plan.schedule.name) for each in mine])
    return len(mine), sum(firing.outcome == "enqueued" for firing in firings)


def shoot(
    connection: Connection, broker: Broker, planned: Sequence[Shot], now: float, *, again: bool = False
) -> list[FiringRecord]:
    """Enqueue jobs inside a transaction that has locked their schedules; returns what became of each time.

    A time that has fired is left out; with `again` only if a job was enqueued for it.
    """
    there = schedules.fired(connection, [(shot.schedule, shot.logical_time) for shot in planned])
    kept = [firing for firing in there.values() if not again or firing.outcome == "enqueued"]
    known = {(firing.schedule, firing.logical_time) for firing in kept}
    wanted = [shot for shot in planned if (shot.schedule, shot.logical_time) not in known]
    names = sorted({shot.schedule for shot in wanted if shot.overlap != "allow"})
    running = schedules.unfinished(connection, names, _MOST_NEEDS)
    firings, chosen = [], []
    for shot in wanted:
        job = _beside(shot, running)
        if job is None:
            firings.append(FiringRecord(shot.schedule, shot.logical_time, "skipped", None, None, now))
        else:
            chosen.append((shot, job))
    firings += _enqueue(connection, broker, chosen, now)
    schedules.forget(connection, [pair for pair in there if pair not in known])
    schedules.record(connection, firings)
    return firings


def _beside(shot: Shot, running: dict[str, list[str]]) -> NewJob | None:
    """The job of a shot in view of the unfinished ones of its schedule; None if there is to be none."""
    if shot.overlap == "allow":
        return shot.job
    earlier = running[shot.schedule]
    if shot.overlap == "skip" and earlier:
        return None
    # Not the last one alone: if that were cancelled, those before it would still run.
    job = shot.job._replace(needs=tuple(earlier[-_MOST_NEEDS:])) if earlier else shot.job
    earlier.append(job.record.id)
    return job


def _enqueue(
    connection: Connection, broker: Broker, chosen: Sequence[tuple[Shot, NewJob]], now: float
) -> list[FiringRecord]:
    ids = broker.add(connection, [job for _, job in chosen])
    firings: list[FiringRecord] = []
    followers: list[NewJob] = []
    for (shot, job), id_ in zip(chosen, ids, strict=True):
        own = id_ == job.record.id  # else the unique key is another job's
        outcome = "enqueued" if own else "skipped"
        firings.append(FiringRecord(shot.schedule, shot.logical_time, outcome, id_, None, now))
        followers += shot.followers if own else ()
    if followers:
        broker.add(connection, followers)
    return firings


def _note_missed(connection: Connection, plans: Sequence[Plan], now: float) -> None:
    rows = []
    for each in plans:
        assert each.missed is not None  # as the caller chose them
        first, last = each.missed
        since = first if first < last else None
        rows.append(FiringRecord(each.schedule.name, last, "missed", None, since, now))
    there = schedules.fired(connection, [(row.schedule, row.logical_time) for row in rows])
    schedules.record(connection, [row for row in rows if (row.schedule, row.logical_time) not in there])


def refuse(connection: Connection, each: Plan, now: float) -> None:
    """Carry out a plan whose queue takes no jobs: what was to run is noted as refused."""
    if schedules.lock(connection, [each.schedule.name]).get(each.schedule.name) != each.schedule.revision:
        return
    name = each.schedule.name
    there = schedules.fired(connection, [(name, time) for time in each.run])
    rows = [FiringRecord(name, time, "refused", None, None, now) for time in each.run if (name, time) not in there]
    schedules.record(connection, rows)
    if each.missed is not None:
        _note_missed(connection, [each], now)
    schedules.advance(connection, [(each.next_at, each.last_at, name)])
