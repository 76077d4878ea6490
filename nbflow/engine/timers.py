"""When tasks have to begin, and to be over: counted from when they became ready, by the engine's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from nbflow.model.ports import Due, Finished, Work
from nbflow.model.states import State
from nbflow.running import limits
from nbflow.running.failure import error_record, restore_error

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.engine.decide import Task
    from nbflow.model.ports import Executor


class Timers:
    """The limits in time of one run's tasks. What an attempt does with them is for `running.limits`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[int, tuple[Work, Callable[[], None]]] = {}  # by ticket: what has not begun, that may lapse

    def ready(self, tasks: Iterable[Task], since: float | None = None) -> None:
        """Have the time of tasks begin that are ready: `since` then (seconds since 1970; None: now)."""
        for task in tasks:
            spec = task.spec
            if spec.expires is None and spec.deadline is None:
                continue
            if task.expires is None and task.deadline is None:
                base = since if since is not None else self._engine.clock.time()
                task.expires = Due(base + spec.expires, spec.expires) if spec.expires is not None else None
                task.deadline = Due(base + spec.deadline, spec.deadline) if spec.deadline is not None else None

    def handed_over(self, work: Work, executor: Executor) -> None:
        """Take an attempt back from an executor that does not begin it in time. Under the lock."""
        due = [due.at for due in (work.expires, work.deadline) if due is not None]
        if not due or getattr(executor, "keeps", False):
            return  # such an executor takes care of that, whether this process lives or not

        def lapse() -> None:
            withdraw: Callable[[int], object] = getattr(executor, "withdraw", executor.cancel)
            if work.ticket in self._waiting:
                withdraw(work.ticket)

        self._waiting[work.ticket] = work, self._engine.clock.call_at(min(due), lapse)

    def begun(self, ticket: int) -> Work | None:
        """An attempt has begun, or ended before: returns it if it had not begun until now. Under the lock."""
        work, unset = self._waiting.pop(ticket, (None, None))
        if unset is not None:
            unset()
        return work

    def judged(self, task: Task, report: Finished) -> Finished:
        """The last report of an attempt, which tells of one that did not begin in time why that was. Under the lock."""
        work = self.begun(report.ticket)
        late = limits.missed(work, self._engine.clock.time()) if work is not None else None
        if late is None or report.state is not State.CANCELLED or self._engine.ending.of(task.frame) is not None:
            return report
        state, error = late
        return report._replace(state=state, error=error_record(error), exception=error)

    def past_deadline(self, task: Task, report: Finished) -> Finished:
        """The last report of a task whose next try would come after its deadline."""
        deadline, error = task.deadline, report.error
        if deadline is None or error is None:
            return report
        if report.state is State.TIMED_OUT and report.finished_at >= deadline.at:
            return report  # it says so
        more = f" before its next try; the last one ended with {error.type}: {error.message}"
        late = limits.deadline_error(task.spec.name, task.key, deadline, more)
        late.__cause__ = report.exception or restore_error(error)
        return report._replace(state=State.TIMED_OUT, error=error_record(late), exception=late)
