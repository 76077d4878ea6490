"""The attempts that an executor has taken: each of them gets exactly one last report."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nbflow.model.ports import Finished, Report, Work
from nbflow.running.clock import SystemClock
from nbflow.running.limits import Limit, is_limited, next_end


class Tickets:
    """Open attempts. Every method may be called by any thread, with the executor's lock or without."""

    def __init__(self, lock: threading.RLock) -> None:
        self.open: dict[int, Work] = {}  # by ticket
        self.cancelled: set[int] = set()  # of them, those that a slot was asked to end
        self.withdrawn: set[int] = set()  # of them, those that a slot was asked not to begin
        self._began: dict[int, float] = {}  # by ticket: when nothing stood in its way any more
        self._claimed: set[int] = set()  # of them, those about to be reported
        self._unset: dict[int, Callable[[], None]] = {}  # by ticket: takes back what is to happen when it is overdue
        self._lock = lock
        self._ended = threading.Condition(lock)
        self._clock = SystemClock()

    def finish(self, end: Finished, report: Callable[[Report], None] | None) -> None:
        """Make the last report of an attempt, unless it was made. Without the lock."""
        with self._lock:
            if end.ticket not in self.open or end.ticket in self._claimed:
                return
            self._claimed.add(end.ticket)
        self.expect(end.ticket)
        try:
            if report is not None:
                report(end)
        finally:
            with self._lock:
                self._claimed.discard(end.ticket)
                self.cancelled.discard(end.ticket)
                self.withdrawn.discard(end.ticket)
                self._began.pop(end.ticket, None)
                del self.open[end.ticket]
                if not self.open:
                    self._ended.notify_all()

    def expect(self, ticket: int, seconds: float = 0.0, overdue: Callable[[], None] | None = None) -> None:
        """Have `overdue` called if the attempt is still open in so many seconds, in the place of an earlier one."""
        with self._lock:
            unset = self._unset.pop(ticket, None)
            if overdue is not None:
                self._unset[ticket] = self._clock.call_at(self._clock.time() + seconds, overdue)
        if unset is not None:
            unset()

    def wanted(self, work: Work) -> bool:
        """Whether an attempt that a slot gave back is still to be made."""
        ticket = work.ticket
        return ticket in self.open and ticket not in self.cancelled and ticket not in self.withdrawn

    def time_left(self, work: Work, *, anew: bool) -> Limit | None:
        """After how many seconds an attempt has to have ended that gives a sign of life now; `anew`: it begins now."""
        if not is_limited(work) or work.ticket in self.cancelled:
            return None
        now = self._clock.time()
        began = self._began.setdefault(work.ticket, now)
        if anew:
            began = self._began[work.ticket] = now
        limit = next_end(work, began, now)
        return limit._replace(at=limit.at - now) if limit is not None else None

    def wait(self) -> None:
        """Return when none is open. With the lock."""
        self._ended.wait_for(lambda: not self.open)
