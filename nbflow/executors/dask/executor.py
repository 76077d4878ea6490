"""Runs tasks in slots of a Dask cluster."""

from __future__ import annotations

import functools
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nbflow.executors.dask import messages
from nbflow.executors.dask.lending import Lender
from nbflow.executors.dask.link import Link
from nbflow.executors.dask.messages import Artifact, Ended, Hello, Wanted, Word
from nbflow.executors.dask.slot import lend_place
from nbflow.executors.dask.slots import Hopeless, Lost, Slots, place
from nbflow.executors.dask.tickets import Tickets
from nbflow.model.errors import ConfigError, NbflowError, WorkerLostError
from nbflow.model.ports import Finished, Output, Progress, Report, Started, Work
from nbflow.model.states import State
from nbflow.running import limits, losses, wire
from nbflow.running.attempt import never_begun
from nbflow.running.clock import SystemClock
from nbflow.running.echo import echo
from nbflow.running.interrupt import GRACE, verdict_error

if TYPE_CHECKING:
    from nbflow.executors.dask.cluster import Cluster
    from nbflow.model.ports import Clock
    from nbflow.values.store import ValueStore

_TEND = 0.25  # seconds between two looks at slots that are idle or had their turn
# Workers give attempts up that do not end in time, and say so. These are for workers that do not even do that.
_UNHEARD = GRACE + 1.0  # seconds after which an attempt is taken for cancelled
_LATE = GRACE + 3.0  # seconds beyond the end of its time after which it is taken for timed out
_log = logging.getLogger("nbflow")


