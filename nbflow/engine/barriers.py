"""Waiting: how a flow function, or the thread that lends itself to an executor, waits for tasks."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from nbflow.engine.frames import no_frame
from nbflow.engine.placeholders import Placeholder, is_placeholder, task_of
from nbflow.running import context

if TYPE_CHECKING:
    from nbflow.engine.decide import Task
    from nbflow.engine.frames import Frame
    from nbflow.engine.suspending import Suspender
    from nbflow.model.ports import Clock, Executor


_LOOK = 0.5  # seconds between looks how long a run that waits may stay


class Waiter:
    """One thread that waits, and for how many tasks more."""

    __slots__ = ("event", "missing")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.missing = 0


class Waiting:
    """Threads that wait for something in one run. Shares the engine's lock."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiters: set[Waiter] = set()
        self._due: deque[Callable[[], None]] = deque()
        self.broken: BaseException | None = None
        self.suspender: Suspender | None = None  # where a run is left that waits for long
        self.deadlines: list[float] = []  # times that flow functions wait for
        self._conditions: list[Callable[[], bool]] = []  # what they wait for and nobody tells

    def count(self) -> int:
        """How many threads wait, those that were called not counted. Under the lock."""
        return sum(not waiter.event.is_set() for waiter in self._waiters)

    def finished(self, task: Task) -> None:
        """Tell those who wait for a task that it is finished. Under the lock."""
        if task.waiters is not None:
            for waiter in task.waiters:
                waiter.missing -= 1
                if waiter.missing <= 0:  # not before: a thread that waits for thousands is woken once
                    waiter.event.set()
            task.waiters = None

    def wake_all(self) -> None:
        """Let every waiting thread look again. Under the lock."""
        for waiter in self._waiters:
            waiter.event.set()

    def hand_over(self, action: Callable[[], None]) -> None:
        """Let a waiting thread do `action`."""
        with self._lock:
            self._due.append(action)
            self.wake_all()

    def for_tasks(self, tasks: Sequence[Task], wanted: int, executor: Executor) -> None:
        """Return when at least `wanted` of `tasks` are finished."""
        waiter = Waiter()
        with self._lock:
            unfinished = [task for task in tasks if not task.order]
            waiter.missing = wanted - (len(tasks) - len(unfinished))
            if waiter.missing <= 0:
                return
            for task in unfinished:
                if task.waiters is None:
                    task.waiters = [waiter]
                else:
                    task.waiters.append(waiter)
        self._until(lambda: waiter.missing <= 0, waiter, executor)

    def for_all_of(self, frame: Frame, executor: Executor) -> None:
        """Return when every task that a flow function called is finished."""
        self._until(lambda: not frame.open, Waiter(), executor)

    @contextmanager
    def deadline(self, time: float | None) -> Iterator[None]:
        """While this is open, a suspended run goes on at a time (seconds since 1970) at the latest."""
        if time is None:
            yield
            return
        with self._lock:
            self.deadlines.append(time)
        try:
            yield
        finally:
            with self._lock:
                self.deadlines.remove(time)

    def for_time(self, time: float, clock: Clock, executor: Executor, stop: Callable[[], bool]) -> None:
        """Return at a time (seconds since 1970), or when `stop()` is true."""
        waiter = Waiter()
        unset = clock.call_at(time, waiter.event.set)
        try:
            with self.deadline(time):
                self._until(lambda: clock.time() >= time or stop(), waiter, executor)
        finally:
            unset()

    def for_condition(self, check: Callable[[], bool], pause: float, executor: Executor) -> None:
        """Return when `check()` is true, which is asked every `pause` seconds."""
        waiter = Waiter()
        found = False

        def done() -> bool:
            return found

        with self._lock:
            self._conditions.append(check)
        try:
            while not (found := check()):
                self._until(done, waiter, executor, once=pause)
        finally:
            with self._lock:
                self._conditions.remove(check)

    def is_over(self) -> bool:
        """Whether a condition has come true that somebody waits for. Not under the lock."""
        with self._lock:
            conditions = list(self._conditions)
        return any(check() for check in conditions)

    def _until(
        self, done: Callable[[], bool], waiter: Waiter, executor: Executor, *, once: float | None = None
    ) -> None:
        """Wait for `done`; with `once` for so many seconds only."""
        try:
            while True:
                with self._lock:
                    if done():
                        return
                    if self.broken is not None:
                        raise self.broken
                    self._waiters.add(waiter)
                    due = list(self._due)
                    self._due.clear()
                for action in due:
                    action()
                if due or (executor.inline and _help(executor, done)):
                    continue
                self._sleep(waiter, once, executor)
                if once is not None:
                    return
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _sleep(self, waiter: Waiter, seconds: float | None, executor: Executor) -> None:
        """Wait until the waiter is called; on a worker the place is lent to other jobs, and the run may be left."""
        attempt = context.current()
        on_worker = attempt is not None and attempt.job is not None
        if on_worker and hasattr(executor, "sent"):
            executor.sent()  # else the place would be taken by what came later than its tasks
        with attempt.waiting() if attempt is not None and on_worker else nullcontext():
            called = self._is_called(waiter, seconds)
            if called:  # else it may be called just now
                waiter.event.clear()
        if not called and self.suspender is not None:
            self.suspender.consider()

    def _is_called(self, waiter: Waiter, seconds: float | None) -> bool:
        """Wait until the waiter is called, at most so long, or until the run may be left; whether it was called."""
        if self.suspender is None:
            return waiter.event.wait(seconds)
        waited = 0.0
        while True:
            patience = self.suspender.patience  # it changes once the worker is crowded
            pause = min(_LOOK, (patience if seconds is None else min(patience, seconds)) - waited)
            if pause <= 0.0:
                return False
            if waiter.event.wait(pause):
                return True
            waited += pause


