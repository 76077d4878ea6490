"""What follows from what: tasks, their dependencies, and the consequences of each outcome.

No I/O, no threads, no clock: tasks in, consequences out. Callers hold the engine's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbflow.model.states import State, check_move

if TYPE_CHECKING:
    from nbflow.engine.barriers import Waiter
    from nbflow.engine.frames import Frame
    from nbflow.model.ports import Due, Inputs
    from nbflow.model.records import ErrorRecord, StoredValue
    from nbflow.model.specs import StepSpec


class Failure:
    """Why a task has no value. Tasks that were skipped because of it share the one object."""

    __slots__ = ("cause", "exception", "looked_at", "record")

    def __init__(self, record: ErrorRecord, exception: BaseException | None, cause: Task) -> None:
        self.record = record
        self.exception = exception  # the live one, if it was raised in this process
        self.cause = cause  # the task that failed first; the others only pass its error on
        self.looked_at = False  # the flow function has met it


class Task:
    """One execution of a step in a live run."""

    __slots__ = (
        "attempts",
        "attempts_before",
        "cached_from",
        "code_digest",
        "created_at",
        "deadline",
        "dependents",
        "encoding",
        "expires",
        "failure",
        "finished_at",
        "frame",
        "given",
        "input_digest",
        "inputs",
        "key",
        "note",
        "order",
        "position",
        "progress",
        "ready_at",
        "seq",
        "spec",
        "started_at",
        "state",
        "stored",
        "ticket",
        "upstream",
        "value",
        "waiters",
        "waiting",
    )

    def __init__(
        self,
        seq: int,
        key: str,
        spec: StepSpec,
        inputs: Inputs,
        upstream: tuple[Task, ...],
        *,
        frame: Frame | None = None,
        position: int = 0,
        code_digest: str = "",
        encoding: bytes = b"",
        created_at: float = 0.0,
        given: int | None = None,
    ) -> None:
        self.seq = seq
        self.key = key
        self.spec = spec
        self.inputs = inputs
        self.upstream = upstream
        self.given = len(upstream) if given is None else given  # so many of them give values; the others come before it
        self.note: str | None = None  # why it is not run, if that is not an error
        self.frame = frame  # the execution of a flow function that made the call
        self.position = position  # of the call in its flow function, from 1
        self.code_digest = code_digest
        self.encoding = encoding  # canonical form of the arguments, without the values of upstream tasks
        self.input_digest: str | None = None
        self.state = State.PENDING
        self.waiting = 0  # upstream tasks that have not finished
        self.dependents: list[Task] | None = None  # None saves memory in wide fan-outs
        self.order = 0  # position among the finished tasks of the run, from 1
        self.value: StoredValue | None = None
        self.failure: Failure | None = None
        self.waiters: list[Waiter] | None = None
        self.attempts = 0
        self.attempts_before = 0  # of those, how many belong to executions before the run was resumed
        self.ticket = 0  # of the current attempt; reports of other tickets are refused
        self.progress: float | None = None
        self.cached_from: str | None = None
        self.stored = False  # the database has it as it is, from an earlier execution
        self.created_at = created_at
        self.ready_at: float | None = None
        self.expires: Due | None = None  # these two of tasks that have such limits, once they are ready
        self.deadline: Due | None = None
        self.started_at: float | None = None
        self.finished_at: float | None = None

    def __repr__(self) -> str:
        return f"<Task {self.key} {self.state}>"

    @property
    def parent(self) -> Task | None:
        """The sub-flow that made the call; None for the run's own flow."""
        return self.frame.parent if self.frame is not None else None

    @property
    def sources(self) -> tuple[Task, ...]:
        """The upstream tasks whose values are among its arguments."""
        return self.upstream[: self.given]

    @property
    def finished(self) -> bool:
        """Whether nothing more will become of the task."""
        return self.order > 0

    def move(self, state: State) -> None:
        """Go to `state`, if the table of states allows it."""
        check_move(self.state, state, f"task {self.key}")
        self.state = state


class Consequences:
    """What an event leads to: tasks that may run now, and tasks that are finished by it."""

    __slots__ = ("ready", "settled")

    def __init__(self) -> None:
        self.ready: list[Task] = []
        self.settled: list[Task] = []


class Decider:
    """The dependencies of one run. Everything that changes them goes through here."""

    def __init__(self) -> None:
        self._finished = 0

    def admit(self, task: Task) -> Consequences:
        """Take a new task: it is ready, waits, or is skipped since an input has failed already."""
        out = Consequences()
        failed = [up for up in task.upstream if up.failure is not None]
        if failed:
            self._skip(task, min(failed, key=_finish_order), out)
            return out
        for up in task.upstream:
            if not up.order:
                task.waiting += 1
                if up.dependents is None:
                    up.dependents = []
                up.dependents.append(task)
        if not task.waiting:
            task.state = State.READY
            out.ready.append(task)
        return out

    def leave_out(self, task: Task, why: str) -> Consequences:
        """Take a task that is not to run, whatever became of those before it: its branch was not taken."""
        out = Consequences()
        task.move(State.SKIPPED)
        task.note = why
        self._settle(task, out)
        return out

    def succeed(self, task: Task, value: StoredValue) -> Consequences:
        """Settle a task with its value; tasks that waited for nothing else become ready."""
        task.move(State.SUCCEEDED)
        task.value = value
        out = Consequences()
        self._settle(task, out)
        for dependent in _take_dependents(task):
            dependent.waiting -= 1
            if not dependent.waiting and dependent.state is State.PENDING:
                dependent.state = State.READY
                out.ready.append(dependent)
        return out

    def fail(self, task: Task, state: State, failure: Failure) -> Consequences:
        """Settle a task without a value; whatever needs it is skipped, and passes the error on."""
        task.move(state)
        task.failure = failure
        out = Consequences()
        self._settle(task, out)
        self._skip_dependents([task], out)
        return out

    def retry(self, task: Task) -> None:
        """A failed attempt is to be followed by another."""
        task.move(State.READY)

    def _skip(self, task: Task, up: Task, out: Consequences) -> None:
        task.move(State.SKIPPED)
        task.failure = up.failure
        self._settle(task, out)

    def _skip_dependents(self, failed: list[Task], out: Consequences) -> None:
        # A stack of its own, since chains of tasks are longer than Python's.
        queue = deque(failed)
        while queue:
            up = queue.popleft()
            for dependent in _take_dependents(up):
                if not dependent.order:
                    self._skip(dependent, up, out)
                    queue.append(dependent)

    def _settle(self, task: Task, out: Consequences) -> None:
        self._finished += 1
        task.order = self._finished
        out.settled.append(task)


def earliest_failure(tasks: Iterable[Task]) -> Task | None:
    """The task that failed first among `tasks`, or None if none failed."""
    return min((task for task in tasks if task.failure is not None), key=_finish_order, default=None)


def _finish_order(task: Task) -> int:
    return task.order


def _take_dependents(task: Task) -> list[Task]:
    dependents, task.dependents = task.dependents, None
    return dependents or []