class DaskExecutor:
    """Several tasks at once, on the workers of a Dask cluster.

    The cluster is that of the setting `dask` (an address, or a `distributed.Client`: `configure(dask=...)`,
    NBFLOW_DASK), else that of the client that this process has made last, else one of `workers` processes of this
    machine, which stays for later runs. On a cluster that was there before, its own threads say how many tasks run at a
    time.

    Attempts that were given to a worker that is lost fail with `WorkerLostError`; nothing is run twice but by the
    step's retries. Workers need the same nbflow and Python as this process. Values travel through the artifact store
    where the workers can read it, else through the cluster's memory.
    """

    name = "dask"
    inline = False

    def __init__(self, *, workers: int, values: ValueStore, clock: Clock, echo: bool = False) -> None:
        """Raises `ConfigError` if distributed is not installed."""
        if find_spec("distributed") is None:
            raise ConfigError("The executor 'dask' needs the package distributed: pip install 'nbflow[dask]'.")
        self.workers = workers
        self._values = values
        self._clock = clock  # for reports about what never ran; workers have the time of their machine
        self._timers = SystemClock()
        self._echo = echo
        self._report: Callable[[Report], None] | None = None
        self._name = uuid.uuid4().hex[:12]
        self._lock = threading.RLock()
        self._tickets = Tickets(self._lock)
        self._cluster: Cluster | None = None
        self._slots: Slots | None = None
        self._lender: Lender | None = None
        self._unwritten: dict[str, NbflowError] = {}  # by name: artifacts that came here and could not be stored
        self._broken: Exception | None = None  # why there is no cluster
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()  # what happens, for the thread
        self._delivering = threading.local()  # .now: whether this thread hands on reports, and feeds the slots after
        self._closing = False

    def start(self, report: Callable[[Report], None]) -> None:
        """Begin; every report goes to `report`. If there is no cluster, that is the end of every task."""
        from nbflow.executors.dask import cluster as clusters  # imports distributed

        self._report = report
        lend_place()
        try:
            self._cluster = cluster = clusters.find(self.workers)
        except NbflowError as error:
            self._broken = error
            return
        if cluster.local is None:
            self.workers = max(1, cluster.threads)
        cluster.join(self._name, self.announced)
        most = self.workers if cluster.local is not None else None
        self._slots = Slots(cluster, self._name, _hello(self._values, cluster), most, self)
        self._lender = Lender(cluster.client, self._values)
        threading.Thread(target=self._work, name="nbflow-dask", daemon=True).start()
        self._tend()

    def submit(self, work: Work) -> None:
        """Queue `work`, and give it to a slot if one is free."""
        with self._lock:
            self._tickets.open[work.ticket] = work
            try:
                if self._slots is None:
                    raise self._broken or ConfigError("The executor 'dask' is not started.")
                self._slots.put(work)
            except Exception as error:  # no cluster, no worker with such resources, a function that cannot travel
                refused = _no_chance(work, error, self._clock.time())
            else:
                if not getattr(self._delivering, "now", False):
                    self._slots.feed()
                return
        self._finish(refused)

    def cancel(self, ticket: int) -> None:
        """End an attempt: at once if it waits, else softly; a worker that does not do so is given up after `GRACE`."""
        self._end_early(ticket, wire.Cancel(ticket), self._tickets.cancelled)

    def withdraw(self, ticket: int) -> None:
        """Drop an attempt that has not begun; one that has goes on."""
        self._end_early(ticket, wire.Withdraw(ticket), self._tickets.withdrawn)

    def _end_early(self, ticket: int, order: wire.Cancel | wire.Withdraw, asked: set[int]) -> None:
        """Drop what waits here, or give an order to the slot that has it, unless it was `asked` already."""
        with self._lock:
            work = self._tickets.open.get(ticket)
            if work is None or self._slots is None:
                return
            if not self._slots.withdraw(ticket):
                slot = self._slots.holder(ticket)
                if slot is not None and slot.link is not None and ticket not in asked:
                    asked.add(ticket)
                    slot.link.send([order])
                    if asked is self._tickets.cancelled:
                        self._give_up_after(_UNHEARD, work, State.CANCELLED)
                return
        self._finish(never_begun(work, self._clock.time(), self.name))

    def help(self, done: Callable[[], bool]) -> bool:
        """Say that another thread is of no use here."""
        return False

    def close(self, *, wait: bool = True) -> None:
        """End: with `wait` after all submitted work, else at once and cancelling it."""
        if not wait:
            for ticket in sorted(self._tickets.open, reverse=True):  # the last first, lest they take a freed place
                self.cancel(ticket)
        with self._lock:
            self._tickets.wait()
            if self._closing or self._slots is None or self._cluster is None:
                return
            self._closing = True
            self._slots.close()
            self._cluster.leave(self._name)
        if self._lender is not None:
            self._lender.close()
        self._inbox.put(None)

    # --- what happens: told by any thread, and dealt with by one of our own, which may wait for Dask ---------------

    def announced(self, word: Word) -> None:
        """A slot has begun."""
        self._inbox.put(functools.partial(self._change, lambda slots: slots.announced(word)))

    def received(self, link: Link, data: bytes) -> None:
        """A worker has told something."""
        self._inbox.put(functools.partial(self._take_all, link, data))

    def lost(self, link: Link, why: str) -> None:
        """A worker cannot be reached any more."""
        self._inbox.put(functools.partial(self._lose, link, why))

    def due(self, work: Work, *, anew: bool = True) -> None:
        """Nothing stands between an attempt and its slot any more; not `anew`: it gave a sign of life there."""
        if (left := self._tickets.time_left(work, anew=anew)) is not None:
            self._give_up_after(left.at + _LATE, work, State.TIMED_OUT, left.why)

    def _work(self) -> None:
        self._delivering.now = True
        while (event := self._inbox.get()) is not None:
            try:
                event()
            except Exception:  # one event's trouble must not keep all others back
                _log.exception("Something that happened on the Dask cluster could not be dealt with.")
            with self._lock:
                if self._slots is not None and not self._closing:
                    self._slots.feed()

    def _tend(self) -> None:
        def later() -> None:
            if not self._closing:
                self._inbox.put(functools.partial(self._change, Slots.tend))
                self._tend()

        self._timers.call_at(self._timers.time() + _TEND, later)

    def _change(self, change: Callable[[Slots], Hopeless | None]) -> None:
        with self._lock:
            if self._slots is None or self._closing:
                return
            hopeless = change(self._slots)
        if hopeless is not None:
            for work in hopeless.works:
                self._finish(_no_chance(work, hopeless.error, self._clock.time()))

    def _lose(self, link: Link, why: str) -> None:
        with self._lock:
            lost = self._slots.lost(link) if self._slots is not None else []
            cancelled = self._tickets.cancelled.copy()
        now = self._clock.time()
        for each in lost:
            self._finish(_end_of(each, why, now, cancelled=each.work.ticket in cancelled))

    def _take_all(self, link: Link, data: bytes) -> None:
        for message in messages.decode(data):
            try:
                self._take(link, message)
            except Exception:  # one report's trouble must not keep the others of its batch back
                _log.exception("The receiver of an executor's reports failed.")

    def _take(self, link: Link, message: Any) -> None:
        if isinstance(message, wire.GivenBack):
            self._given_back(message.tickets)
        elif isinstance(message, Ended):
            with self._lock:
                if self._slots is not None:
                    self._slots.ended(message.slot)
        elif isinstance(message, Artifact):
            try:
                self._values.artifacts.write(message.name, [message.content])
            except NbflowError as error:
                self._unwritten[message.name] = error
        elif isinstance(message, Wanted):
            if self._lender is not None:
                self._lender.lend(message.name, link)
        else:
            self._take_report(message)

    def _take_report(self, report: Report) -> None:
        with self._lock:
            work = self._tickets.open.get(report.ticket)
            if work is None or self._slots is None:
                return
            if type(report) is Started:
                self._slots.started(report)
            elif type(report) is Progress and work.heartbeat_timeout is not None:
                self.due(work, anew=False)
            elif type(report) is Finished:
                self._slots.finished(report)
        if type(report) is Finished:
            failure = self._unwritten.get(report.value.uri or "") if report.value is not None else None
            self._finish(report if failure is None else _no_chance(work, failure, report.finished_at))
        elif self._report is not None:
            if type(report) is Output and self._echo:
                echo(report)
            self._report(report)

    def _given_back(self, tickets: Iterable[int]) -> None:
        with self._lock:
            if self._slots is None:
                return
            dropped = [work for work in self._slots.given_back(tickets) if not self._tickets.wanted(work)]
            for work in dropped:
                self._slots.withdraw(work.ticket)
        for work in dropped:
            self._finish(never_begun(work, self._clock.time(), self.name))

    # --- ends ------------------------------------------------------------------------------------------------------

    def _finish(self, end: Finished) -> None:
        """Make the last report of a ticket, unless it was made."""
        try:
            self._tickets.finish(end, self._report)
        except Exception:  # one report's trouble must not keep the others back
            _log.exception("The receiver of an executor's reports failed.")

    def _give_up_after(self, seconds: float, work: Work, verdict: State, why: str = limits.TIMEOUT) -> None:
        """Wait no longer than that for the end of an attempt."""
        give_up = functools.partial(self._give_up, work, verdict, why)
        self._tickets.expect(work.ticket, seconds, functools.partial(self._inbox.put, give_up))

    def _give_up(self, work: Work, verdict: State, why: str) -> None:
        with self._lock:
            slot = self._slots.holder(work.ticket) if self._slots is not None else None
            if slot is None or slot.link is None or self._slots is None:
                return
            started = slot.running
            self._slots.drop(work.ticket)
            self._slots.give_up(slot)
        self._finish(losses.end(work, verdict, verdict_error(verdict, work, why), self._clock.time(), started=started))