def _help(executor: Executor, done: Callable[[], bool]) -> bool:
    with no_frame():
        return executor.help(done)


def wait(frame: Frame, value: Any) -> Any:
    """`value`, with every placeholder in it awaited and replaced by its value."""
    return value.__wrapped__ if is_placeholder(value) else frame.resolve(value)


def first(frame: Frame, values: Sequence[Any]) -> Any:
    """The one of `values` that finished first, still as a placeholder; waits for one if none has."""
    tasks = _tasks(values)

    def choose() -> int:
        if len(tasks) < len(values):
            return next(n for n, value in enumerate(values) if not is_placeholder(value))
        frame.engine.wait(tasks, at_least=1)
        return min(range(len(tasks)), key=lambda n: tasks[n].order or float("inf"))

    chosen = values[frame.record("first", choose)]
    frame.engine.wait(_tasks([chosen]))
    return chosen


def finish_order(frame: Frame, values: Sequence[Any]) -> list[Any]:
    """`values` in the order in which they finished; those that have not come last."""

    def choose() -> list[int]:
        return sorted(range(len(values)), key=lambda n: _finished(values[n]))

    return [values[n] for n in frame.record("finish_order", choose)]


def parallel_reduce(frame: Frame, function: Callable[[Any, Any], Any], values: Iterable[Any]) -> Any:
    """Combine `values` by a step that takes two, whichever two are ready, until one is left."""
    pool = list(values)
    if not pool:
        raise ValueError("parallel_reduce() of no values: pass at least one.")
    while len(pool) > 1:
        left, right = frame.record("parallel_reduce", functools.partial(_two_ready, frame, pool))
        pair = pool[left], pool[right]
        pool = [value for n, value in enumerate(pool) if n not in (left, right)]
        pool.append(function(*pair))
    return pool[0]


def _two_ready(frame: Frame, pool: list[Any]) -> tuple[int, int]:
    tasks = _tasks(pool)
    wanted = 2 - (len(pool) - len(tasks))
    if wanted > 0:
        frame.engine.wait(tasks, at_least=wanted)
    ready = sorted(range(len(pool)), key=lambda n: _finished(pool[n]))[:2]
    return min(ready), max(ready)  # the earlier one stays on the left, for functions that are not commutative


def _tasks(values: Iterable[Any]) -> tuple[Task, ...]:
    return tuple(task_of(value) for value in values if type(value) is Placeholder)


def _finished(value: Any) -> float:
    if not is_placeholder(value):
        return 0
    return task_of(value).order or float("inf")
