"""An executor as another package would bring it: a page, and an entry point."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any

from nbflow.model.ports import Finished, Report, Work
from nbflow.model.states import State
from nbflow.running.attempt import Site, given_up, perform
from nbflow.running.interrupt import Interruptible


class ElsewhereExecutor:
    """A thread for each attempt, and no more of them at a time than there are workers."""

    name = "elsewhere"
    inline = False

    def __init__(self, *, workers: int, values: Any, clock: Any, echo: bool = False) -> None:
        self.workers = workers
        self._values, self._clock, self._echo = values, clock, echo
        self._places = threading.Semaphore(workers)
        self._attempts: dict[int, Interruptible] = {}
        self._threads: dict[int, threading.Thread] = {}

    def start(self, report: Callable[[Report], None]) -> None:
        self._site = Site(self._values, report, self._clock, self.name, echo=self._echo)

    def submit(self, work: Work) -> None:
        attempt = self._attempts[work.ticket] = Interruptible(work, self._clock, self._give_up)
        thread = threading.Thread(target=self._run, args=(attempt,), daemon=True)
        self._threads[work.ticket] = thread
        thread.start()

    def _run(self, attempt: Interruptible) -> None:
        with self._places:
            finished = Context().run(perform, attempt, self._site)
        self._end(attempt, finished)

    def _give_up(self, attempt: Interruptible) -> None:
        if not attempt.ended and attempt.work.ticket in self._attempts:
            self._threads.pop(attempt.work.ticket, None)  # nobody waits for it
            self._end(attempt, given_up(attempt, self._site))

    def _end(self, attempt: Interruptible, finished: Finished) -> None:
        if attempt.claim():
            del self._attempts[attempt.work.ticket]
            self._site.report(finished)

    def cancel(self, ticket: int) -> None:
        if ticket in self._attempts:
            self._attempts[ticket].interrupt(State.CANCELLED)

    def help(self, done: Callable[[], bool]) -> bool:
        return False

    def close(self, *, wait: bool = True) -> None:
        for ticket in [] if wait else list(self._attempts):
            self.cancel(ticket)
        for thread in list(self._threads.values()):
            thread.join()
