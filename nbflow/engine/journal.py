"""A live run's changes as records for the database."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from nbflow.engine.versions import error_bytes
from nbflow.model.records import (
    AttemptRecord,
    CacheRecord,
    EventRecord,
    LogRecord,
    PayloadRecord,
    StoredValue,
    TaskRecord,
)

if TYPE_CHECKING:
    from nbflow.engine.decide import Task
    from nbflow.model.ports import Finished, Output, Started
    from nbflow.model.records import ErrorRecord
    from nbflow.storage.writer import Writer
    from nbflow.values.store import ValueStore


class Journal:
    """Puts what happens to tasks into the database, without waiting for it."""

    def __init__(self, run: str, writer: Writer, values: ValueStore) -> None:
        self._run = run
        self._put = writer.put
        self._values = values
        self._logs: dict[tuple[int, int], int] = {}  # (seq, attempt) -> pieces of output so far

    def task(self, task: Task) -> None:
        """Store the present state of a task."""
        value, failure = task.value, task.failure
        error = failure.record if failure is not None else None
        spec = task.spec
        self._put(
            TaskRecord(
                self._run,
                task.seq,
                task.key,
                spec.name,
                spec.kind,
                task.state.value,
                task.parent.seq if task.parent is not None else None,
                task.position,
                _seqs(task.upstream),
                task.code_digest,
                task.input_digest,
                json.dumps(spec.tags) if spec.tags else "",
                task.created_at,
                task.ready_at,
                task.started_at,
                task.finished_at,
                task.attempts,
                task.progress,
                value.digest if value is not None else None,
                value.size if value is not None else None,
                value.type if value is not None else None,
                value.uri if value is not None else None,
                error.type if error is not None else None,
                error.message if error is not None else task.note,
                failure.cause.seq if failure is not None and failure.cause is not task else None,
                task.cached_from,
                task.attempts_before or None,
            ),
        )

    def settled(self, task: Task) -> None:
        """Store a finished task with its payloads."""
        value, failure = task.value, task.failure
        own_error = failure.record if failure is not None and failure.cause is task else None
        result = value.data if value is not None else None
        if result is not None:
            result = self._values.seal(result)
        self._put(PayloadRecord(self._run, task.seq, self._inputs(task), result, self._error(own_error)))
        self.task(task)

    def moved(self, record: TaskRecord, position: int) -> None:
        """Store that a task of an earlier execution is now called elsewhere, or (0) not any more."""
        self._put(record._replace(position=position))

    def started(self, task: Task, report: Started) -> None:
        """Store that an attempt runs."""
        queued = task.ready_at if task.ready_at is not None else report.time
        self._put(
            AttemptRecord(
                self._run, task.seq, task.attempts, "running", queued, report.time, None,
                report.worker, report.pid, None, None, None, None, None,
            ),
        )  # fmt: skip

    def attempt(self, task: Task, report: Finished) -> None:
        """Store how an attempt ended."""
        error = report.error
        queued = task.ready_at if task.ready_at is not None else report.started_at
        self._put(
            AttemptRecord(
                self._run, task.seq, task.attempts, report.state.value, queued, report.started_at, report.finished_at,
                report.worker, report.pid, report.cpu_seconds, report.peak_memory, report.exit,
                error.type if error is not None else None, error.message if error is not None else None,
            ),
        )  # fmt: skip

    def output(self, task: Task, report: Output) -> None:
        """Store a piece of a task's output."""
        slot = (task.seq, task.attempts)
        number = self._logs[slot] = self._logs.get(slot, 0) + 1
        self._put(LogRecord(self._run, task.seq, task.attempts, number, report.time, report.stream, report.text))

    def cached(self, task: Task, key: str, value: StoredValue, now: float, lifetime: float | None) -> None:
        """Store a result for later runs."""
        data = self._values.seal(value.data) if value.data is not None else None
        expires = now + lifetime if lifetime is not None else None
        self._put(
            CacheRecord(key, self._run, task.seq, now, expires, value.digest, value.size, value.type, data, value.uri),
        )

    def event(self, time: float, kind: str, seq: int | None, data: dict[str, Any]) -> None:
        """Store an event that no other table tells."""
        self._put(EventRecord(uuid.uuid4().hex, self._run, time, kind, seq, json.dumps(data)))

    def _inputs(self, task: Task) -> bytes | None:
        inputs = task.inputs
        stored = inputs.packed
        if stored is None:
            stored = self._values.put((inputs.args, inputs.kwargs), "arguments")
        return self._values.seal_stored(stored)

    def _error(self, error: ErrorRecord | None) -> bytes | None:
        return error_bytes(self._values, error) if error is not None else None


def _seqs(tasks: tuple[Task, ...]) -> str:
    if not tasks:
        return "[]"
    return "[" + ",".join([str(task.seq) for task in tasks]) + "]"
