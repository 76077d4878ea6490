"""Why something is not done: what a job, a task or a run waits for, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from nbflow.client import why_job, why_task
from nbflow.client.run import Run
from nbflow.client.task import Task
from nbflow.model.errors import ConfigError
from nbflow.queue.job import Job

if TYPE_CHECKING:
    from nbflow.client.reasons import Reason
    from nbflow.storage.database import Database


@dataclass(frozen=True, slots=True)
class Why:
    """What something waits for; shown as text. Empty for what nothing keeps."""

    subject: str  # "job 01h2... (train)"
    state: str
    reasons: tuple[Reason, ...] = field(default=())

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the reasons, in order."""
        return tuple(reason.kind for reason in self.reasons)

    def __iter__(self) -> Iterator[Reason]:
        return iter(self.reasons)

    def __len__(self) -> int:
        return len(self.reasons)

    def __str__(self) -> str:
        return "\n".join([f"{self.subject}: {self.state}.", *(f"- {reason.text}" for reason in self.reasons)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(reason.text)}</li>" for reason in self.reasons)
        return f"<div><b>{escape(self.subject)}</b>: {escape(self.state)}.<ul>{items}</ul></div>"


def why(what: Run | Task | Job | Any, database: Database, now: float) -> Why:
    """Why a run, a task or a job has not finished, as of `now`; how it ended if it has.

    Raises RunNotFoundError or JobNotFoundError if there is none, ConfigError for what is neither.
    """
    if isinstance(what, Job):
        record = what.record
        with database.read() as connection:
            found = why_job.reasons(connection, record, now)
        return Why(f"job {record.id} ({record.name})", record.state, tuple(found))
    if isinstance(what, Task):
        with database.read() as connection:
            task, found = why_task.of_task(connection, what.run.id, what.record.seq, now)
        return Why(f"task {task.key} of run {task.run}", task.state, tuple(found))
    if isinstance(what, Run):
        with database.read() as connection:
            run, found = why_task.of_run(connection, what.id, now)
        return Why(f"run {run.id} ({run.flow})", run.state, tuple(found))
    raise ConfigError(f"{what!r} is no run, task or job. Give a handle of one, or its id.")
