"""The real clock, with timers."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("nbflow")


_FEW = 1000  # cancelled timers that are not worth tidying up


class _Timer:
    """One action that is due at a time."""

    __slots__ = ("_owner", "action")

    def __init__(self, owner: _Timers, action: Callable[[], None]) -> None:
        self._owner = owner
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Forget the action; the heap keeps the empty entry until it is due or there are too many."""
        if self.action is not None:
            self.action = None
            self._owner.cancelled += 1


class _Timers:
    """The timers of this process, on one thread that starts with the first of them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Timer]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.cancelled = 0  # roughly how many entries of the heap are empty

    def add(self, due: float, action: Callable[[], None]) -> _Timer:
        """Have `action` run when `time.monotonic()` reaches `due`."""
        timer = _Timer(self, action)
        with self._changed:
            if self.cancelled > _FEW and self.cancelled * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].action is not None]
                heapq.heapify(self._heap)
                self.cancelled = 0
            heapq.heappush(self._heap, (due, next(self._numbers), timer))
            if self._thread is None or not self._thread.is_alive():  # not alive: in a forked process
                self._thread = threading.Thread(target=self._work, name="nbflow-timers", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def _work(self) -> None:
        while True:
            action = self._next()
            if action is not None:
                try:
                    action()
                except Exception:  # one bad action must not stop all later ones
                    _log.exception("A timer's action failed.")
            del action  # not kept alive until the next one is due

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while self._heap and self._heap[0][2].action is None:
                heapq.heappop(self._heap)
            wait = self._heap[0][0] - time.monotonic() if self._heap else None
            if wait is None or wait > 0:
                self._changed.wait(wait)
                return None
            return heapq.heappop(self._heap)[2].action


_TIMERS = _Timers()


class SystemClock:
    """The time of this machine. All instances share one thread for their timers."""

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def call_at(self, time_: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action`, which must be quick, on the timer thread at `time_` or soon after; the return value cancels."""
        # Timers follow the monotonic clock, so that setting the machine's time does not move them.
        return _TIMERS.add(time.monotonic() + time_ - time.time(), action).cancel
