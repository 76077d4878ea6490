"""Runs tasks as jobs on the queue: workers run them, on this machine or on others.

A task's job is named after run, task and attempt. So a run that goes on after its process died, or was suspended,
meets the jobs that it left behind, whatever became of them meanwhile.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from nbflow import settings as settings_module
from nbflow.executors import taking
from nbflow.model.errors import NbflowError, StorageError, TaskCancelledError
from nbflow.model.jobs import JobRecord, Mark
from nbflow.model.names import run_job, task_job
from nbflow.model.ports import Finished, Output, Report, Work
from nbflow.model.states import State
from nbflow.queue import presence, times
from nbflow.queue.broker import STAMPS, Broker, NewJob
from nbflow.queue.calls import CallPacker, Packer
from nbflow.running import context, losses
from nbflow.running.attempt import error_record, never_begun
from nbflow.running.echo import echo
from nbflow.running.interrupt import GRACE
from nbflow.storage import bells, jobs, opened, queues, runs
from nbflow.storage.wakeup import Wakeup

if TYPE_CHECKING:
    from nbflow.model.ports import Clock
    from nbflow.model.specs import StepSpec
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_LOOK = 0.5  # seconds after which it looks without being told
_BURY = 2.0  # seconds between looks for dead workers
_SENT = 1.0  # seconds that a flow waits for its tasks to be on the queue before it lends its place
_LONELY = 5.0  # seconds without any worker after which it says so
_PIECE = 1_000  # tasks that are put on the queue in one transaction
_KEEP = 86_400.0  # seconds that the job of a task is kept whose result the run has taken
_log = logging.getLogger("nbflow")


class _Workers:
    """Looks after workers while tasks wait: buries dead ones, and says once that there are none."""

    def __init__(self, database: Database, values: ValueStore) -> None:
        self._database = database
        self._values = values
        self._buried = 0.0  # when dead ones were looked for
        self._seen = time.monotonic()  # when there was one last

    def look(self, tasks: int) -> None:
        """Look, unless that was done just now. `tasks`: how many wait."""
        now = time.monotonic()
        if now - self._buried < _BURY:
            return
        self._buried = now
        presence.bury(self._database, self._values, time.time())
        with self._database.read() as connection:
            alive = [worker for worker in queues.listed(connection) if worker.lease_until > time.time()]
        if alive:
            self._seen = now
        elif now - self._seen > _LONELY:
            self._seen = float("inf")
            _log.warning(
                "%d tasks wait on the queue, and no worker is running. Start one: nbflow worker --db %s",
                tasks, self._database.url,
            )  # fmt: skip


class _Packers:
    """What packs the calls of each step's function."""

    def __init__(self, values: ValueStore) -> None:
        self._packer = Packer(values, lambda _: False)
        self._known: dict[int, tuple[StepSpec, CallPacker]] = {}  # by id of the spec, which is kept for it

    def of(self, spec: StepSpec) -> CallPacker:
        """The one of a step."""
        found = self._known.get(id(spec))
        if found is None:
            found = self._known[id(spec)] = (spec, self._packer.of(spec.function))
        return found[1]


