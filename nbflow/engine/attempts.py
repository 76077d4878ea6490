"""Attempts: handing ready tasks to executors, and taking what they report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nbflow.engine.decide import Failure
from nbflow.engine.frames import no_frame
from nbflow.engine.timers import Timers
from nbflow.model.errors import RunActiveError, StorageError, TaskCancelledError
from nbflow.model.events import OUTPUT, PROGRESS, TASK_STATE
from nbflow.model.ports import Finished, Inputs, Output, Progress, Report, Started, Work
from nbflow.model.states import State
from nbflow.running import limits
from nbflow.running.attempt import error_record, never_begun, restore_error

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.engine.decide import Consequences, Task
    from nbflow.model.records import TaskRecord


class Attempts:
    """The attempts of one run's tasks that are under way."""

    def __init__(self, engine: Engine, random: Callable[[], float]) -> None:
        self._engine = engine
        self._random = random  # for the jitter of retries
        self._last_ticket = 0
        self.timers = Timers(engine)
        self.retries: dict[int, float] = {}  # when tasks are tried again, by seq
        self._running: dict[int, Task] = {}  # by ticket: handed to an executor

    def running(self) -> dict[int, Task]:
        """By seq: the tasks that an executor has. Under the engine's lock."""
        return {task.seq: task for task in self._running.values()}

    def go_on(self, task: Task, known: TaskRecord) -> None:
        """Count the tries and the time of a task on from an earlier execution of the run. Under the engine's lock."""
        engine, spec = self._engine, task.spec
        task.attempts = task.attempts_before = known.attempts
        if engine.continues:
            task.attempts_before = known.attempts_before or 0
        unfinished = known.state in (State.READY, State.RUNNING) and known.attempts > 0
        if spec.kind == "flow":
            still_under_way = engine.continues  # it was left while it waited, which is no new try
            if unfinished and still_under_way:
                task.started_at = known.started_at
        else:
            still_under_way = bool(getattr(engine.executors(spec.executor), "keeps", False))  # and is met again
        if unfinished and still_under_way:
            self._keep_time(task, known)
            task.attempts -= 1
            task.attempts_before = min(task.attempts_before, task.attempts)

    def _keep_time(self, task: Task, known: TaskRecord) -> None:
        if task.spec.expires is None and task.spec.deadline is None:
            return
        since = known.ready_at
        if known.attempts - task.attempts_before > 1:
            since = self._engine.stores.first_ready(self._engine.run, known.seq, task.attempts_before) or since
        self.timers.ready((task,), since)

    def submit(self, task: Task) -> None:
        """Begin the next attempt of a ready task. Not under the lock."""
        engine, spec = self._engine, task.spec
        executor = engine.executors(spec.executor)
        with engine.lock:
            if task.order:
                return  # cancelled meanwhile
            self.retries.pop(task.seq, None)
            self._last_ticket = ticket = self._last_ticket + 1
            task.ticket = ticket
            task.attempts += 1
            task.ready_at = engine.clock.time()
            self._running[ticket] = task
            engine.journal.task(task)
            inputs = task.inputs
            values = tuple([up.value for up in task.sources if up.value is not None])
            given = Inputs(inputs.args, inputs.kwargs, inputs.packed, values)
            expires = task.expires if task.attempts - task.attempts_before <= 1 else None
            work = Work(
                ticket, spec, given, engine.run, task.seq, task.key, task.attempts, spec.timeout, spec.soft_timeout,
                expires, task.deadline, spec.heartbeat_timeout,
            )  # fmt: skip
            self.timers.handed_over(work, executor)
            late = limits.missed(work, task.ready_at) if not getattr(executor, "keeps", False) else None
        if late is not None:
            self.report(never_begun(work, task.ready_at, executor.name, late))
            return
        if executor.inline:
            with no_frame():  # a step's body is no part of the flow function that waits for it
                executor.submit(work)
        else:
            executor.submit(work)

    def report(self, report: Report) -> None:
        """Take what an executor tells about an attempt; what it tells after its end is refused."""
        if self._engine.waiting.broken is not None:
            return  # nothing can be recorded any more, and the run is about to say so
        try:
            self._take(report)
        except (StorageError, RunActiveError):
            return  # the same, a moment earlier: the writer tells the engine

    def _take(self, report: Report) -> None:
        if type(report) is Finished:
            self._finished(report)
            return
        engine = self._engine
        with engine.lock:
            task = self._running.get(report.ticket)
            if task is None:
                return
            if type(report) is Started:
                self.timers.begun(report.ticket)
                task.move(State.RUNNING)
                task.started_at = report.time
                if not self._recorded(task):
                    engine.journal.started(task, report)
                engine.journal.task(task)
                engine.announcer.task(TASK_STATE, task, worker=report.worker)
            elif type(report) is Output:
                if not self._recorded(task):
                    engine.journal.output(task, report)
                engine.announcer.task(OUTPUT, task, stream=report.stream, text=report.text)
            elif type(report) is Progress:
                if report.value is not None:
                    task.progress = report.value
                engine.journal.task(task)
                engine.announcer.task(PROGRESS, task, value=report.value, message=report.message)

    def _finished(self, report: Finished) -> None:
        engine = self._engine
        with engine.lock:
            task = self._running.pop(report.ticket, None)
            if task is None:
                return  # the attempt was given up
            report = self.timers.judged(task, report)
            if task.state is State.READY and report.state is not State.EXPIRED:
                task.move(State.RUNNING)  # an executor need not tell that it started
                task.started_at = report.started_at
            if not self._recorded(task):
                engine.journal.attempt(task, report)
            retry_at = self._retry_time(task, report)
            if retry_at is not None and task.deadline is not None and retry_at >= task.deadline.at:
                report, retry_at = self.timers.past_deadline(task, report), None
            if retry_at is None:
                task.finished_at = report.finished_at
                out = self._settle(task, report)
                engine.note(out)
            else:
                engine.decider.retry(task)
                engine.journal.task(task)
                engine.announcer.task(TASK_STATE, task)
        if retry_at is None:
            engine.release(out.ready)
        else:
            self._retry(task, retry_at)

    def _recorded(self, task: Task) -> bool:
        """Whether whoever runs the task puts its tries on record."""
        return getattr(self._engine.executors(task.spec.executor), "records", False)

    def _settle(self, task: Task, report: Finished) -> Consequences:
        decider = self._engine.decider
        if report.state is State.SUCCEEDED and report.value is not None:
            return decider.succeed(task, report.value)
        record = report.error or error_record(TaskCancelledError(f"{task.key} was cancelled."))
        return decider.fail(task, report.state, Failure(record, report.exception, task))

    def _retry_time(self, task: Task, report: Finished) -> float | None:
        retry, number = task.spec.retry, task.attempts - task.attempts_before
        if number > retry.retries or report.error is None or report.state in (State.CANCELLED, State.EXPIRED):
            return None
        if self._engine.ending.of(task.frame) is not None:
            return None
        error = report.exception or restore_error(report.error)
        if not retry.wants(error, number - 1):
            return None
        return report.finished_at + retry.delay(number, self._random)

    def _retry(self, task: Task, at: float) -> None:
        engine = self._engine
        self.retries[task.seq] = at
        if at <= engine.clock.time():
            self.submit(task)
        elif engine.executors(task.spec.executor).inline:
            engine.clock.call_at(at, lambda: engine.waiting.hand_over(lambda: self.submit(task)))
        else:
            engine.clock.call_at(at, lambda: self.submit(task))
