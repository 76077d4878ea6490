"""How a database stands, asked again and again without costing it much.

What is cheap is asked each time. What has to look at many rows is asked as seldom as it is dear, so that it never takes
more than a small share of the time; each such number carries its age.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nbflow.model.states import FINISHED
from nbflow.queue.overview import known_queues
from nbflow.queue.presence import is_dead
from nbflow.storage import monitoring, queues

if TYPE_CHECKING:
    from nbflow.storage.connection import Connection
    from nbflow.storage.database import Database

T = TypeVar("T")

_SHARE = 100  # a costly look is not repeated before this many times its duration
_RUNS = 12  # latest runs that are shown
_LIVE = 40  # unfinished runs whose tasks are looked at
_RUNNING = 40  # running tasks that are shown
_WINDOW = 4_000  # tasks of a run that are looked at each time
_STRIDES = 3  # windows by which a look goes on at most
_RATES = 120  # values of throughput that are kept
_DAY = 86_400.0
_DONE = frozenset(state.value for state in FINISHED)


class Paced(Generic[T]):
    """A number that is dear to find."""

    def __init__(self, find: Callable[[Connection], T], start: T) -> None:
        self._find = find
        self.value = start
        self.at: float | None = None  # when it was found
        self._next = 0.0

    def look(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        """Find it anew, if that is due."""
        began = clock()
        if began >= self._next:
            self.value = self._find(connection)
            self.at = clock()
            self._next = self.at + (self.at - began) * _SHARE


class Progress:
    """How many tasks of one run are in which state.

    Looks at a window of tasks: the first that is not finished, and those after it. What lies before the window is
    finished and counted once; what lies after it waits as a rule, and is counted by `leap`, now and then.
    """

    def __init__(self, row: monitoring.RunRow) -> None:
        self.run = row.id
        self._owner, self._finished_at = row.owner, row.finished_at
        self.running: list[monitoring.TaskRow] = []
        self.settled = False  # the run is over, and its tasks were counted since
        self._before: tuple[int, Counter[str]] = (1, Counter())  # where the window begins, and what lies before it
        self._now: Counter[str] = Counter()
        self._after: tuple[int, Counter[str]] | None = None  # what lay from there on, when it was counted
        self._last = 0
        self._next = 0.0  # when the next leap is due

    def belongs_to(self, row: monitoring.RunRow) -> bool:
        """Whether the run goes on as it did; one that was resumed has to be counted anew."""
        other = row.owner is not None and self._owner is not None and row.owner != self._owner
        self._owner = row.owner or self._owner
        return not other and not (self.settled and row.finished_at != self._finished_at)

    def look(self, connection: Connection, row: monitoring.RunRow) -> None:
        """Look at the window, which goes on as far as tasks are finished."""
        self._finished_at = row.finished_at
        self._last = last = monitoring.last_task(connection, self.run)
        for _ in range(_STRIDES):
            start, before = self._before
            stop = min(start + _WINDOW, last + 1)
            first = monitoring.first_open_task(connection, self.run, start, stop)
            moved = stop if first is None else first
            if moved == start:
                break
            passed = monitoring.task_states(connection, self.run, start, moved)
            self._before = moved, before + Counter(passed)
        start = self._before[0]
        self._now = Counter(monitoring.task_states(connection, self.run, start, start + _WINDOW))
        self.running = monitoring.running_tasks(connection, self.run, start, start + _WINDOW, limit=_RUNNING)
        self.settled = row.state in _DONE and start > last

    def leap(self, connection: Connection) -> None:
        """Count what lies after the window, if there is anything and it was not done lately."""
        start, before = self._before
        stop = start + _WINDOW
        began = time.monotonic()
        if stop > self._last or began < self._next:
            return
        first = monitoring.first_open_task(connection, self.run, start, self._last + 1) or self._last + 1
        if first > stop:
            passed = monitoring.task_states(connection, self.run, start, first)
            if self._before[0] < first:
                self._before = first, before + Counter(passed)
            stop = first + _WINDOW
        self._after = stop, Counter(monitoring.task_states(connection, self.run, stop, self._last + 1))
        self._next = time.monotonic() + (time.monotonic() - began) * _SHARE

    @property
    def states(self) -> dict[str, int]:
        """Number of tasks by state. Those that were not looked at yet count as pending."""
        start, before = self._before
        found = before + self._now
        unseen = self._last + 1 - (start + _WINDOW)
        if unseen > 0:
            after = self._after[1] if self._after is not None and self._after[0] <= start + _WINDOW else Counter()
            found += after
            found["pending"] += max(0, unseen - after.total())
        return {state: count for state, count in found.items() if count}


class Sampler:
    """Looks at a database. `sample` and `weigh` may be called by two threads, one each."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._progress: dict[str, Progress] = {}
        self._ready: Paced[dict[str, int]] = Paced(monitoring.ready_by_queue, {})
        self._others: Paced[list[tuple[str, str, bool, int]]] = Paced(monitoring.other_jobs, [])
        self._open: Paced[list[monitoring.RunRow]] = Paced(monitoring.open_runs, [])
        self._day: Paced[dict[str, int]] = Paced(self._of_a_day, {})
        self._rates: deque[float] = deque(maxlen=_RATES)
        self._begun: tuple[float, int] | None = None

    def weigh(self) -> None:
        """Find what is dear to find, as far as it is due."""
        with self._database.read() as connection:
            self._others.look(connection)
            self._open.look(connection)
            self._day.look(connection)
            for progress in list(self._progress.values()):
                progress.leap(connection)

    def sample(self) -> dict[str, Any]:
        """How everything stands now, as JSON can hold it."""
        now = self._clock()
        with self._database.read() as connection:
            runs = self._runs(connection)
            found = {
                "now": now,
                "queues": self._queues(connection, now),
                "workers": [_worker(each, now) for each in queues.listed(connection) if not is_dead(each, now)],
                "rates": self._rate(connection, now),
                "runs": runs,
                "running": self._running(connection),
            }
        return {**found, "totals": self._totals(found)}

    def _of_a_day(self, connection: Connection) -> dict[str, int]:
        return monitoring.run_states(connection, self._clock() - _DAY)

    # -- runs -----------------------------------------------------------------------------------------------------

    def _runs(self, connection: Connection) -> list[dict[str, Any]]:
        latest = monitoring.latest_runs(connection, _RUNS)
        known = {row.id for row in latest}
        older = [monitoring.run(connection, row.id) for row in self._open.value[:_LIVE] if row.id not in known]
        shown = [*latest, *[row for row in older if row is not None and row.state not in _DONE]]
        before, progress = self._progress, {}
        for row in shown:
            found = before.get(row.id)
            if found is None or not found.belongs_to(row):
                found = Progress(row)
            if not found.settled:
                found.look(connection, row)
            progress[row.id] = found
        self._progress = progress
        return [_run(row, progress[row.id]) for row in shown]

    def _running(self, connection: Connection) -> list[dict[str, Any]]:
        """Tasks and jobs that run, those that began first before all others."""
        jobs = [job for job in monitoring.running_jobs(connection, _RUNNING) if job.kind != "flow"]
        of_jobs = {(job.run, job.seq) for job in jobs}
        tasks = [task for each in self._progress.values() for task in each.running]
        found = [_job(job) for job in jobs]
        found += [_task(task) for task in tasks if (task.run, task.seq) not in of_jobs]
        return sorted(found, key=lambda each: each["started"] or math.inf)[:_RUNNING]

    # -- queues ---------------------------------------------------------------------------------------------------

    def _queues(self, connection: Connection, now: float) -> list[dict[str, Any]]:
        self._ready.look(connection)
        running = monitoring.running_by_queue(connection)
        others: dict[str, Counter[str]] = {}
        for queue, state, has_time, count in self._others.value:
            what = ("later" if has_time else "held") if state == "pending" else state
            others.setdefault(queue, Counter())[what] += count
        age = max(
            (time.monotonic() - each.at for each in (self._ready, self._others) if each.at is not None), default=0
        )
        return [
            {
                "name": queue.name,
                "state": "paused" if queue.paused else "draining" if queue.draining else "open",
                "priority": queue.priority,
                "ready": self._ready.value.get(queue.name, 0),
                "running": running.get(queue.name, 0),
                "later": others.get(queue.name, Counter())["later"],
                "held": others.get(queue.name, Counter())["held"],
                "failed": sum(others.get(queue.name, Counter())[state] for state in ("failed", "timed_out")),
                "age": round(age) if age > 2 else 0,
            }
            for queue in known_queues(connection, now)
        ]

    def _rate(self, connection: Connection, now: float) -> list[float]:
        """Attempts that were begun in a second, at each of the latest looks."""
        begun = monitoring.attempts_begun(connection)
        if begun is not None:
            if self._begun is not None and now > self._begun[0]:
                self._rates.append(round(max(0, begun - self._begun[1]) / (now - self._begun[0]), 2))
            self._begun = now, begun
        return list(self._rates)

    def _totals(self, found: dict[str, Any]) -> dict[str, Any]:
        jobs = sum(queue["running"] for queue in found["queues"])
        tasks = sum(run["states"].get("running", 0) for run in found["runs"] if run["executor"] != "queue")
        return {
            "running": jobs + tasks,
            "ready": sum(queue["ready"] for queue in found["queues"])
            + sum(
                run["states"].get("ready", 0) + run["states"].get("pending", 0)
                for run in found["runs"]
                if run["executor"] != "queue" and run["state"] not in _DONE
            ),
            "later": sum(queue["later"] + queue["held"] for queue in found["queues"]),
            "failed_jobs": sum(queue["failed"] for queue in found["queues"]),
            "day": self._day.value,
            "busy": sum(worker["busy"] for worker in found["workers"]),
            "places": sum(worker["concurrency"] for worker in found["workers"]),
        }


