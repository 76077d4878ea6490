"""Ending children by force: those whose task does not end when its time is up, or once it was cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from nbflow.model.ports import Clock, Finished, Started
from nbflow.model.states import State
from nbflow.running import limits, losses
from nbflow.running.children import Child
from nbflow.running.clock import SystemClock
from nbflow.running.interrupt import GRACE, verdict_error
from nbflow.running.leased import Leased
from nbflow.running.limits import TIMEOUT


class Guard:
    """Kills the children of a pool that have to end. Shares the pool's lock."""

    def __init__(
        self, lock: threading.RLock, leased: Mapping[Child, Leased], clock: Clock, finish: Callable[[Finished], None]
    ) -> None:
        """`leased`: the children of the pool; `clock`: for reports; `finish` makes the last report of a task."""
        self._lock = lock
        self._leased = leased
        self._clock = clock
        self._finish = finish
        self._timers = SystemClock()

    def begun(self, leased: Leased) -> None:
        """A child has begun a task. Under the lock."""
        leased.began = leased.beat = self._timers.time()
        self._watch(leased)

    def heard(self, leased: Leased, *, waits: bool = False) -> None:
        """The task of a child gave a sign of life, or may be silent since it `waits` for others. Under the lock."""
        leased.beat = float("inf") if waits else self._timers.time()
        work = leased.tasks.get(leased.running.ticket) if leased.running is not None else None
        if work is not None and work.heartbeat_timeout is not None:
            self._watch(leased)

    def cancelled(self, leased: Leased, ticket: int, grace: float = GRACE) -> None:
        """Have a child killed that still runs a task `grace` seconds after it was cancelled.

        Its mark is asked each time, since it may run C code that lets it neither report a start nor give a task back.
        """

        def look() -> None:
            with self._lock:
                if ticket not in leased.tasks or leased.child not in self._leased:
                    return
                leased.find_running(self._clock.time())
                started = leased.running
                if started is None or started.ticket != ticket:
                    self.cancelled(leased, ticket)
                    return
            self._kill(leased, started, State.CANCELLED)

        self._timers.call_at(self._timers.time() + grace, look)

    def _watch(self, leased: Leased) -> None:
        """Have a child killed that goes on when the time of its task is up."""
        started = leased.running
        work = leased.tasks.get(started.ticket) if started is not None else None
        if started is None or work is None:
            return
        limit = limits.next_end(work, leased.began, leased.beat)
        if limit is None:
            leased.set_timer(None)
            return

        def kill() -> None:
            if leased.running is not None and leased.running.ticket == started.ticket:
                now = limits.next_end(work, leased.began, leased.beat)
                if now is not None and now.at <= limit.at:  # it gave no sign of life meanwhile
                    self._kill(leased, started, State.TIMED_OUT, limit.why)

        leased.set_timer(self._timers.call_at(limit.at + GRACE, kill))

    def _kill(self, leased: Leased, started: Started, verdict: State, why: str = TIMEOUT) -> None:
        with self._lock:
            work = leased.tasks.pop(started.ticket, None)
            if work is None:
                return
            leased.child.kill()
        error = verdict_error(verdict, work, why)
        self._finish(losses.end(work, verdict, error, self._clock.time(), started=started, exit="signal 9"))
