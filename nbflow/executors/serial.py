"""Runs tasks one after the other in the thread that submits them, so that a debugger works in steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING

from nbflow.model.ports import Report, Work
from nbflow.model.states import State
from nbflow.running import capture
from nbflow.running.attempt import Site, never_begun, perform
from nbflow.running.interrupt import Interruptible, in_main, signals

if TYPE_CHECKING:
    from nbflow.model.ports import Clock
    from nbflow.values.store import ValueStore


class SerialExecutor:
    """One task at a time, in the caller's thread."""

    name = "serial"
    inline = True

    def __init__(self, *, workers: int = 1, values: ValueStore, clock: Clock, echo: bool = False) -> None:
        self.workers = 1  # whatever was asked for
        self._values = values
        self._clock = clock
        self._echo = echo
        self._queue: deque[int] = deque()
        self._waiting: dict[int, Work] = {}  # by ticket; who takes one out of it decides what becomes of it
        self._running: dict[int, Interruptible] = {}
        self._turn = threading.Lock()  # held by the thread that works off the queue
        self._site: Site | None = None

    def start(self, report: Callable[[Report], None]) -> None:
        """Begin; every report goes to `report`."""
        self._site = Site(self._values, report, self._clock, "serial", echo=self._echo, keyboard=True)
        capture.install()

    def submit(self, work: Work) -> None:
        """Run `work` before this returns, unless work is being run already: then right after it."""
        self._waiting[work.ticket] = work
        self._queue.append(work.ticket)
        while self._queue and self._turn.acquire(blocking=False):
            try:
                self.help(lambda: False)
            finally:
                self._turn.release()

    def cancel(self, ticket: int) -> None:
        """End an attempt, waiting or running; the running one at the next chance that Python gives."""
        if self.withdraw(ticket):
            return
        attempt = self._running.get(ticket)
        if attempt is not None:
            attempt.interrupt(State.CANCELLED)

    def withdraw(self, ticket: int) -> bool:
        """Drop an attempt that has not begun; whether it had not."""
        work = self._waiting.pop(ticket, None)
        if work is not None:
            self._report(never_begun(work, self._clock.time(), "serial"))
        return work is not None

    def help(self, done: Callable[[], bool]) -> bool:
        """Run waiting work until `done`; False if there was none."""
        helped = False
        if not self._queue:
            return False
        with signals():
            while self._queue and not done():
                helped = True
                try:
                    ticket = self._queue.popleft()
                except IndexError:  # another thread was faster
                    break
                self._run(ticket)
        return helped

    def close(self, *, wait: bool = True) -> None:
        """End: with `wait` after all submitted work, else at once and cancelling it."""
        if self._site is None:
            return
        if wait:
            self.help(lambda: False)
        for ticket in [*self._waiting, *self._running]:
            self.cancel(ticket)
        self._site = None
        capture.remove()

    def _run(self, ticket: int) -> None:
        site = self._site
        if site is None:
            return
        work = self._waiting.get(ticket)
        if work is None:
            return
        attempt = self._running[ticket] = Interruptible(work, self._clock)
        try:
            if self._waiting.pop(ticket, None) is None:
                return
            with in_main(attempt):
                finished = copy_context().run(perform, attempt, site)
        finally:
            del self._running[ticket]
        site.report(finished)
        if attempt.keyboard is not None:
            raise attempt.keyboard

    def _report(self, report: Report) -> None:
        if self._site is not None:
            self._site.report(report)
