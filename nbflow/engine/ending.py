"""Ending flow functions that do not end by themselves: of a run that is cancelled, of a flow that takes too long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from nbflow.engine.decide import Failure
from nbflow.model.errors import StepTimeoutError, TaskCancelledError, TaskError
from nbflow.model.states import State
from nbflow.running.attempt import error_record

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.engine.decide import Task
    from nbflow.engine.frames import Frame

_RUN = 0  # stands for the run's own flow function, which is no task


class End(NamedTuple):
    """How and why a flow function is ended."""

    state: State  # CANCELLED or TIMED_OUT
    reason: str

    def error(self) -> TaskError:
        """What it is told wherever it calls or waits for something."""
        if self.state is State.TIMED_OUT:
            return StepTimeoutError(self.reason)
        return TaskCancelledError(f"The run was cancelled: {self.reason}")


class Ending:
    """Which flow functions of a run are to end, and with them all that they called."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ends: dict[int, End] = {}  # by seq of the sub-flow
        self._limited: dict[str, float] = {}  # by key: until when flow functions that are being executed may take

    def of(self, frame: Frame | None) -> End | None:
        """Why a flow function, or one around it, is to end; None: it is not."""
        if not self._ends:
            return None
        while frame is not None:
            end = self.under(frame.parent)
            if end is not None:
                return end
            frame = frame.parent.frame if frame.parent is not None else None
        return None

    def under(self, task: Task | None) -> End | None:
        """Why just this sub-flow (None: the run) is to end; whatever its function makes of it, that is its state."""
        return self._ends.get(task.seq if task is not None else _RUN)

    def end(self, end: End, under: Task | None = None) -> None:
        """End every task below a flow function that is not finished; running ones as soon as their executor can."""
        engine = self._engine
        key = under.seq if under is not None else _RUN
        with engine.lock:
            if key in self._ends:
                return
            self._ends[key] = end
            running = engine.attempts.running()
            meant = [task for task in engine.open.values() if self.of(task.frame) is not None]
            for task in meant:
                if task.order or task.seq in running or task.spec.kind == "flow":
                    continue  # a sub-flow ends by itself when its tasks are cancelled
                error = TaskCancelledError(f"{task.key} was cancelled: {end.reason}")
                engine.note(engine.decider.fail(task, State.CANCELLED, Failure(error_record(error), error, task)))
            engine.waiting.wake_all()
        for task in meant:
            if task.seq in running:
                engine.executors(task.spec.executor).cancel(task.ticket)

    def times(self) -> tuple[tuple[float, str], ...]:
        """When the time of the flow functions that are being executed is up, with their keys; "" is the run's own."""
        return tuple((at, key) for key, at in self._limited.items())

    @contextmanager
    def limited(self, name: str, seconds: float | None, began: float, under: Task | None = None) -> Iterator[None]:
        """While this is open, a flow function that `began` at a time is ended once it has taken `seconds` (None: any).

        A run that waits for long, and is suspended, goes on at that time.
        """
        if seconds is None:
            yield
            return
        engine, at = self._engine, began + seconds
        what = under.key if under is not None else f"run {engine.run}"
        end = End(State.TIMED_OUT, f"flow {name!r} took longer than its timeout of {seconds:g} seconds ({what}).")
        if engine.clock.time() >= at:
            self.end(end, under)
        unset = engine.clock.call_at(at, lambda: self.end(end, under))
        key = under.key if under is not None else ""
        with engine.lock:
            self._limited[key] = at
        try:
            with engine.waiting.deadline(at):
                yield
        finally:
            unset()
            with engine.lock:
                del self._limited[key]
