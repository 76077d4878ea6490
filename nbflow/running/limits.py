"""What limits an attempt in time: until when it may begin, when it has to have ended, how long it may be silent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from nbflow.model.errors import JobExpiredError, StepTimeoutError, TaskError
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.model.ports import Clock, Due, Work
    from nbflow.running.context import AttemptContext
    from nbflow.running.interrupt import Interruptible

TIMEOUT, DEADLINE, HEARTBEAT = "timeout", "deadline", "heartbeat"  # why an attempt is ended


class Limit(NamedTuple):
    """The end of an attempt's time."""

    at: float  # seconds since 1970
    why: str


def is_limited(work: Work) -> bool:
    """Whether an attempt has to end at some time."""
    return work.timeout is not None or work.deadline is not None or work.heartbeat_timeout is not None


def end(work: Work, began: float) -> Limit | None:
    """When an attempt that began at a time has to have ended, whatever it says; None: whenever it likes."""
    found = []
    if work.timeout is not None:
        found.append(Limit(began + work.timeout, TIMEOUT))
    if work.deadline is not None:
        found.append(Limit(work.deadline.at, DEADLINE))
    return min(found, default=None)


def next_end(work: Work, began: float, beat: float) -> Limit | None:
    """The same for one that gave its latest sign of life at `beat`; infinity: it may be silent for now."""
    found = [limit for limit in (end(work, began),) if limit is not None]
    if work.heartbeat_timeout is not None and beat < math.inf:
        found.append(Limit(beat + work.heartbeat_timeout, HEARTBEAT))
    return min(found, default=None)


def missed(work: Work, now: float) -> tuple[State, TaskError] | None:
    """What becomes of an attempt that would begin now, if it is too late for that."""
    name, key = work.spec.name, work.key
    expires, deadline = work.expires, work.deadline
    if expires is not None and now >= expires.at and (deadline is None or expires.at < deadline.at):
        return State.EXPIRED, expired_error(name, key, expires.seconds)
    if deadline is not None and now >= deadline.at:
        return State.TIMED_OUT, deadline_error(name, key, deadline)
    return None


def expired_error(name: str, key: str, seconds: float | None) -> JobExpiredError:
    """The error of what was not begun in time."""
    late = f", which was {seconds:g} seconds from when it became ready" if seconds is not None else ""
    return JobExpiredError(f"{name!r} was not begun in time{late} ({key}).")


def deadline_error(name: str, key: str, deadline: Due, more: str = "") -> StepTimeoutError:
    """The error of what was not done by its deadline."""
    late = f" of {deadline.seconds:g} seconds from when it became ready" if deadline.seconds is not None else ""
    return StepTimeoutError(f"step {name!r} reached its deadline{late}{more} ({key}).")


def overdue_error(work: Work, why: str) -> StepTimeoutError:
    """The error of an attempt that was ended because its time was up."""
    name, key = work.spec.name, work.key
    if why == HEARTBEAT:
        silent = f"for its heartbeat_timeout of {work.heartbeat_timeout or 0:g} seconds"
        return StepTimeoutError(f"step {name!r} did not call heartbeat() {silent} ({key}).")
    if why == DEADLINE and work.deadline is not None:
        return deadline_error(name, key, work.deadline)
    return StepTimeoutError(f"step {name!r} took longer than its timeout of {work.timeout or 0:g} seconds ({key}).")


class Pulse:
    """Ends an attempt that has been silent for too long."""

    def __init__(self, attempt: Interruptible, context: AttemptContext, clock: Clock) -> None:
        self._attempt = attempt
        self._context = context
        self._clock = clock
        self._seconds = attempt.work.heartbeat_timeout or math.inf
        self._unset: Callable[[], None] | None = None
        self._over = False

    def watch(self) -> Callable[[], None]:
        """Begin; the return value ends it."""
        self._look()
        return self._stop

    def _look(self) -> None:
        if self._over:
            return
        now, beat = self._clock.time(), self._context.beat
        due = (beat if beat < math.inf else now) + self._seconds
        if due <= now:
            self._attempt.interrupt(State.TIMED_OUT, HEARTBEAT)
        else:
            self._unset = self._clock.call_at(due, self._look)

    def _stop(self) -> None:
        self._over = True
        if self._unset is not None:
            self._unset()
