"""A worker: a parent that claims jobs and supervises children that run them.

One thread does all that touches the database; the children's reports are left for it. Each turn is one transaction:
what ended is told, what follows is let go, and what is next is claimed, so that under load many jobs share a commit.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from nbflow import settings as settings_module
from nbflow.model.errors import ConfigError, QueueError, StorageError
from nbflow.model.jobs import WorkerRecord
from nbflow.model.ports import Output, Progress, Report
from nbflow.queue import logbook, presence, upkeep
from nbflow.queue.broker import STAMPS
from nbflow.queue.concurrency import evaluate
from nbflow.queue.lease import Lease, LostError
from nbflow.queue.ledger import Ledger, News
from nbflow.queue.memory import MemoryWatch, check_percent
from nbflow.queue.turns import Claim, Turn, allowed
from nbflow.running.clock import SystemClock
from nbflow.running.pool import ProcessPool
from nbflow.storage import bells, jobs, queues
from nbflow.storage import gates as stored_gates
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database
from nbflow.storage.wakeup import Wakeup
from nbflow.values.store import ValueStore

_log = logging.getLogger("nbflow")
_LOOK = 1.0  # seconds after which an idle worker looks without being told
_AHEAD = 8  # times the short jobs that children are given ahead, to bridge a commit
_GATHER = 0.1  # seconds that output and progress wait for more
_ENOUGH = 256  # reports that are worth a commit
_PATIENCE = 0.02  # seconds that an end waits for others while the children are busy
_SWEEP = 60.0  # seconds
_FEW = 2  # flows that may wait in children of their own, however few run at once
_MOST = 500  # jobs claimed at a time


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works."""

    queues: tuple[str, ...] = ()  # (): all
    exclude: tuple[str, ...] = ()
    concurrency: int | str = "cores"  # jobs at a time; see concurrency.evaluate
    max_memory_percent: float | None = None  # of the machine's memory; at more than it a child is replaced
    max_tasks: int | None = None  # jobs after which a child is replaced
    burst: bool = False  # end when there is nothing left to do
    lease: float = presence.LEASE  # seconds after which others take over if nothing is heard
    memory: Callable[[], float] | None = None  # percent of memory used; default: as the system says

    def check(self) -> None:
        """Raise ConfigError for what makes no sense."""
        both = sorted(set(self.queues) & set(self.exclude))
        if both:
            raise ConfigError(f"A worker cannot serve queue {both[0]!r} and leave it out at the same time.")
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ConfigError(f"max_tasks is {self.max_tasks!r}; a child runs 1 job at least before it is replaced.")
        check_percent(self.max_memory_percent)
        if self.lease <= presence.MARGIN:
            raise ConfigError(f"A lease lasts more than {presence.MARGIN:g} seconds, not {self.lease!r}.")


