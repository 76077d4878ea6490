"""Schedules as a queue's handle defines them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from datetime import time as time_of_day
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from nbflow.model.errors import ScheduleError
from nbflow.queue import cron
from nbflow.queue.definitions import Asked, Definer
from nbflow.queue.schedule import Schedule

if TYPE_CHECKING:
    from nbflow.queue.broker import Broker
    from nbflow.queue.enqueueing import Enqueuer


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
        return self._define([Asked("cron", cron.checked(expression), function, args, options)])[0]

    def every(
        self, interval: timedelta | float | str, function: Any, /, *args: Any, **options: Unpack[ScheduleOptions]
    ) -> Schedule:
        """Call a function again and again: each "15m", "2 h", timedelta or number of seconds.

        The first call is one interval from now, or at `start`. The rest is as of `schedule`.
        """
        expression = cron.interval_text(cron.seconds(interval))
        return self._define([Asked("interval", expression, function, args, options)])[0]

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
        return self._define([Asked("calendar", expression, function, args, options)])[0]

    def schedule_all(self, entries: Iterable[ScheduleEntry | Sequence[Any]]) -> list[Schedule]:
        """Define several schedules by cron expressions, all or none; returns them in order.

        An entry is (cron, function [, args [, kwargs]]) or a `ScheduleEntry`. Those without a name have the function's;
        if that is taken by an earlier entry, with "-2" behind it, and so on. Raises ScheduleError.
        """
        return self._define([_asked(entry) for entry in entries])

    # --- inside --------------------------------------------------------------------------------------------------

    def _define(self, asked: Sequence[Asked]) -> list[Schedule]:
        broker = self._broker()

        def enqueuer(queue: str | None) -> Enqueuer:
            handle = self if queue is None else self.with_options(queue=queue)
            found: Enqueuer = handle._enqueuer(broker)
            return found

        names = Definer(broker, enqueuer).define(asked)
        return [Schedule(name, broker=broker) for name in names]

    if TYPE_CHECKING:  # of the queue's handle

        def with_options(self, **options: Any) -> Any:
            """The same queue with other options."""

        def _broker(self) -> Broker: ...
        def _enqueuer(self, broker: Broker) -> Enqueuer: ...


def _asked(given: Any) -> Asked:
    if isinstance(given, Sequence) and not isinstance(given, str) and 2 <= len(given) <= 4:
        given = ScheduleEntry(*given)
    if not isinstance(given, ScheduleEntry):
        raise ScheduleError(f"An entry is (cron, function [, args [, kwargs]]) or a ScheduleEntry, not {given!r}.")
    options: dict[str, Any] = {**given.options}
    if given.kwargs:
        options["kwargs"] = given.kwargs
    return Asked("cron", cron.checked(given.cron), given.function, given.args, options, given.queue)
