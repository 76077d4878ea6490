"""`Attempt`: a handle on one try of a task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nbflow.model.records import AttemptRecord, LogRecord
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.client.task import Task


class Attempt:
    """One try of a task, as it was when this handle was made. It has the attributes of its record."""

    def __init__(self, task: Task, record: AttemptRecord) -> None:
        self.task = task
        self.record = record

    @property
    def state(self) -> State:
        """What became of it."""
        return State(self.record.state)

    @property
    def duration(self) -> float | None:
        """Seconds that it took, or has taken so far; None if it has not started."""
        started, finished = self.record.started_at, self.record.finished_at
        if started is None:
            return None
        return (finished if finished is not None else time.time()) - started

    @property
    def error(self) -> str | None:
        """Type and message of what it failed with; None if it did not. The exception itself is the task's, of the last.

        The process that died under it counts as an error as well.
        """
        record = self.record
        if record.error_type is None:
            return record.exit
        return f"{record.error_type.rpartition('.')[2]}: {record.error_message}"

    def logs(self) -> list[LogRecord]:
        """What it wrote, in order."""
        return [line for line in self.task.logs() if line.attempt == self.record.number]

    def output(self) -> str:
        """What it printed, as text."""
        return "".join([line.text for line in self.logs() if line.stream in ("stdout", "stderr")])

    def __getattr__(self, name: str) -> Any:
        if name in AttemptRecord._fields:
            return getattr(self.record, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<attempt {self.record.number} of task {self.task.key}: {self.state}>"