class Worker:
    """One worker. `run` works until `stop` is called, in the thread that called it."""

    def __init__(self, database: Database, values: ValueStore, options: WorkerOptions) -> None:
        """Raises ConfigError for a concurrency that is no number, and for limits that make no sense."""
        options.check()
        self.concurrency = evaluate(options.concurrency)
        self.id = STAMPS.id(STAMPS.next()[0])
        self._database = database
        self._values = values
        self._options = options
        self._ledger = Ledger()
        self._inbox: deque[Report] = deque()
        self._wakeup = Wakeup()
        self._handed_back = 0  # at which degree of stopping that was done
        self._stopping = 0  # 1: claim nothing more; 2: end what runs
        self._pool = ProcessPool(
            workers=self.concurrency, values=values, clock=SystemClock(), most_tasks=options.max_tasks, gather=True,
            watch=True, most_waiting=max(_FEW, self.concurrency),
            environment=_environment(database, values),
        )  # fmt: skip
        self._memory = MemoryWatch(self._pool, options.max_memory_percent, options.memory)
        self._heard = True  # whether somebody may have changed what is due when
        self._wake_at = 1  # reports that are worth waking up for
        self._more = True  # whether there may be jobs to claim for places that are free
        self._more_ahead = True  # and such as can be claimed ahead
        self.done = 0  # jobs that ended
        self._lease = Lease(database, self._pool, self.id, options.lease)
        self._next: dict[str, float] = {}  # what is due when
        self._tell_at = 0.0  # when output and progress may be told again

    # --- from outside --------------------------------------------------------------------------------------------

    def stop(self, *, now: bool = False) -> None:
        """Claim nothing more and end after what runs; `now`: give that back too. Callable from any thread."""
        self._stopping = 2 if now else max(self._stopping, 1)
        self._wakeup.wake()

    def run(self, ready: Callable[[Worker], None] = lambda _: None) -> int:
        """Work until stopped, or with `burst` until nothing is left; returns how many jobs ended.

        `ready` is called as soon as others can know of the worker.
        """
        self._lease.begin(self._record())
        heard = bells.listen(self._database, bells.JOBS)
        self._pool.start(self._report)
        try:
            presence.bury(self._database, self._values, time.time(), me=self.id)
            ready(self)
            while not self._finished():
                self._step()
                self._sleep(heard)
        finally:
            heard.close()
            self._close()
        if self._lease.outdated is not None:
            raise self._lease.outdated
        return self.done

    # --- the loop ------------------------------------------------------------------------------------------------

    def _finished(self) -> bool:
        if self._ledger or self._inbox:
            return False
        return self._stopping > 0 or (self._options.burst and not self._more and not self._more_ahead)

    def _step(self) -> None:
        """Do all that can be done now."""
        if self._stopping:
            self._hand_back()
        while True:
            self._read()
            now = time.time()
            self._chores(now)
            free, ahead = self._room()
            news = self._ledger.news(now)
            is_due = now >= self._next.get("due", math.inf)  # also if there is no room: what is late has to end
            claims = (free and self._more) or (ahead and self._more_ahead)
            if not (self._worth_a_turn(news, now) or claims or is_due):
                return
            self._turn(now, free, ahead)

    def _worth_a_turn(self, news: News, now: float) -> bool:
        """Whether to tell what happened now; while the children have enough to do, more of it may share a commit."""
        if news.ends:
            waited = now - news.ends[0][1].finished_at
            return len(self._ledger) <= 2 * self.concurrency or len(news.ends) >= _ENOUGH or waited > _PATIENCE
        if not news or now < self._tell_at <= now + _GATHER:
            return False
        self._tell_at = now + _GATHER
        return True

    def _room(self) -> tuple[int, int]:
        """How many jobs could be claimed now: for places that are free, and ahead."""
        if self._stopping:
            return 0, 0
        free = self._pool.places() - len(self._ledger)
        ahead = self.concurrency * _AHEAD * self._pool.ahead + min(0, free)
        return min(_MOST, max(0, free)), min(_MOST, max(0, ahead))

    def _turn(self, now: float, free: int, ahead: int) -> None:
        ledger, options = self._ledger, self._options
        news = ledger.news(now)
        room = free + ahead
        wanted = allowed(options.queues, options.exclude, ledger.per_queue, room)

        def act(connection: Connection) -> tuple[list[Claim], bool, float | None]:
            if not queues.holds_lease(connection, self.id):
                raise LostError("Others have taken over the jobs of this worker.")
            turn = Turn(connection, self.id, self._values, now)
            turn.tell(news)
            # What was enqueued meanwhile may be due, or have expired: neither is known from the last time.
            due = _next_due(connection) if self._heard else self._next["due"]
            if due is not None and due <= now:
                turn.tick()
                turn.freed = True
            more = room and (self._more_ahead or self._more or turn.freed)
            claims = turn.claim(wanted, free, ahead, flows=not self._pool.waits) if more else []
            if self._database.dialect == "postgresql":
                bells.notify(connection, *_topics(news, freed=turn.freed))
            return claims, turn.freed, _next_due(connection) if turn.freed else due

        claims, freed, due = self._database.retrying(act)
        ledger.told(news)
        logbook.ended(news.ends)
        self.done += len(news.ends)
        self._next["due"] = due if due is not None else now + 3600.0
        if free:
            self._more = len(claims) >= free
        if room:
            self._more_ahead = len(claims) >= room
        if freed:
            self._look_again()
        self._heard = False
        if self._database.dialect != "postgresql":
            bells.ring(self._database, *_topics(news, freed=freed))
        self._pool.submit_many([ledger.take(claim.job, claim.needed) for claim in claims])
        self._wake_at = 1 if len(ledger) <= 2 * self.concurrency else _ENOUGH

    def _sleep(self, heard: bells.Bell) -> None:
        """Wait until something happens, or something is due."""
        if len(self._inbox) >= self._wake_at or self._finished():
            return
        now = time.time()
        until = min([now + _LOOK, *self._next.values()])
        news = self._ledger.news(now)
        if news.ends or self._wake_at > 1:
            until = min(until, now + _PATIENCE)
        elif news or self._ledger.starts_untold():
            until = min(until, now + _GATHER)
        if self._wakeup.wait(heard, until - now):
            self._heard = True
            self._look_again()
            self._next["orders"] = 0.0
        if time.time() >= self._next.get("due", 0.0):
            self._look_again()

    def _look_again(self) -> None:
        self._more = self._more_ahead = True

    def _read(self) -> None:
        """Take the reports that have come."""
        while self._inbox:
            self._ledger.learn(self._inbox.popleft())

    def _report(self, report: Report) -> None:
        """Leave a report for the loop; called by the thread that listens to the children."""
        self._inbox.append(report)
        if len(self._inbox) == self._wake_at or type(report) is Output or type(report) is Progress:
            self._wakeup.wake()

    # --- chores --------------------------------------------------------------------------------------------------

    def _chores(self, now: float) -> None:
        """Do what is due apart from jobs."""
        if self._is_due("lease", now, self._lease.pause) or self._lease.is_outdated():
            self._renew(now)
        if self._is_due("orders", now, _LOOK):
            self._obey()
            self._heard = True  # a ring may have been lost
            self._look_again()
        if self._is_due("others", now, _LOOK) and presence.bury(self._database, self._values, now, me=self.id):
            self._look_again()
        if self._is_due("memory", now, _LOOK):
            self._memory.look(time.monotonic())
            if self._ledger.keeps_waiting(self._pool.places()):
                self._pool.return_waiting()
            self._pool.shrink(now)
        if self._is_due("sweep", now, _SWEEP):
            upkeep.sweep(self._database, now)

    def _is_due(self, what: str, now: float, pause: float) -> bool:
        if now < self._next.get(what, 0.0) <= now + pause:  # later than that if the machine's time was set back
            return False
        self._next[what] = now + pause
        return True

    def _renew(self, now: float) -> None:
        state = "draining" if self._stopping else "running"
        self._lease.renew(now, self._ledger.knows, busy=len(self._ledger), done=self.done, state=state)
        if self._lease.outdated is not None:
            self.stop()

    def _obey(self) -> None:
        """End what was asked to end."""
        if not self._ledger:
            return

        def look(connection: Connection) -> tuple[list[tuple[str, bool]], float | None]:
            return jobs.to_abort(connection, self.id), _next_due(connection)

        found, due = self._database.retrying(look, write=False)
        if due is not None:  # else nobody would ask while there is no room
            self._next["due"] = min(due, self._next.get("due", math.inf))
        for job, at_once in found:
            if (ticket := self._ledger.abort(job)) is not None:
                self._pool.cancel(ticket, at_once=at_once)

    def _hand_back(self) -> None:
        """Give back what has not begun, or all if it is urgent."""
        if self._stopping > self._handed_back:
            self._handed_back = self._stopping
            self._next["lease"] = 0.0  # others shall see that it ends
            self._pool.give_back()
            for ticket in self._ledger.tickets() if self._stopping > 1 else ():
                self._pool.cancel(ticket)

    # --- beginning and end ---------------------------------------------------------------------------------------

    def _record(self) -> WorkerRecord:
        from importlib.metadata import version

        now, options = time.time(), self._options
        return WorkerRecord(
            self.id, presence.host(), presence.boot(), os.getpid(), psutil.Process().create_time(), "running",
            json.dumps(options.queues), json.dumps(options.exclude), self.concurrency, "[]", 0, 0, version("nbflow"),
            now, now, now,
        )  # fmt: skip

    def _close(self) -> None:
        self._pool.close(wait=False)
        self._read()
        with suppress(StorageError, QueueError):
            self._turn(time.time(), 0, 0)
            with bells.ringing(self._database, bells.JOBS, bells.NEWS) as connection:
                self._lease.give_up(connection, self.done)
        self._lease.close()
        self._wakeup.close()


def _topics(news: News, *, freed: bool) -> list[str]:
    """The bells to be rung after a turn."""
    return [*([bells.NEWS] if news else []), *([bells.JOBS] if freed else [])]


def _environment(database: Database, values: ValueStore) -> dict[str, str]:
    """Variables by which flows and code that asks for jobs, in a child, mean this database and its values."""
    settings = settings_module.current()
    found = {"NBFLOW_DB": database.full_url, "NBFLOW_HOME": str(settings.home)}
    if values.artifacts.url != replace(settings, artifacts="").artifacts_of(database.url):
        found["NBFLOW_ARTIFACTS"] = values.artifacts.url
    return found


def _next_due(connection: Connection) -> float | None:
    times = [jobs.next_due(connection), stored_gates.next_due(connection), jobs.next_expiry(connection)]
    return min((time_ for time_ in times if time_ is not None), default=None)
