"""What the jobs of a run tell, taken from the database as reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nbflow.model.jobs import JobRecord
from nbflow.model.ports import Finished, Output, Progress, Report, Started, Work
from nbflow.model.records import AttemptRecord, ErrorRecord, LogRecord, StoredValue
from nbflow.model.states import State
from nbflow.storage import attempts, jobs, logs
from nbflow.storage.connection import Connection
from nbflow.values.store import ValueStore


class Taken(NamedTuple):
    """What is new."""

    reports: list[Report]
    ended: list[tuple[str, Finished]]  # (job, last report)


class Taker:
    """Follows the jobs of one run."""

    def __init__(self, run: str, values: ValueStore) -> None:
        self._run = run
        self._values = values
        self._started: set[str] = set()  # jobs
        self._told: dict[str, tuple[float | None, str | None]] = {}  # progress by job
        self._lines: dict[str, int] = {}  # pieces of output taken, by job

    def look(self, connection: Connection, open_: Mapping[str, Work]) -> Taken:
        """What became of open jobs since the last look."""
        reports: list[Report] = []
        records = [record for record in jobs.untaken(connection, self._run) if record.id in open_]
        ended = []
        written = self._written(connection, records, open_)
        tries = {(t.seq, t.number): t for t in self._tries(connection, records, open_)}
        for record in records:
            work = open_[record.id]
            if record.state == State.RUNNING or State(record.state).finished:
                reports += self._progress(record, work)
                reports += self._output(written.get((work.seq, record.attempt), ()), record, work)
            if State(record.state).finished:
                ended.append((record.id, self._finished(tries.get((work.seq, record.attempt)), record, work)))
                self._forget(record.id)
        return Taken(reports, ended)

    def _progress(self, record: JobRecord, work: Work) -> list[Report]:
        found: list[Report] = []
        if record.id not in self._started and record.started_at is not None:
            self._started.add(record.id)
            found.append(Started(work.ticket, record.started_at, record.worker or "", 0))
        told = record.progress, record.message
        if told != (None, None) and self._told.get(record.id) != told and record.state == State.RUNNING:
            self._told[record.id] = told
            found.append(Progress(work.ticket, record.started_at or record.enqueued_at, told[0], told[1] or ""))
        return found

    def _written(
        self, connection: Connection, records: Sequence[JobRecord], open_: Mapping[str, Work]
    ) -> dict[tuple[int, int], list[LogRecord]]:
        """What jobs wrote that run or have ended, by task and try."""
        seqs = [open_[record.id].seq for record in records if record.started_at is not None]
        found: dict[tuple[int, int], list[LogRecord]] = {}
        for line in logs.of_tasks(connection, self._run, seqs):
            found.setdefault((line.seq, line.attempt), []).append(line)
        return found

    def _tries(
        self, connection: Connection, records: Sequence[JobRecord], open_: Mapping[str, Work]
    ) -> list[AttemptRecord]:
        ended = [open_[record.id].seq for record in records if State(record.state).finished]
        return attempts.of_tasks(connection, self._run, ended)

    def _output(self, lines: Sequence[LogRecord], record: JobRecord, work: Work) -> list[Report]:
        known = self._lines.get(record.id, 0)
        new = [line for line in lines if line.number > known]
        if new:
            self._lines[record.id] = new[-1].number
        return [Output(work.ticket, line.time, line.stream, line.text) for line in new]

    def _finished(self, tries: AttemptRecord | None, record: JobRecord, work: Work) -> Finished:
        now = record.finished_at or 0.0
        error = None
        if record.error is not None:
            error = ErrorRecord(*self._values.get(self._values.unseal_stored(record.error)))
        return Finished(
            work.ticket, State(record.state), record.started_at or now, now, record.worker or "",
            tries.pid or 0 if tries is not None else 0, self._value(record), error, None,
            tries.cpu_seconds if tries is not None else None, tries.peak_memory if tries is not None else None,
            tries.exit if tries is not None else None,
        )  # fmt: skip

    def _value(self, record: JobRecord) -> StoredValue | None:
        if record.state != State.SUCCEEDED:
            return None
        data = self._values.unseal(record.result) if record.result is not None else None
        return StoredValue(
            record.result_digest or "", record.result_size or 0, record.result_type or "", data, record.result_uri
        )

    def _forget(self, job: str) -> None:
        self._started.discard(job)
        self._told.pop(job, None)
        self._lines.pop(job, None)
