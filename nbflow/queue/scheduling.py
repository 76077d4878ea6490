"""Defining schedules: what is asked for is checked and stored, or changed in place if the name is known."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from nbflow.model.errors import ScheduleError
from nbflow.model.jobs import ScheduleRecord
from nbflow.model.names import check_name
from nbflow.queue import cron, templates, zones
from nbflow.queue import options as opts
from nbflow.queue.broker import STAMPS, Broker, NewJob, open_queue
from nbflow.queue.firing import timetable
from nbflow.queue.job import Job
from nbflow.queue.schedule import Schedule, moment
from nbflow.storage import bells, queues
from nbflow.storage import schedules as stored
from nbflow.storage.connection import Connection

if TYPE_CHECKING:
    from nbflow.queue.enqueueing import Enqueuer
    from nbflow.queue.preparing import Preparer

_LONGEST_NAME = 64  # characters, as the column of the database
_CHOICES = {"catchup": ("none", "latest", "all"), "overlap": ("allow", "skip", "wait")}


class ScheduleOptions(TypedDict, total=False):
    """How a schedule behaves; see `Scheduling.schedule`."""

    name: str
    kwargs: Mapping[str, Any]
    zone: str
    start: datetime
    end: datetime
    catchup: Literal["none", "latest", "all"]
    overlap: Literal["allow", "skip", "wait"]
    misfire_grace: float | timedelta | None
    jitter: float | timedelta


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """One of several schedules that are defined together; see `Scheduling.schedule_all`."""

    cron: str
    function: Any
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None  # default: that of the handle
    options: ScheduleOptions = field(default_factory=lambda: ScheduleOptions())


class Scheduling:
    """What a queue's handle does about schedules."""

    def schedule(self, expression: str, function: Any, /, *args: Any, **options: Unpack[ScheduleOptions]) -> Schedule:
        """Call a function by a cron expression of five fields: minute hour day-of-month month day-of-week.

        `args` are its arguments, and `kwargs={...}` those by name. `name` (default: the function's) is the schedule's:
        if there is one of that name, it is changed in place. `zone`: IANA name, default: this machine's; see
        `nbflow.queue.cron` for daylight saving. `start`, `end`: not before, not after.

        If several times are due at once, since no scheduler ran, `catchup` says which are enqueued: "none" that is
        late, the "latest" alone (default), or "all". `misfire_grace`: seconds after which a time is too late; default:
        60 for "none", else never. `overlap`: what to do while an earlier job of it has not finished: "allow" both
        (default), "skip" this time, or "wait" for it. `jitter`: most seconds by which a job is delayed, at random.

        The options of the jobs are those of the queue's handle: `Queue("reports", retries=3).schedule(...)`. Inside a
        job `nbflow.current().logical_time` is the time that was meant. Raises ScheduleError that names what is wrong.
        """
        return self._define([self._draft("cron", cron.checked(expression), function, args, options)])[0]

    def every(
        self, interval: timedelta | float | str, function: Any, /, *args: Any, **options: Unpack[ScheduleOptions]
    ) -> Schedule:
        """Call a function again and again: each "15m", "2 h", timedelta or number of seconds.

        The first call is one interval from now, or at `start`. The rest is as of `schedule`.
        """
        expression = cron.interval_text(cron.seconds(interval))
        return self._define([self._draft("interval", expression, function, args, options)])[0]

    def monthly(
        self,
        function: Any,
        /,
        *args: Any,
        day: int | Literal["last"] = 1,
        at: str | time_of_day = "00:00",
        months: int = 1,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """Call a function on a day of every month, or of every so many `months`; if a month is too short, on its last.

        Several months are counted from `start`, else from a January. The rest is as of `schedule`.
        """
        expression = cron.monthly_expression(day, at, months)
        return self._define([self._draft("calendar", expression, function, args, options)])[0]

    def schedule_all(self, entries: Iterable[ScheduleEntry | Sequence[Any]]) -> list[Schedule]:
        """Define several schedules by cron expressions, all or none; returns them in order.

        An entry is (cron, function [, args [, kwargs]]) or a `ScheduleEntry`. Those without a name have the function's;
        if that is taken by an earlier entry, with "-2" behind it, and so on. Raises ScheduleError.
        """
        taken: set[str] = set()
        drafts = []
        for each in entries:
            entry = _entry(each)
            options = dict(entry.options)
            if entry.kwargs:
                options["kwargs"] = entry.kwargs
            draft = self._draft(
                "cron", cron.checked(entry.cron), entry.function, entry.args, options, queue=entry.queue
            )
            draft = draft._replace(name=_free(draft.name, taken, given="name" in options))
            taken.add(draft.name)
            drafts.append(draft)
        return self._define(drafts)

    # --- inside --------------------------------------------------------------------------------------------------

    def _draft(
        self,
        kind: str,
        expression: str,
        function: Any,
        args: Sequence[Any],
        options: Mapping[str, Any],
        *,
        queue: str | None = None,
    ) -> ScheduleRecord:
        """A schedule as far as its definition tells it."""
        broker = self._broker()
        enqueuer = (self if queue is None else self.with_options(queue=queue))._enqueuer(broker)
        preparer = enqueuer.preparer(function)
        new, followers = _call(enqueuer, preparer, broker, args, options.get("kwargs") or {})
        record = _record(kind, expression, options, preparer.name)
        expires = preparer.options.expires
        return record._replace(
            queue=preparer.queue,
            target=preparer.name,
            payload=new.record.payload,
            options=templates.options_of(
                new,
                followers,
                expires=opts.moment(expires, 0.0, "expires"),
                front=preparer.options.front,
                values=broker.values,
            ),
        )

    def _define(self, drafts: Sequence[ScheduleRecord]) -> list[Schedule]:
        broker = self._broker()
        now = time.time()

        def act(connection: Connection) -> None:
            known = {queue.name: queue for queue in queues.everything(connection)}
            for draft in drafts:
                if draft.queue not in known:
                    open_queue(connection, known, draft.queue)  # raises, but for "default"
                _save(connection, draft, now)

        bells.changing(broker.database, act, bells.SCHEDULES)
        return [Schedule(draft.name, broker=broker) for draft in drafts]

    if TYPE_CHECKING:  # of the queue's handle

        def with_options(self, **options: Any) -> Any:
            """The same queue with other options."""

        def _broker(self) -> Broker: ...
        def _enqueuer(self, broker: Broker) -> Enqueuer: ...


def _call(
    enqueuer: Enqueuer, preparer: Preparer, broker: Broker, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[NewJob, list[NewJob]]:
    """One job as all of the schedule will be, and those that follow it. Raises ScheduleError."""
    for name in ("id", "eta", "after"):
        if getattr(preparer.options, name):
            raise ScheduleError(f"The jobs of a schedule cannot have {name}: it is the schedule that says when.")
    if isinstance(preparer.options.expires, datetime):
        raise ScheduleError("expires of a schedule is how long each job may wait: seconds or a timedelta.")
    now = broker.clock.time()
    new = preparer.job(tuple(args), dict(kwargs), STAMPS.next()[0], now)
    if new.needs:
        raise ScheduleError("A scheduled call cannot take the result of a job; enqueue that inside the function.")
    followers = []
    for given, when in preparer.callbacks():
        follower, first, named = enqueuer.callback(given, when, preparer.queue)
        followers.append(follower.job((Job(new.record.id, broker), *first), named, STAMPS.next()[0], now))
    return new, followers


def _entry(given: Any) -> ScheduleEntry:
    if isinstance(given, ScheduleEntry):
        return given
    if isinstance(given, Sequence) and not isinstance(given, str) and 2 <= len(given) <= 4:
        return ScheduleEntry(*given)
    raise ScheduleError(f"An entry is (cron, function [, args [, kwargs]]) or a ScheduleEntry, not {given!r}.")


def _free(name: str, taken: set[str], *, given: bool) -> str:
    if name not in taken:
        return name
    if given:
        raise ScheduleError(f"Two entries have the name {name!r}.", field="name")
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"


def _record(kind: str, expression: str, options: Mapping[str, Any], default_name: str) -> ScheduleRecord:
    """The columns that the options of a schedule tell. Raises ScheduleError."""
    unknown = sorted(set(options) - set(ScheduleOptions.__annotations__))
    if unknown:
        close = difflib.get_close_matches(unknown[0], ScheduleOptions.__annotations__, n=1)
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
        name, kind, expression, zone, "", "", None, "", start, end,
        options.get("catchup", "latest"), options.get("overlap", "allow"),
        _span(options, "misfire_grace"), _span(options, "jitter") or 0.0, 0, None, 0, None, None, 0.0,
    )  # fmt: skip


def _span(options: Mapping[str, Any], name: str) -> float | None:
    given = options.get(name)
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if seconds is not None and (type(seconds) not in (int, float) or not 0 <= seconds < float("inf")):
        raise ScheduleError(f"{name} is a number of seconds or a timedelta, 0 or more, not {given!r}.", field=name)
    return float(seconds) if seconds is not None else None


def _save(connection: Connection, draft: ScheduleRecord, now: float) -> None:
    """Store a definition. What is there already goes on where it is, if its times stay the same."""
    old = stored.get(connection, draft.name, lock=True)
    if draft.kind == "interval" and draft.start_at is None:
        same = old is not None and (old.kind, old.expression) == ("interval", draft.expression)
        length = cron.seconds(draft.expression)
        begin = math.ceil(now) if length >= 1 else round(now, 6)  # whole seconds are nicer to read
        draft = draft._replace(start_at=old.start_at if old and same else round(begin + length, 6))
    if old is not None:
        paused = old.paused if old.error is None else 0  # a broken one is taken to be mended
        draft = draft._replace(paused=paused, last_at=old.last_at, created_at=old.created_at, next_at=old.next_at)
    else:
        draft = draft._replace(created_at=now)
    if old is None or timetable(old) != timetable(draft):
        draft = draft._replace(next_at=timetable(draft).after(now))
        if draft.next_at is None:
            raise ScheduleError(
                f"schedule {draft.name!r} is never due: its end is over, or before its first time.", field="end"
            )
    stored.put(connection, draft)
