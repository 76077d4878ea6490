"""Runs tasks on a few threads of this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue
from typing import TYPE_CHECKING

from nbflow.model.ports import Finished, Report, Work
from nbflow.model.states import State
from nbflow.running import capture
from nbflow.running.attempt import Site, given_up, never_begun, perform
from nbflow.running.interrupt import GRACE, Interruptible

if TYPE_CHECKING:
    from nbflow.model.ports import Clock
    from nbflow.values.store import ValueStore

_log = logging.getLogger("nbflow")


class _Worker:
    """One thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.next: int | None = None  # ticket of the work that it runs next, before any from the queue
        self.reporting = False  # whether it is making the last report of an attempt
        self.given_up = False


class _Running:
    """One attempt, and the thread that runs it."""

    __slots__ = ("attempt", "site", "worker")

    def __init__(self, attempt: Interruptible, worker: _Worker, site: Site) -> None:
        self.attempt = attempt
        self.worker = worker
        self.site = site


class ThreadsExecutor:
    """Several tasks at once, in threads of this process."""

    name = "threads"
    inline = False

    def __init__(self, *, workers: int, values: ValueStore, clock: Clock, echo: bool = False) -> None:
        self.workers = workers
        self._values = values
        self._clock = clock
        self._echo = echo
        self._queue: SimpleQueue[int | None] = SimpleQueue()
        self._waiting: dict[int, Work] = {}  # by ticket; who takes one out of it decides what becomes of it
        self._running: dict[int, _Running] = {}
        self._report: Callable[[Report], None] | None = None
        self._lock = threading.Lock()
        self._threads = 0  # alive and not given up
        self._started = 0
        self._here = threading.local()  # .worker: the _Worker of the current thread
        self._closing = False
        self._ended = threading.Event()  # set whenever a task ends while closing

    def start(self, report: Callable[[Report], None]) -> None:
        """Begin; every report goes to `report`."""
        self._report = report
        capture.install()

    def submit(self, work: Work) -> None:
        """Queue `work`; but the first that follows from a report is run next by the thread that made the report."""
        self._waiting[work.ticket] = work
        worker: _Worker | None = getattr(self._here, "worker", None)
        if worker is not None and worker.reporting and worker.next is None:
            worker.next = work.ticket
            return
        self._queue.put(work.ticket)
        if self._threads < self.workers:
            self._add_thread()

    def cancel(self, ticket: int) -> None:
        """End an attempt: at once if it waits, else at the next chance; after `GRACE` its thread is given up."""
        if self.withdraw(ticket):
            return
        running = self._running.get(ticket)
        if running is not None:
            running.attempt.interrupt(State.CANCELLED)

    def withdraw(self, ticket: int) -> bool:
        """Drop an attempt that has not begun; whether it had not."""
        work = self._waiting.pop(ticket, None)
        if work is not None:
            self._send(never_begun(work, self._clock.time(), self.name))
            self._ended.set()
        return work is not None

    def help(self, done: Callable[[], bool]) -> bool:
        """Say that another thread is of no use here."""
        return False

    def close(self, *, wait: bool = True) -> None:
        """End: with `wait` after all submitted work, else at once and cancelling it."""
        if self._report is None:
            return
        self._closing = True
        if not wait:
            for ticket in [*self._waiting, *self._running]:
                self.cancel(ticket)
        patience = None if wait else GRACE
        while self._waiting or self._running:
            self._ended.clear()
            if (self._waiting or self._running) and not self._ended.wait(patience):
                for running in list(self._running.values()):
                    self._abandon(running)
        for _ in range(self._threads):
            self._queue.put(None)
        capture.remove()
        self._report = None

    def _add_thread(self) -> None:
        with self._lock:
            if self._threads >= self.workers:
                return
            self._threads += 1
            self._started += 1
            worker = _Worker(f"threads-{self._started}")
        threading.Thread(target=self._work, args=(worker,), name=f"nbflow-{worker.name}", daemon=True).start()

    def _work(self, worker: _Worker) -> None:
        self._here.worker = worker
        site = Site(self._values, self._send, self._clock, worker.name, echo=self._echo)
        while not worker.given_up:
            ticket, worker.next = worker.next, None
            if ticket is None:
                ticket = self._queue.get()
            if ticket is None:
                break
            self._run(ticket, worker, site)

    def _run(self, ticket: int, worker: _Worker, site: Site) -> None:
        work = self._waiting.get(ticket)
        if work is None:
            return  # cancelled
        attempt = Interruptible(work, self._clock, self._give_up)
        self._running[ticket] = _Running(attempt, worker, site)
        if self._waiting.pop(ticket, None) is None:
            del self._running[ticket]
            return
        finished = Context().run(perform, attempt, site)
        if attempt.claim():
            worker.reporting = True
            self._end(finished)
            worker.reporting = False

    def _give_up(self, attempt: Interruptible) -> None:
        running = self._running.get(attempt.work.ticket)
        # A function that has ended in time may take long to have its result stored.
        if running is not None and not attempt.ended:
            self._abandon(running)

    def _abandon(self, running: _Running) -> None:
        """Report an attempt without waiting for its thread any more, and replace the thread."""
        if running.attempt.claim():
            running.worker.given_up = True
            with self._lock:
                self._threads -= 1
            if not self._closing or self._waiting:
                self._add_thread()
            self._end(given_up(running.attempt, running.site))

    def _end(self, finished: Finished) -> None:
        self._send(finished)
        del self._running[finished.ticket]
        if self._closing:
            self._ended.set()

    def _send(self, report: Report) -> None:
        if self._report is None:
            return
        try:
            self._report(report)
        except Exception:  # a thread that dies of somebody else's mistake would take the capacity with it
            _log.exception("The receiver of an executor's reports failed.")
