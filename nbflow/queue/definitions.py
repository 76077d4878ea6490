"""From what is asked of schedules to their rows: checked, and stored all or none."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from nbflow.model.errors import ScheduleError
from nbflow.model.jobs import ScheduleRecord
from nbflow.model.names import check_name
from nbflow.queue import cron, templates, zones
from nbflow.queue import options as opts
from nbflow.queue.broker import DEFAULT, STAMPS, Broker, NewJob, open_queue, unknown_queue
from nbflow.queue.enqueueing import Enqueuer
from nbflow.queue.firing import timetable
from nbflow.queue.job import Job
from nbflow.queue.preparing import Preparer
from nbflow.queue.schedule import moment
from nbflow.storage import bells, queues
from nbflow.storage import schedules as stored
from nbflow.storage.connection import Connection

_LONGEST_NAME = 64  # characters, as the column of the database
_CHOICES = {"catchup": ("none", "latest", "all"), "overlap": ("allow", "skip", "wait")}
_OPTIONS = ("name", "kwargs", "zone", "start", "end", "misfire_grace", "jitter", *_CHOICES)


class Asked(NamedTuple):
    """One schedule as it was asked for."""

    kind: str
    expression: str  # checked
    function: Any
    args: Sequence[Any]
    options: Mapping[str, Any]  # see `Scheduling.schedule`
    queue: str | None = None  # default: that of the handle


class Definer:
    """Defines schedules of one database."""

    def __init__(self, broker: Broker, enqueuer: Callable[[str | None], Enqueuer]) -> None:
        """`enqueuer`: for the name of a queue what puts calls on it."""
        self._broker = broker
        self._enqueuer = enqueuer
        self._known: dict[tuple[str | None, int], tuple[Enqueuer, Preparer]] = {}

    def define(self, asked: Sequence[Asked]) -> list[str]:
        """Store schedules, all or none; their names in order. Raises ScheduleError, UnknownQueueError."""
        drafts = self.drafts(asked)
        now = time.time()
        bells.changing(self._broker.database, lambda connection: save(connection, drafts, now), bells.SCHEDULES)
        return [draft.name for draft in drafts]

    def drafts(self, asked: Sequence[Asked]) -> list[ScheduleRecord]:
        """Schedules as far as their definitions tell them, to be saved. Raises ScheduleError."""
        taken: set[str] = set()
        drafts = []
        for each in asked:
            draft = self._draft(each)
            draft = draft._replace(name=_free(draft.name, taken, given="name" in each.options))
            taken.add(draft.name)
            drafts.append(draft)
        return drafts

    def _draft(self, asked: Asked) -> ScheduleRecord:
        """A schedule as far as its definition tells it."""
        key = asked.queue, id(asked.function)
        if key not in self._known:
            found = self._enqueuer(asked.queue)
            self._known[key] = found, found.preparer(asked.function)
        enqueuer, preparer = self._known[key]
        new, followers = _call(enqueuer, preparer, self._broker, asked)
        expires = opts.moment(preparer.expires(), 0.0, "expires")
        options = templates.options_of(
            new, followers, expires=expires, front=preparer.options.front, values=self._broker.values
        )
        record = _record(asked, preparer.name)
        return record._replace(queue=preparer.queue, target=preparer.name, payload=new.record.payload, options=options)


def _call(enqueuer: Enqueuer, preparer: Preparer, broker: Broker, asked: Asked) -> tuple[NewJob, list[NewJob]]:
    """One job as all of the schedule will be, and those that follow it. Raises ScheduleError."""
    for name in ("id", "eta", "after"):
        if getattr(preparer.options, name):
            raise ScheduleError(f"The jobs of a schedule cannot have {name}: it is the schedule that says when.")
    if isinstance(preparer.options.expires, datetime):
        raise ScheduleError("expires of a schedule is how long each job may wait: seconds or a timedelta.")
    now = broker.clock.time()
    new = preparer.job(tuple(asked.args), dict(asked.options.get("kwargs") or {}), STAMPS.next()[0], now)
    if new.needs:
        raise ScheduleError("A scheduled call cannot take the result of a job; enqueue that inside the function.")
    followers = []
    for given, when in preparer.callbacks():
        follower, first, named = enqueuer.callback(given, when, preparer.queue)
        followers.append(follower.job((Job(new.record.id, broker), *first), named, STAMPS.next()[0], now))
    return new, followers


def _free(name: str, taken: set[str], *, given: bool) -> str:
    if name not in taken:
        return name
    if given:
        raise ScheduleError(f"Two entries have the name {name!r}.", field="name")
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"


def _record(asked: Asked, default_name: str) -> ScheduleRecord:
    """The columns that the options of a schedule tell. Raises ScheduleError."""
    options = asked.options
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        close = difflib.get_close_matches(unknown[0], _OPTIONS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ScheduleError(
            f"a schedule has no option {unknown[0]!r}. {hint}Arguments of the function go into kwargs={{...}}; options "
            "of its jobs into the queue: Queue('reports', retries=3).schedule(...).",
            field=unknown[0],
        )
    name = check_name(options.get("name") or default_name, "schedule")
    if len(name) > _LONGEST_NAME:
        raise ScheduleError(f"{name!r} is too long for a schedule; {_LONGEST_NAME} characters at most.", field="name")
    for option, choices in _CHOICES.items():
        if options.get(option, choices[0]) not in choices:
            raise ScheduleError(f"{option} is one of {', '.join(choices)}, not {options[option]!r}.", field=option)
    zone = options.get("zone") or zones.local_name()
    zones.zone(zone)
    start, end = (moment(options[each], zone) if options.get(each) else None for each in ("start", "end"))
    if start is not None and end is not None and end < start:
        raise ScheduleError(f"end ({options['end']}) comes before start ({options['start']}).", field="end")
    return ScheduleRecord(
        name, asked.kind, asked.expression, zone, "", "", None, "", start, end,
        options.get("catchup", "latest"), options.get("overlap", "allow"),
        _span(options, "misfire_grace"), _span(options, "jitter") or 0.0, 0, None, 0, None, None, 0.0,
    )  # fmt: skip


def _span(options: Mapping[str, Any], name: str) -> float | None:
    given = options.get(name)
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if seconds is not None and (type(seconds) not in (int, float) or not 0 <= seconds < float("inf")):
        raise ScheduleError(f"{name} is a number of seconds or a timedelta, 0 or more, not {given!r}.", field=name)
    return float(seconds) if seconds is not None else None


def save(connection: Connection, drafts: Sequence[ScheduleRecord], now: float) -> None:
    """Store drafts of schedules inside a transaction. Raises ScheduleError, UnknownQueueError."""
    known = {queue.name: queue for queue in queues.everything(connection)}
    for name in {draft.queue for draft in drafts} - set(known):
        open_queue(connection, known, name)  # raises, but for "default"
    old = stored.named(connection, [draft.name for draft in drafts], lock=True)
    stored.put(connection, [_merged(draft, old.get(draft.name), now) for draft in drafts])


def check(connection: Connection, drafts: Sequence[ScheduleRecord], now: float) -> None:
    """Raise what `save` would raise, and store nothing."""
    known = {queue.name: queue for queue in queues.everything(connection)} | {DEFAULT: None}
    for draft in drafts:
        if draft.queue not in known:
            raise unknown_queue(draft.queue, known)
    old = stored.named(connection, [draft.name for draft in drafts])
    for draft in drafts:
        _merged(draft, old.get(draft.name), now)


def _merged(draft: ScheduleRecord, old: ScheduleRecord | None, now: float) -> ScheduleRecord:
    """A definition as it is stored. What is there already goes on where it is, if its times stay the same."""
    if draft.kind == "interval" and draft.start_at is None:
        same = old is not None and (old.kind, old.expression) == ("interval", draft.expression)
        length = cron.seconds(draft.expression)
        begin = math.ceil(now) if length >= 1 else now  # whole seconds are nicer to read
        draft = draft._replace(start_at=old.start_at if old and same else round(begin + length, 6))
    if old is not None:
        paused = old.paused if old.error is None else 0  # a broken one is taken to be mended
        draft = draft._replace(paused=paused, last_at=old.last_at, created_at=old.created_at, next_at=old.next_at)
    else:
        draft = draft._replace(created_at=now)
    if old is None or timetable(old) != timetable(draft):
        draft = draft._replace(next_at=timetable(draft).after(now))
        if draft.next_at is None:
            raise ScheduleError(f"schedule {draft.name!r} is never due: it ends before its first time.", field="end")
    return draft
