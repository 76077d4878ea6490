"""Suspending a run on a worker: flow functions that wait for long are left, and replayed when there is news."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nbflow.running import context

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.model.ports import Executor


_CROWDED = 0.2  # seconds without any news after which a run is left where many wait


class Suspended(BaseException):
    """Leaves the flow functions of a run; a BaseException, so that `except Exception` in them lets it through."""

    def __init__(self, until: float | None, wakes: int | None, ends: tuple[tuple[float, str], ...] = ()) -> None:
        super().__init__("the run is suspended")
        self.until = until  # when to go on at the latest, in seconds since 1970; None: when it is woken
        self.ends = ends  # when the time of its flow functions is up, with their keys; "" is the run's own
        self.wakes = wakes  # how often it had been woken when it looked last


class Suspender:
    """Decides whether a run may be suspended."""

    def __init__(self, engine: Engine, patience: float) -> None:
        self._patience = patience  # seconds without any news
        self._engine = engine
        self._considering = threading.Lock()

    @property
    def patience(self) -> float:
        """Seconds without any news after which the run is left; few if the worker has too many that wait."""
        attempt = context.current()
        return min(self._patience, _CROWDED) if attempt is not None and attempt.crowded else self._patience

    def consider(self) -> None:
        """Suspend the run if all of it waits for what goes on without this process."""
        # One thread at a time: another that thinks better of it lets executors go on, and they would take news from
        # the database that a run which is suspended by then does not hear any more.
        if self._considering.acquire(blocking=False):
            try:
                self._consider()
            finally:
                self._considering.release()

    def _consider(self) -> None:
        engine = self._engine
        with engine.lock:
            before = engine.last_news
            quiet = engine.clock.time() - before >= self.patience and self._all_wait()
        if not quiet:
            return
        executors = [executor for executor in engine.started() if getattr(executor, "keeps", False)]
        try:
            answers = [_quiesced(executor) for executor in executors]  # each of them is asked
            # The wakes were counted while they answered: a signal that came before is seen here, a later one wakes.
            if all(answers) and not engine.waiting.is_over():
                self._suspend(executors, before)
        finally:
            if engine.waiting.broken is None:
                for executor in executors:
                    if hasattr(executor, "go_on"):
                        executor.go_on()

    def _suspend(self, executors: list[Executor], before: float) -> None:
        """Leave the flow functions, unless something has happened since."""
        engine = self._engine
        wakes = next((executor.wakes for executor in executors if hasattr(executor, "wakes")), None)
        with engine.lock:
            if engine.last_news == before and self._all_wait() and engine.waiting.broken is None:
                engine.waiting.broken = Suspended(engine.next_time(), wakes, engine.ending.times())
                engine.waiting.wake_all()

    def _all_wait(self) -> bool:
        """Whether every flow function waits, and every task that runs does so elsewhere. Under the lock."""
        engine = self._engine
        if engine.waiting.count() < engine.bodies:
            return False
        return all(getattr(executor, "keeps", False) for executor in engine.busy())


def _quiesced(executor: Executor) -> bool:
    return bool(executor.quiesce()) if hasattr(executor, "quiesce") else False
