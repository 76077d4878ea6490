"""Waiting for a run of other processes, and showing meanwhile what its steps show."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from nbflow import settings
from nbflow.engine import detached
from nbflow.model.errors import RunFailedError, TaskError
from nbflow.model.ports import Output
from nbflow.model.records import LogRecord
from nbflow.running import context
from nbflow.running.echo import echo
from nbflow.storage import bells, logs
from nbflow.storage.connection import Connection

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.client.task import Task
    from nbflow.storage.database import Database

_POLL = 0.05  # seconds between looks at a run of which no bell tells
_LOOK = 1.0  # seconds between looks at a run on the queue
_SKEW = 5.0  # seconds by which the clocks of workers may differ


class Tail:
    """The output of a run, each piece once, as it is stored."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._latest = 0.0
        self._seen: dict[tuple[int, int, int], float] = {}  # (seq, attempt, number): time; the late ones only

    def read(self, connection: Connection) -> list[LogRecord]:
        """What was not read yet, in order of time."""
        since = self._latest - _SKEW
        found = [
            record
            for record in logs.read(connection, self._run, after=since)
            if (record.seq, record.attempt, record.number) not in self._seen
        ]
        self._seen.update({(record.seq, record.attempt, record.number): record.time for record in found})
        self._latest = max([self._latest, *(record.time for record in found)])
        self._seen = {key: at for key, at in self._seen.items() if at > self._latest - _SKEW}
        return found


def wait(run: Run, database: Database, timeout: float | None) -> None:
    """Return when a run has finished; what its steps write is shown until then, unless the setting `echo` is off.

    Inside of a job its place is lent to others meanwhile. Raises TimeoutError, and RunFailedError if nobody will go
    on with the run.
    """
    if run.state.finished:
        return
    attempt = context.current()
    with attempt.waiting() if attempt is not None and attempt.job is not None else nullcontext():
        _until_finished(run, database, timeout)


def _until_finished(run: Run, database: Database, timeout: float | None) -> None:
    tail = Tail(run.id) if settings.current().echo else None
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    pause = _LOOK if run.record.executor == "queue" else _POLL
    bell = bells.listen(database, bells.NEWS)
    try:
        while True:
            finished = run.state.finished  # before the output is read, so that none is missed
            if tail is not None:
                show(database.retrying(tail.read, write=False))
            if finished:
                return
            if run.interrupted:
                why = detached.trouble(database, run.id)
                raise RunFailedError(
                    f"Run {run.id} was interrupted{f' ({why})' if why else ''}. Go on with run.resume() or "
                    f"nbflow resume {run.id}."
                )
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Run {run.id} is still {run.state} after {timeout:g} seconds.")
            bells.wait(bell, min(left, pause))
    finally:
        bell.close()


def for_task(run: Run, key: str, timeout: float | None) -> Task:
    """Return a task of a run when it has finished. Raises TimeoutError; TaskError if its run ended and it did not."""
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    bell = bells.listen(run._db, bells.NEWS)
    try:
        while True:
            over = run.state.finished or run.interrupted  # before the task is read
            task = run[key]
            if task.state.finished:
                return task
            if over:
                raise TaskError(f"{key} will not finish: run {run.id} is not executed. Go on with run.resume().")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{key} is still {task.state} after {timeout:g} seconds.")
            bells.wait(bell, min(left, _POLL))
    finally:
        bell.close()


def show(records: list[LogRecord]) -> None:
    """Show stored output in this process: in a notebook under the cell that runs, else on its streams."""
    for record in records:
        echo(Output(0, record.time, record.stream, record.text))