class QueueExecutor:
    """Tasks as jobs on nbflow's own queue."""

    name = "queue"
    inline = False
    keeps = True  # work goes on without this process, and can be met again
    records = True  # tries and output are put on record where they happen
    needs_database = True

    def __init__(
        self, *, workers: int, values: ValueStore, clock: Clock, echo: bool = False, database: Database | None = None
    ) -> None:
        """`workers` is for the queue's workers to decide, and only told."""
        self.workers = workers
        self._values = values
        self._clock = clock
        self._echo = echo
        self._database = database if database is not None else opened.database()
        self._broker = Broker(self._database, values)
        self._packers = _Packers(values)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._new: list[Work] = []
        self._sending = 0  # how many of these, the first ones, are on their way to the database
        self._open: dict[str, Work] = {}  # by job
        self._tickets: dict[int, str] = {}
        self._cancelled: set[str] = set()
        self._report: Callable[[Report], None] | None = None
        self._thread: threading.Thread | None = None
        self._ending = False
        self._quiet = False
        self._wakeup: Wakeup | None = None  # of the thread
        self._takers: dict[str, taking.Taker] = {}  # by run
        self._workers = _Workers(self._database, values)
        self._due = math.inf  # when something is too late that has not begun
        self.wakes: int | None = None  # how often the run's own job was woken, as of the latest look
        attempt = context.current()
        self._waker = attempt.job if attempt is not None else None
        self._standing = _standing(self._database, self._waker)

    def start(self, report: Callable[[Report], None]) -> None:
        """Begin; every report goes to `report`."""
        self._report = report
        self._wakeup = Wakeup()
        self._thread = threading.Thread(target=self._work, args=(self._wakeup,), name="nbflow-queue", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Put `work` on the queue soon, or meet the job that it is already."""
        with self._lock:
            job = _name(work)
            self._open[job] = work
            self._tickets[work.ticket] = job
            self._new.append(work)
            self._due = min(self._due, _due(work))
        self._wake()

    def cancel(self, ticket: int) -> None:
        """Have a job cancelled: at once if it waits, by its worker if it runs."""
        with self._lock:
            job = self._tickets.get(ticket)
            if job is None:
                return
            unsent = next((work for work in self._new[self._sending :] if work.ticket == ticket), None)
            if unsent is None:
                self._cancelled.add(job)
            else:
                self._new.remove(unsent)
        if unsent is not None:
            self._finish(job, never_begun(unsent, self._clock.time(), self.name))
        self._wake()

    def help(self, done: Callable[[], bool]) -> bool:
        """Say that another thread is of no use here."""
        return False

    def close(self, *, wait: bool = True) -> None:
        """End: with `wait` after all submitted work, else at once and cancelling it."""
        if self._report is None:
            return
        if not wait:
            for ticket in list(self._tickets):
                self.cancel(ticket)
        with self._lock:
            if not self._changed.wait_for(lambda: not self._open, None if wait else 4 * GRACE):
                left = dict(self._open)
            else:
                left = {}
        for job, work in left.items():  # their worker is dead or does not answer; the order to end them stands
            self._finish(job, _given_up(work, self._clock.time()))
        self.detach()

    def detach(self) -> None:
        """End and leave the jobs to themselves."""
        self._ending = True
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._report = None

    def discard(self, run: str) -> None:
        """Remove the jobs of a run whose results are all on record."""
        with self._database.write() as connection:
            jobs.delete_of_run(connection, run)

    def sent(self) -> None:
        """Return when all that was submitted is on the queue, or after a while if the database is away."""
        with self._lock:
            self._changed.wait_for(lambda: not self._new, _SENT)

    def quiesce(self) -> bool:
        """Look once more; if nothing has happened, report nothing until `go_on`, so that the run can be suspended."""
        with self._lock:
            if self._new or self._cancelled or self._look():
                return False
            self._quiet = True
            return True

    def go_on(self) -> None:
        """Report again; the run was not suspended."""
        self._quiet = False
        self._wake()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _work(self, wakeup: Wakeup) -> None:
        bell = bells.listen(self._database, bells.NEWS)
        try:
            while not self._ending:
                try:
                    self._round()
                except StorageError as error:
                    _log.warning("The queue cannot be reached, which is tried again: %s", error)
                    time.sleep(_LOOK)
                wakeup.wait(bell, 0.0 if self._new else _LOOK)
        except Exception as error:  # whoever waits for a task has to learn of it
            _log.exception("The queue executor failed.")
            self._fail_all(error)
        finally:
            bell.close()
            wakeup.close()

    def _round(self) -> None:
        self._send_new()
        with self._lock:
            cancelled = set(self._cancelled)
        if cancelled:
            self._broker.cancel(sorted(cancelled), "its run was cancelled")
            with self._lock:
                self._cancelled -= cancelled
        with self._lock:
            while self._open and not self._quiet and self._look() and not self._new:
                pass
        if (now := time.time()) >= self._due:  # ends what has not begun in time, as workers do: there may be none
            with self._lock:
                self._due = min((due for due in map(_due, self._open.values()) if due > now), default=math.inf)
            self._broker.tick()
        if self._open:
            self._workers.look(len(self._open))

    def _send_new(self) -> None:
        """Put what is new on the queue. It is new until it is there: the database may be away, and be back later."""
        with self._lock:
            new = self._new[:_PIECE]
            self._sending = len(new)
        if not new:
            return
        try:
            self._enqueue(new)
        except StorageError:
            with self._lock:
                self._sending = 0
            raise
        with self._lock:
            del self._new[: self._sending]
            self._sending = 0
            self._changed.notify_all()

    def _enqueue(self, works: Iterable[Work]) -> None:
        new: list[tuple[Work, NewJob]] = []
        for work in works:
            try:
                payload = self._packers.of(work.spec).seal(work.inputs, work.key)
                new.append((work, NewJob(_record(work, payload, self._standing, self._waker))))
            except Exception as error:  # the function cannot go to another process
                self._finish(_name(work), losses.end(work, State.FAILED, error, self._clock.time()))
        if not new:
            return
        with bells.ringing(self._database, bells.JOBS) as connection:
            # Whoever cancelled a run has cancelled the jobs that it had then.
            over = runs.over(connection, sorted({work.run for work, _ in new}))
            wanted = [job for work, job in new if work.run not in over]
            self._broker.add(connection, wanted)
            # Some may have been there already: met again by a run that goes on.
            jobs.meet(connection, [job.record.id for job in wanted], self._waker)
        for work, _ in new:
            if work.run in over:
                self._finish(_name(work), never_begun(work, self._clock.time(), self.name))

    def _look(self) -> bool:
        """Take what jobs tell; whether any ended. Under the lock."""
        ended: list[tuple[str, Finished]] = []
        with self._database.read() as connection:
            if self._waker is not None:  # first: what happens after this look will be told by it
                self.wakes = jobs.wakes(connection, self._waker)
            for run in {work.run for work in self._open.values()}:
                taker = self._takers.setdefault(run, taking.Taker(run, self._values))
                news = taker.look(connection, self._open)
                for report in news.reports:
                    self._tell(report)
                ended += news.ended
        for job, report in ended:
            self._finish(job, report)
        if ended:
            with self._database.write() as connection:
                jobs.taken(connection, [job for job, _ in ended], time.time() + _KEEP)
        return bool(ended)

    # --- reports -------------------------------------------------------------------------------------------------

    def _tell(self, report: Report) -> None:
        if self._echo and type(report) is Output:
            echo(report)
        if self._report is not None:
            self._report(report)

    def _finish(self, job: str, end: Finished) -> None:
        """Make the last report of a ticket, unless it was made."""
        with self._lock:
            work = self._open.pop(job, None)
            if work is None:
                return
            self._tickets.pop(work.ticket, None)
        try:
            if self._report is not None:
                self._report(end)
        finally:
            with self._lock:
                self._changed.notify_all()

    def _fail_all(self, error: Exception) -> None:
        problem = error if isinstance(error, NbflowError) else StorageError(f"The queue cannot be read: {error}")
        for job, work in list(self._open.items()):
            self._finish(job, losses.end(work, State.FAILED, problem, self._clock.time()))

    def _wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup.wake()


def _standing(database: Database, job: str | None) -> jobs.Standing:
    """Where the tasks of a run stand: just behind its own job, before later runs, so that few are open at once.

    If they stood where they came, a hundred runs would all have begun before the first task of the first one.
    """
    usual = jobs.Standing(settings_module.current().queue, 0, STAMPS.next()[0])
    if job is None:
        return usual
    with database.read() as connection:
        found = jobs.standing(connection, job) or usual
    return found if job.startswith(run_job("")) else found._replace(queue=usual.queue)  # some job that runs a flow


def _name(work: Work) -> str:
    return task_job(work.run, work.seq, work.attempt)


def _record(work: Work, payload: bytes, standing: jobs.Standing, waker: str | None) -> JobRecord:
    """The job that an attempt is."""
    spec = work.spec
    policy: dict[str, Any] = {"key": work.key, "losses": 0}
    if spec.is_async:
        policy["async"] = True
    policy |= times.in_policy(work)
    due = _due(work)
    now = time.time()
    values: dict[str, Any] = dict.fromkeys(JobRecord._fields) | {
        "id": _name(work), "queue": spec.queue or standing.queue, "priority": standing.priority,
        "place": standing.place + work.seq, "state": "ready",
        "name": spec.name, "kind": "task", "payload": payload, "policy": json.dumps(policy), "timeout": work.timeout,
        "soft_timeout": work.soft_timeout, "expires_at": due if due < math.inf else None, "waiting": 0,
        "attempt": work.attempt - 1, "marks": int(Mark.WAKES) if waker is not None else 0, "waker": waker, "run":
        work.run, "seq": work.seq, "enqueued_at": now, "ready_at": now, "tags": json.dumps(spec.tags) if spec.tags else
        "", "batch": work.run,
    }  # fmt: skip
    return JobRecord(**values)


def _due(work: Work) -> float:
    """From when on an attempt is not begun."""
    return min((due.at for due in (work.expires, work.deadline) if due is not None), default=math.inf)


def _given_up(work: Work, now: float) -> Finished:
    error = TaskCancelledError(f"step {work.spec.name!r} was cancelled ({work.key}).")
    return Finished(work.ticket, State.CANCELLED, now, now, "queue", 0, None, error_record(error), error)
