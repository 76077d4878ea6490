"""`Schedule`: the handle of something that is enqueued again and again."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar

from nbflow.model.errors import ScheduleError
from nbflow.model.jobs import FiringRecord, ScheduleRecord
from nbflow.queue import firing, zones
from nbflow.queue.broker import Broker
from nbflow.queue.firing import timetable
from nbflow.queue.job import Job
from nbflow.storage import bells
from nbflow.storage import schedules as stored
from nbflow.storage.connection import Connection

T = TypeVar("T")
_PART = 500  # times that one transaction fills in


class Firing(NamedTuple):
    """What became of a time of a schedule."""

    logical_time: datetime  # that was meant, in the schedule's zone
    outcome: str  # "enqueued", "skipped" (overlap, or a unique key), "missed" or "refused" (by a queue being drained)
    job: Job | None
    since: datetime | None  # the first of the times that were missed, if this stands for several
    fired_at: datetime


class Schedule:
    """A schedule by its name: when it is due, what became of it, and what can be done with it."""

    def __init__(self, name: str, *, db: str | None = None, broker: Broker | None = None) -> None:
        """`db`: path or URL of the database, default: the settings'."""
        self.name = name
        self._db = db
        self._own_broker = broker

    # --- what it is ----------------------------------------------------------------------------------------------

    @property
    def record(self) -> ScheduleRecord:
        """Its row. Raises ScheduleError if there is none."""
        with self._broker().database.read() as connection:
            return self._get(connection)

    @property
    def paused(self) -> bool:
        """Whether its times are not fired."""
        return self.record.paused == 1

    @property
    def error(self) -> str | None:
        """Why the scheduler paused it, if it did."""
        return self.record.error

    @property
    def next_at(self) -> datetime | None:
        """The next time that will be dealt with; None if there is none any more, or it is paused."""
        record = self.record
        return zones.in_zone(record.next_at, record.zone) if record.next_at is not None and not record.paused else None

    def describe(self) -> str:
        """When it is due, in words."""
        return timetable(self.record).describe()

    def next(self, count: int = 10) -> list[datetime]:
        """Its next times, were it not paused, in its zone."""
        record = self.record
        table = timetable(record)
        found: list[datetime] = []
        at = record.next_at if not record.paused else table.after(time.time())
        while at is not None and len(found) < count:
            found.append(zones.in_zone(at, record.zone))
            at = table.after(at)
        return found

    def history(self, limit: int = 20) -> list[Firing]:
        """What became of its times, the latest first. It is remembered for 90 days."""
        broker = self._broker()
        with broker.database.read() as connection:
            record = self._get(connection)
            found = stored.history(connection, self.name, limit)
        return [_told(each, record, broker) for each in found]

    # --- what can be done with it --------------------------------------------------------------------------------

    def pause(self) -> None:
        """Fire nothing more until it is resumed."""
        self._change(lambda connection: self._found(stored.change(connection, self.name, paused=1)))

    def resume(self) -> None:
        """Go on with the next time from now on. Those of the meantime are not caught up with: see `backfill`."""
        now = time.time()

        def act(connection: Connection) -> None:
            record = self._get(connection, lock=True)
            if record.paused:
                after = timetable(record).after(now)
                stored.change(connection, self.name, paused=0, error=None, next_at=after)

        self._change(act)

    def trigger(self, at: datetime | None = None) -> Job:
        """Enqueue its job now. `at`: the logical time that the job is told, default: now.

        Raises ScheduleError if that time has had its job already.
        """
        record = self.record
        now = time.time()
        meant = round(now, 6) if at is None else moment(at, record.zone)
        overlap = "wait" if record.overlap == "wait" else "allow"
        found = self._shoot(record, [meant], now, overlap)
        if not found:
            raise ScheduleError(
                f"Schedule {self.name!r} has enqueued the job for {zones.in_zone(meant, record.zone)} already. To run "
                "it once more, requeue that job; nbflow schedule history tells its id."
            )
        return found[0]

    def backfill(self, first: datetime, last: datetime) -> list[Job]:
        """Enqueue the jobs of all its times from `first` to `last`, both included, that have had none; returns them.

        They run one after the other, but for a schedule whose jobs may overlap. Done again, it does nothing twice.
        Raises ScheduleError if `last` is still to come.
        """
        record = self.record
        now = time.time()
        begin, end = moment(first, record.zone), moment(last, record.zone)
        if end > now:
            raise ScheduleError(f"{last} is still to come; backfill is for the past.", field="last")
        if end < begin:
            raise ScheduleError(f"{last} comes before {first}; give the earlier one first.", field="first")
        times = timetable(record).between(begin, end)
        overlap = "allow" if record.overlap == "allow" else "wait"
        found: list[Job] = []
        while part := list(islice(times, _PART)):
            found += self._shoot(record, part, now, overlap)
        return found

    def remove(self) -> None:
        """Forget it and its history. Its jobs stay."""
        self._change(lambda connection: self._found(stored.remove(connection, self.name)))

    def __repr__(self) -> str:
        return f"<schedule {self.name!r}>"

    # --- inside --------------------------------------------------------------------------------------------------

    def _broker(self) -> Broker:
        if self._own_broker is None:
            self._own_broker = Broker.of(self._db)
        return self._own_broker

    def _shoot(self, record: ScheduleRecord, times: Sequence[float], now: float, overlap: str) -> list[Job]:
        """Enqueue the jobs of those times that have had none, and return them."""
        broker = self._broker()
        shots = firing.load(broker, record, times, now, overlap)
        own = {shot.job.record.id for shot in shots}

        def act(connection: Connection) -> list[str]:
            self._get(connection, lock=True)
            new = {each.logical_time for each in firing.shoot(connection, broker, shots, now, again=True)}
            there = stored.fired(connection, [(self.name, at) for at in times]).values()
            # Those of its own ids are new too: of a try of which nobody could tell whether it was committed.
            return [each.job for each in sorted(there) if each.job and (each.logical_time in new or each.job in own)]

        return [Job(id_, broker) for id_ in self._change(act)]

    def _get(self, connection: Connection, *, lock: bool = False) -> ScheduleRecord:
        found = stored.get(connection, self.name, lock=lock)
        if found is None:
            known = [each.name for each in stored.listed(connection)]
            close = difflib.get_close_matches(self.name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " nbflow schedules lists those that there are."
            raise ScheduleError(f"There is no schedule {self.name!r}.{hint}", name=self.name)
        return found

    def _found(self, found: bool) -> None:
        if not found:
            with self._broker().database.read() as connection:
                self._get(connection)

    def _change(self, act: Callable[[Connection], T]) -> T:
        return bells.changing(self._broker().database, act, bells.SCHEDULES, bells.JOBS)


def moment(at: datetime, zone: str) -> float:
    """A point in time as seconds since 1970; without a zone it is as the clocks of `zone` show it."""
    if not isinstance(at, datetime):
        raise ScheduleError(f"{at!r} is no datetime.", field="time")
    return at.timestamp() if at.tzinfo is not None else float(zones.instant(at, zones.zone(zone)))


def _told(each: FiringRecord, record: ScheduleRecord, broker: Broker) -> Firing:
    return Firing(
        zones.in_zone(each.logical_time, record.zone),
        each.outcome,
        Job(each.job, broker) if each.job is not None else None,
        zones.in_zone(each.since, record.zone) if each.since is not None else None,
        zones.in_zone(each.fired_at, record.zone),
    )


def schedules(queue: str | None = None, *, db: str | None = None) -> list[Schedule]:
    """All schedules, or those of a queue, by name."""
    broker = Broker.of(db)
    with broker.database.read() as connection:
        return [Schedule(each.name, broker=broker) for each in stored.listed(connection, queue)]
