"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable


class VirtualClock:
    """Time in the hands of a test: a `model.ports.Clock`."""

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = start
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def time(self) -> float:
        """Seconds since 1970, as far as this clock is concerned."""
        return self._now

    def call_at(self, time: float, action: Callable[[], None]) -> Callable[[], None]:
        """Keep `action` until the clock reaches `time`; the return value cancels."""
        number = next(self._numbers)
        with self._lock:
            heapq.heappush(self._due, (time, number, action))
        return lambda: self._cancelled.add(number)

    def advance(self, seconds: float) -> None:
        """Let time pass: what is due on the way is done here, in order, each at its time."""
        end = self._now + seconds
        while (entry := self._next(end)) is not None:
            self._now = max(self._now, entry[0])
            entry[1]()
        self._now = max(self._now, end)

    def jump(self) -> bool:
        """Go to the next action and do it; False if there is none."""
        entry = self._next(float("inf"))
        if entry is None:
            return False
        self._now = max(self._now, entry[0])
        entry[1]()
        return True

    @property
    def pending(self) -> int:
        """How many actions wait for their time."""
        with self._lock:
            return sum(number not in self._cancelled for _, number, _ in self._due)

    def _next(self, end: float) -> tuple[float, Callable[[], None]] | None:
        with self._lock:
            while self._due and self._due[0][0] <= end:
                time, number, action = heapq.heappop(self._due)
                if number not in self._cancelled:
                    return time, action
                self._cancelled.discard(number)
        return None