def _hello(values: ValueStore, cluster: Cluster) -> Hello:
    if cluster.local is not None:
        return Hello(values.config(), values.put(b"", "a probe"), place())
    limit, most = values.inline_limit, values.max_size
    size = limit + 1 if most is None or most > 2 * limit else 0  # an artifact, unless there can be none
    return Hello(values.config(), values.put(bytes(size), "a probe"), None)


def _no_chance(work: Work, error: Exception, now: float) -> Finished:
    """The report of work that cannot even begin, or whose result cannot be kept."""
    started = Started(work.ticket, now, DaskExecutor.name, os.getpid())
    return losses.end(work, State.FAILED, error, now, started=started)


def _end_of(lost: Lost, why: str, now: float, *, cancelled: bool) -> Finished:
    """The report of an attempt whose worker is lost."""
    work, exit = lost.work, lost.exit
    started = lost.started or Started(work.ticket, now, lost.worker, 0)
    if cancelled:
        return losses.end(work, State.CANCELLED, verdict_error(State.CANCELLED, work), now, started=started, exit=exit)
    if exit is not None:
        return losses.lost(work, started, exit, now)
    error = WorkerLostError(
        f"the Dask worker {lost.worker}, which had step {work.spec.name!r} ({work.key}), is lost: {why}. Its log says "
        "more; give the step retries if it may run again.",
        step=work.spec.name,
    )
    return losses.end(work, State.FAILED, error, now, started=started)
