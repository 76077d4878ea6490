"""A scheduler: finds the schedules that are due and enqueues their jobs. There may be any number of them at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence

from nbflow.model.errors import (
    DatabaseCorruptError,
    DatabaseMissingError,
    DatabaseNewerError,
    DatabaseReadOnlyError,
    QueueClosedError,
    SignatureError,
    StorageError,
)
from nbflow.model.jobs import ScheduleRecord
from nbflow.model.ports import Clock
from nbflow.queue import firing, templates
from nbflow.queue.broker import Broker
from nbflow.queue.firing import Volley
from nbflow.running.clock import SystemClock
from nbflow.running.stopping import on_signals
from nbflow.storage import bells, retention, schedules
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database
from nbflow.storage.wakeup import Wakeup
from nbflow.values.store import ValueStore

_log = logging.getLogger("nbflow")
_AT_ONCE = 500  # schedules in one transaction
_MOST_JOBS = 1_000  # and jobs
_LOOK = 1.0  # seconds after which it looks without being told: a ring may be lost, a clock be set
_LONGEST_PAUSE = 30.0  # seconds between two tries while the database is away
_GATHER = 0.02  # seconds from one scan to the next: those that are due in between share a transaction
_CONTENTION = 0.02  # seconds to leave to other schedulers that deal with the same
_KEEP = 90 * 86_400.0  # seconds that firings are remembered
_SWEEP = 3600.0  # seconds
_HOPELESS = (DatabaseCorruptError, DatabaseMissingError, DatabaseNewerError, DatabaseReadOnlyError)


class Scheduler:
    """One scheduler. `run` works until `stop` is called, in the thread that called it."""

    def __init__(self, database: Database, values: ValueStore, clock: Clock | None = None) -> None:
        self._database = database
        self._clock: Clock = clock or SystemClock()
        self._broker = Broker(database, values, self._clock)
        self._stopping = threading.Event()
        self._wakeup: Wakeup | None = None  # while it runs
        self._swept = 0.0
        self.fired = 0  # jobs that it has enqueued
        self.looked_at = 0.0  # when it last looked for what is due, and could

    def stop(self) -> None:
        """End soon. Callable from any thread, and from a handler of a signal."""
        self._stopping.set()
        if self._wakeup is not None:
            self._wakeup.wake()

    def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Work until stopped; returns how many jobs were enqueued. Outlives a database that is away for a while.

        `ready` is called when it begins. Raises StorageError for what waiting cannot mend, such as a removed database,
        and SignatureError if a schedule was defined with another key: it is this scheduler that is wrong then.
        """
        heard = bells.listen(self._database, bells.SCHEDULES)
        self._wakeup = Wakeup()
        try:
            ready()
            self._loop(heard, self._wakeup)
        finally:
            self._wakeup.close()
            heard.close()
        return self.fired

    def _loop(self, heard: bells.Bell, wakeup: Wakeup) -> None:
        pause = _LOOK
        while not self._stopping.is_set():
            try:
                until = self._look()
                pause = _LOOK
            except _HOPELESS:
                raise
            except StorageError as error:
                _log.warning("The scheduler tries again in %.0f seconds: %s", pause, error)
                until = self._clock.time() + pause
                pause = min(2 * pause, _LONGEST_PAUSE)
            wakeup.wait(heard, until - self._clock.time())

    def _look(self) -> float:
        """Do what is due; returns when to look again."""
        now = self._clock.time()
        due = self._database.retrying(schedules.next_time, write=False)
        if due is not None and due <= now:
            self.scan(now)
            due = self._database.retrying(schedules.next_time, write=False)
            due = max(due, now + _GATHER) if due is not None else None
        if now - self._swept > _SWEEP:
            self._sweep(now)
        self.looked_at = now
        return min(now + _LOOK, due if due is not None else now + _LOOK)

    # --- firing --------------------------------------------------------------------------------------------------

    def scan(self, now: float | None = None) -> int:
        """Fire all schedules that are due; returns how many jobs were enqueued."""
        at = self._clock.time() if now is None else now
        before = self.fired
        while not self._stopping.is_set():
            due = self._database.retrying(lambda connection: schedules.due(connection, at, _AT_ONCE), write=False)
            if not due:
                break
            if not self._fire(due, at):
                self._stopping.wait(_CONTENTION)
        return self.fired - before

    def _fire(self, due: Sequence[ScheduleRecord], now: float) -> bool:
        """Fire schedules; whether anything was done, and not by others."""
        volleys, done = [], False
        for schedule in due:
            try:
                volleys.append(firing.volley(self._broker, schedule, now))
            except Exception as error:  # whatever is wrong with one schedule is to harm no other
                if isinstance(error, SignatureError) and templates.is_of_other_key(schedule, self._broker.values):
                    raise
                done |= self._give_up(schedule, error)
        for part in _parts(volleys):
            done |= self._fire_together(part, now)
        return done

    def _fire_together(self, volleys: Sequence[Volley], now: float) -> bool:
        try:
            return self._carry_out(volleys, now)
        except Exception as error:
            if _is_of_database(error):
                raise
        # One of them is broken.
        return sum([self._fire_alone(each, now) for each in volleys]) > 0

    def _fire_alone(self, each: Volley, now: float) -> bool:
        try:
            return self._carry_out([each], now)
        except QueueClosedError:
            self._database.retrying(lambda connection: firing.refuse(connection, each.plan, now))
            return True
        except Exception as error:
            if _is_of_database(error):
                raise
            return self._give_up(each.plan.schedule, error)

    def _carry_out(self, volleys: Sequence[Volley], now: float) -> bool:
        def act(connection: Connection) -> tuple[int, int]:
            return firing.carry_out(connection, self._broker, volleys, now)

        done, enqueued = bells.changing(self._database, act, bells.JOBS)
        self.fired += enqueued
        return done > 0

    def _give_up(self, schedule: ScheduleRecord, error: Exception) -> bool:
        """Pause a schedule that cannot be fired, and say why."""
        text = f"{type(error).__name__}: {error}"

        def act(connection: Connection) -> bool:
            return schedules.change(connection, schedule.name, schedule.revision, paused=1, error=text)

        if self._database.retrying(act):
            _log.error("Schedule %r is paused, since it cannot be fired: %s", schedule.name, text)
        return True

    def _sweep(self, now: float) -> None:
        """Forget old firings, and runs that their deployments do not keep, a part at a time."""
        self._swept = now
        for forget in (
            lambda connection: schedules.forget_before(connection, now - _KEEP, 1000),
            lambda connection: retention.remove_old_runs(connection, now, 200),
        ):
            while not self._stopping.is_set() and self._database.retrying(forget):
                pass


def _parts(volleys: Sequence[Volley]) -> Iterator[list[Volley]]:
    """Parts that are a transaction each."""
    part: list[Volley] = []
    jobs = 0
    for each in volleys:
        if part and jobs + len(each.shots) > _MOST_JOBS:
            yield part
            part, jobs = [], 0
        part.append(each)
        jobs += len(each.shots)
    if part:
        yield part


def _is_of_database(error: Exception) -> bool:
    """Whether an error is of the database as a whole, and not of what was to be written."""
    return isinstance(error, StorageError) and type(error) is not StorageError


def serve(database: Database, values: ValueStore, *, ready: Callable[[], None] = lambda: None) -> int:
    """Be a scheduler until SIGTERM or SIGINT; returns how many jobs were enqueued. `ready` is called when it begins."""
    scheduler = Scheduler(database, values)
    with on_signals(scheduler.stop):
        return scheduler.run(ready)
