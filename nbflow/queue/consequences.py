"""What follows when jobs end, become due or can go on: others are let through, begun, skipped or woken."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from nbflow.model.errors import JobExpiredError, TaskCancelledError
from nbflow.model.jobs import JobEnd, JobRecord, Mark
from nbflow.model.records import ErrorRecord
from nbflow.model.states import State
from nbflow.queue import gates
from nbflow.running.failure import error_record
from nbflow.storage import gates as stored_gates
from nbflow.storage import job_links, jobs
from nbflow.values.store import ValueStore

_AT_ONCE = 500


class Ended(NamedTuple):
    """A job that has just ended."""

    id: str
    marks: int
    gates: str | None
    unique_key: str | None
    waker: str | None
    began: bool  # whether it was ever claimed


def of(record: JobRecord) -> Ended:
    """A job as its row has it."""
    return Ended(record.id, record.marks, record.gates, record.unique_key, record.waker, record.attempt > 0)


class Consequences:
    """Carries out what follows, inside the caller's transaction."""

    def __init__(self, connection: Connection, values: ValueStore, now: float) -> None:
        self._connection = connection
        self._values = values
        self._now = now
        self.woken: set[str] = set()  # jobs to wake, all at once at the end

    def finish(self, ended: Iterable[Ended]) -> None:
        """Carry out what follows from the end of jobs, and from what follows from that."""
        queue = [job for job in ended if job.marks]
        while queue:
            job = queue.pop()
            if job.marks & Mark.GATED:
                gates.ended(self._connection, gates.names(job.gates), self._now, began=job.began)
            if job.marks & Mark.UNIQUE and job.unique_key is not None:
                job_links.drop_key(self._connection, job.unique_key, job.id, self._now)
            if job.marks & Mark.WAKES and job.waker is not None:
                self.woken.add(job.waker)
            if job.marks & Mark.NEEDED:
                queue += self._needed(job.id)
        if self.woken:
            jobs.wake(self._connection, self.woken, self._now)
            self.woken.clear()

    def let_go(self, records: Sequence[JobRecord]) -> None:
        """Make pending jobs ready that wait for no other job and no time; those with gates as far as these let them."""
        open_ = [record for record in records if record.waiting == 0]
        jobs.make_ready(self._connection, [record.id for record in open_ if not record.gates], self._now)
        for record in open_:
            if record.gates:
                jobs.change(self._connection, record.id, due_at=None)
                gates.admit(self._connection, gates.Waiting.of(record), self._now)

    def tick(self) -> None:
        """Do what the time brings: due jobs, expired ones, rates."""
        while found := jobs.due(self._connection, self._now, _AT_ONCE):
            self.let_go(found)
            for record in found:  # what waits for other jobs too has no time to be looked at any more
                if record.waiting:
                    jobs.change(self._connection, record.id, due_at=None)
        while found := jobs.expired(self._connection, self._now, _AT_ONCE):
            self.finish([self._expire(record) for record in found])
        gates.tick(self._connection, self._now)

    def _expire(self, record: JobRecord) -> Ended:
        text = f"{record.name!r} was not begun in time ({record.id})."
        return self.stop(record, State.EXPIRED, error_record(JobExpiredError(text)))

    def stop(self, record: JobRecord, state: State, error: ErrorRecord | None) -> Ended:
        """End a job that does not run; what follows from it is left to `finish`."""
        if record.gates and record.state == State.PENDING:
            stored_gates.leave(self._connection, record.id)
            record = record._replace(marks=record.marks & ~Mark.GATED)  # it holds no places
        jobs.end(self._connection, [(record.id, self.end(record, state, None, error))])
        return of(record)

    def end(self, record: JobRecord, state: State, started_at: float | None, error: ErrorRecord | None) -> JobEnd:
        """The columns of a job that ends without a result."""
        keep = record.failure_ttl
        return JobEnd(
            state.value, started_at, self._now, self._now + keep if keep is not None else None,
            None, None, None, None, None,
            error.type if error is not None else None, error.message if error is not None else None,
            self.error_bytes(error) if error is not None else None,
        )  # fmt: skip

    def error_bytes(self, error: ErrorRecord) -> bytes:
        """An error, signed."""
        return self._values.seal_stored(self._values.put(tuple(error), "an error"))

    def _needed(self, job: str) -> list[Ended]:
        """Count down the jobs that need one that ended; returns those that are skipped for it."""
        ids = job_links.needed_by(self._connection, job)
        records = jobs.get(self._connection, sorted(set(ids)), lock=True)
        skipped = []
        for record in records.values():
            if record.state != State.PENDING:
                continue
            left = record.waiting - ids.count(record.id)
            jobs.change(self._connection, record.id, waiting=left)
            record = record._replace(waiting=left)
            if left == 0:
                skipped += self.decide(record)
        return skipped

    def decide(self, record: JobRecord) -> list[Ended]:
        """Let a job go whose needs have all ended, or skip it, by what it says of their success."""
        needed = job_links.needed_results(self._connection, record.id)
        bad = [(id_, state) for _, id_, state in needed if state != State.SUCCEEDED]
        when = json.loads(record.policy or "{}").get("when", "success")
        if when == "any" or (when == "success" and not bad) or (when == "failure" and bad):
            if record.due_at is None or record.due_at <= self._now:
                self.let_go([record])
            return []
        text = f"{record.name!r} was skipped: it runs on the {when} of what it needs"
        if bad:
            text += f", and {bad[0][0]} {_words(bad[0][1])}"
        error = self._cause(bad[0][0]) if bad else None
        return [self.stop(record, State.SKIPPED, error or error_record(TaskCancelledError(text + ".")))]

    def _cause(self, job: str) -> ErrorRecord | None:
        """The error of a job, to be passed on."""
        found = jobs.get(self._connection, [job]).get(job)
        if found is None or found.error is None:
            return None
        return ErrorRecord(*self._values.get(self._values.unseal_stored(found.error)))


def _words(state: str | None) -> str:
    return "is gone" if state is None else f"ended as {state}"