def _run(row: monitoring.RunRow, progress: Progress) -> dict[str, Any]:
    return {
        "id": row.id,
        "flow": row.flow,
        "state": row.state,
        "executor": row.executor,
        "parameters": json.loads(row.parameters),
        "created": row.created_at,
        "started": row.started_at,
        "finished": row.finished_at,
        "error": f"{row.error_type}: {row.error_message}" if row.error_type else "",
        "states": progress.states,
    }


def _task(row: monitoring.TaskRow) -> dict[str, Any]:
    return {
        "id": f"{row.run}/{row.seq}/{row.attempts}",
        "name": row.key,
        "where": row.run,
        "run": row.run,
        "worker": "",
        "started": row.started_at,
        "progress": row.progress,
        "message": "",
        "attempt": row.attempts,
    }


def _job(row: monitoring.JobRow) -> dict[str, Any]:
    logged = f"{row.run}/{row.seq}" if row.run is not None and row.seq else f"{row.id}/0"
    return {
        "id": f"{logged}/{row.attempt}",
        "name": row.name,
        "where": row.queue,
        "run": row.run if row.seq else None,
        "job": row.id,
        "worker": row.worker or "",
        "started": row.started_at,
        "progress": row.progress,
        "message": row.message or "",
        "attempt": row.attempt,
    }


def _worker(row: Any, now: float) -> dict[str, Any]:
    return {
        "id": row.id,
        "host": row.host,
        "pid": row.pid,
        "state": row.state,
        "queues": json.loads(row.queues),
        "concurrency": row.concurrency,
        "busy": row.busy,
        "done": row.done,
        "started": row.started_at,
        "seen": round(max(0.0, now - row.seen_at)),
    }
