"""`Task`: a handle on one execution of a step."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nbflow.client.attempt import Attempt
from nbflow.model.errors import NbflowError, TaskError
from nbflow.model.names import task_job
from nbflow.model.ports import Ref
from nbflow.model.records import ErrorRecord, LogRecord, StoredValue, TaskRecord
from nbflow.model.states import State
from nbflow.running.attempt import restore_error

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.values.store import ValueStore


class Task:
    """One execution of a step in a run, as it was when this handle was made."""

    def __init__(self, run: Run, record: TaskRecord) -> None:
        self.run = run
        self.record = record

    @property
    def key(self) -> str:
        """Where it stands in the run: "train#2" is the second call of train, "sub#1/train#1" is one of sub-flow sub."""
        return self.record.key

    @property
    def name(self) -> str:
        """Name of the step."""
        return self.record.name

    @property
    def state(self) -> State:
        """What became of it."""
        return State(self.record.state)

    @property
    def duration(self) -> float | None:
        """Seconds that its latest attempt took, or has taken so far; None if it has not started."""
        started, finished = self.record.started_at, self.record.finished_at
        if started is None:
            return None
        return (finished if finished is not None else time.time()) - started

    def result(self) -> Any:
        """Its value. Raises its error if it failed, and TaskError if it has no value yet."""
        record, values = self.record, self.run._values
        if record.state == State.SUCCEEDED:
            payload = self._payload()
            data = values.unseal(payload.result) if payload is not None and payload.result is not None else None
            return values.get(
                StoredValue(record.result_digest or "", record.result_size or 0, record.result_type or "", data,
                            record.result_uri)
            )  # fmt: skip
        raise self.error or TaskError(f"{self.key} is {self.state} and has no result.")

    @property
    def error(self) -> BaseException | None:
        """What it failed with, its own or an input's; None if it did not."""
        if self.record.error_type is None:
            return None
        cause = self if self.record.cause is None else self._sibling(self.record.cause)
        payload = cause._payload()
        return stored_error(self.run._values, payload.error if payload is not None else None, self.record.error_message)

    @property
    def traceback(self) -> str:
        """The traceback of its error, trimmed to the user's code; "" if there is none."""
        payload = self._payload()
        if payload is None or payload.error is None:
            return ""
        values = self.run._values
        return ErrorRecord(*values.get(values.unseal_stored(payload.error))).traceback

    def inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments it was called with, results of other tasks filled in."""
        payload, values = self._payload(), self.run._values
        if payload is None or payload.inputs is None:
            raise TaskError(f"The inputs of {self.key} are stored when it is finished; it is {self.state}.")
        siblings = {task.record.seq: task for task in self.run.tasks()}
        found = [siblings[seq] for seq in json.loads(self.record.upstream)]
        upstream = _Loaded(found, lambda task: values.get(task._stored()))
        args, kwargs = values.unpack(values.unseal_stored(payload.inputs), upstream)

        def resolved(value: Any) -> Any:
            return upstream[value.number] if type(value) is Ref else value

        return tuple(map(resolved, args)), {name: resolved(value) for name, value in (kwargs or {}).items()}

    def debug(self) -> Any:
        """Its exact inputs, to look at and to try things on: for a step of cells, in a namespace of their own.

        For a step that is a function, what `inputs` returns. Raises TaskError if they are not stored (yet).
        """
        args, kwargs = self.inputs()
        if args and hasattr(args[0], "debug") and self.record.kind == "cells":
            return args[0].debug(*args[1:], traceback=self.traceback)
        return args, kwargs

    def attempts(self) -> list[Attempt]:
        """Its tries, in order."""
        return [Attempt(self, record) for record in self.run.attempts() if record.seq == self.record.seq]

    def wait(self, timeout: float | None = None) -> Task:
        """The task when it has finished. Raises TimeoutError after `timeout` seconds, TaskError if its run ended."""
        from nbflow.client import waiting  # imports SQLAlchemy

        return waiting.for_task(self.run, self.key, timeout)

    def cancel(self, reason: str = "cancelled by task.cancel()") -> None:
        """End it, if it is on the queue: at once if it waits there, as soon as its worker can if it runs.

        Raises TaskError for a task of another executor, which ends with its run only.
        """
        from nbflow.queue.broker import Broker  # imports SQLAlchemy

        database, record = self.run._db, self.record
        database.check_writable()
        job = task_job(record.run, record.seq, record.attempts)
        if not self.state.finished and not Broker(database, self.run._values).cancel([job], reason):
            raise TaskError(f"{self.key} is not on the queue, so it cannot be cancelled alone. Cancel its run.")

    def retry(self, **options: Any) -> Run:
        """Run it again if it failed, and what else of its run did not succeed: the same as `run.resume`."""
        return self.run.resume(**options)

    def lineage(self) -> list[Task]:
        """The tasks whose results went into its own, directly or not, in order."""
        every = self.run.tasks()
        before = upstream([task.record for task in every], [self.record.seq])
        return [task for task in every if task.record.seq in before]

    def logs(self) -> list[LogRecord]:
        """What it wrote, in order."""
        from nbflow.storage import logs

        run, seq = self.run.id, self.record.seq
        if self.record.cached_from is not None:  # it wrote when it really ran
            run, _, number = self.record.cached_from.partition("/")
            seq = int(number)
        return self.run._read(lambda connection: logs.read(connection, run, seq=seq))

    def __repr__(self) -> str:
        return f"<task {self.key} of run {self.run.id}: {self.state}>"

    def _sibling(self, seq: int) -> Task:
        return next(task for task in self.run.tasks() if task.record.seq == seq)

    def _payload(self) -> Any:
        from nbflow.storage import tasks

        return self.run._read(lambda connection: tasks.payload(connection, self.run.id, self.record.seq))

    def _stored(self) -> StoredValue:
        payload, record = self._payload(), self.record
        data = self.run._values.unseal(payload.result) if payload is not None and payload.result is not None else None
        return StoredValue(record.result_digest or "", record.result_size or 0, record.result_type or "", data,
                           record.result_uri)  # fmt: skip


class _Loaded(Sequence[Any]):
    """Values of tasks, each loaded when it is looked at: some tasks only came before, and gave no value."""

    def __init__(self, tasks: Sequence[Task], load: Callable[[Task], Any]) -> None:
        self._tasks = tasks
        self._load = functools.cache(load)

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, number: Any) -> Any:
        return self._load(self._tasks[number])


def upstream(every: Iterable[TaskRecord], seqs: Iterable[int]) -> set[int]:
    """The tasks of a run whose results went into those of some of them, directly or not."""
    needs = {record.seq: json.loads(record.upstream) for record in every}
    found: set[int] = set()
    open_ = [need for seq in seqs for need in needs.get(seq, ())]
    while open_:
        seq = open_.pop()
        if seq not in found:
            found.add(seq)
            open_ += needs.get(seq, ())
    return found


def stored_error(values: ValueStore, blob: bytes | None, message: str | None) -> BaseException | None:
    """The exception of a stored error; of its message alone if that is all there is."""
    if blob is not None:
        return restore_error(ErrorRecord(*values.get(values.unseal_stored(blob))))
    return NbflowError(message) if message is not None else None
