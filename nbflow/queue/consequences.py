"""What follows when jobs end, become due or can go on: others are let through, begun, skipped or woken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nbflow.model.errors import TaskCancelledError
from nbflow.model.jobs import JobEnd, JobRecord, Mark
from nbflow.model.records import ErrorRecord
from nbflow.model.states import State
from nbflow.queue import gates, overdue, times
from nbflow.running.failure import error_record
from nbflow.storage import gates as stored_gates
from nbflow.storage import job_links, jobs
from nbflow.storage.connection import Connection
from nbflow.storage.job_links import NeedResult
from nbflow.values.store import ValueStore

_AT_ONCE = 500
UNBOUND = -1  # what a job waits for is looked up when it is due


class Ended(NamedTuple):
    """A job that has just ended."""

    id: str
    marks: int
    unique_key: str | None
    waker: str | None
    left: gates.Left


def of(record: JobRecord, now: float) -> Ended:
    """A job as its row has it."""
    return Ended(record.id, record.marks, record.unique_key, record.waker, left_by(record, now))


def left_by(record: JobRecord, now: float) -> gates.Left:
    """What a job leaves at its gates. Of one that a worker had, and that nobody saw begin, it is taken that it did."""
    began = None
    if record.state == State.RUNNING:
        began = record.started_at if record.started_at is not None else now
    return gates.Left(record.gates, began, f"{record.id}:{record.token}", counted=record.started_at is not None)


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
        left: list[gates.Left] = []
        while queue:
            needed: list[str] = []
            for job in queue:
                if job.marks & Mark.GATED:
                    left.append(job.left)
                if job.marks & Mark.UNIQUE and job.unique_key is not None:
                    job_links.drop_key(self._connection, job.unique_key, job.id, self._now)
                if job.marks & Mark.WAKES and job.waker is not None:
                    self.woken.add(job.waker)
                if job.marks & Mark.NEEDED:
                    needed.append(job.id)
            queue = self._needed(needed) if needed else []
        if left:
            gates.let_through(self._connection, gates.give_back(self._connection, left), self._now)
        if self.woken:
            jobs.wake(self._connection, self.woken, self._now)
            self.woken.clear()

    def let_go(self, records: Sequence[JobRecord]) -> None:
        """Make pending jobs ready that wait for no other job and no time; those with gates as far as these let them."""
        open_ = [record for record in records if record.waiting == 0]
        jobs.make_ready(self._connection, [record.id for record in open_ if not record.gates], self._now)
        gated = [record for record in open_ if record.gates]
        for record in gated:
            if record.due_at is not None:
                jobs.change(self._connection, record.id, due_at=None)
        if gated:
            gates.arrive(self._connection, [gates.Arrival.of(record) for record in gated], self._now)

    def bind(self, record: JobRecord) -> int:
        """Have a job wait for those that it needs; returns for how many."""
        needs = job_links.needs_of(self._connection, record.id)
        found = jobs.get(self._connection, sorted({need.needs for need in needs}), lock=True)
        open_ = [need.needs for need in needs if need.needs in found and not State(found[need.needs].state).finished]
        jobs.mark(self._connection, sorted(set(open_)), Mark.NEEDED)
        jobs.change(self._connection, record.id, waiting=len(open_))
        return len(open_)

    def awaited_again(self, ids: Sequence[str]) -> None:
        """Have those that still wait wait for jobs too that ended once and begin anew."""
        jobs.mark(self._connection, sorted(jobs.wait_again(self._connection, ids)), Mark.NEEDED)

    def tick(self) -> None:
        """Do what the time brings: due jobs, expired ones, rates."""
        while found := jobs.due(self._connection, self._now, _AT_ONCE):
            self._due(found)
        first = jobs.next_expiry(self._connection)
        if first is not None and first <= self._now:
            stored_gates.lock(self._connection)  # before the locks of the jobs, as everywhere
            while found := jobs.expired(self._connection, self._now, _AT_ONCE):
                flows = [record for record in found if record.kind == "flow"]  # these do not expire, their tasks do
                ended = [each for flow in flows for each in overdue.end_tasks(self._connection, self, flow, self._now)]
                self.finish([*ended, *(self._expire(record) for record in found if record.kind != "flow")])
        gates.tick(self._connection, self._now)

    def _due(self, found: Sequence[JobRecord]) -> None:
        bound = []
        for record in found:
            if record.waiting == UNBOUND:
                record = record._replace(waiting=self.bind(record))
                if record.waiting == 0:
                    self.finish(self.decide(record))
                    continue
            bound.append(record)
        self.let_go(bound)
        for record in bound:  # what waits for other jobs too has no time to be looked at any more
            if record.waiting:
                jobs.change(self._connection, record.id, due_at=None)

    def _expire(self, record: JobRecord) -> Ended:
        state, error = times.lapsed(record, json.loads(record.policy or "{}"))
        return self.stop(record, state, error_record(error))

    def stop(self, record: JobRecord, state: State, error: ErrorRecord | None) -> Ended:
        """End a job that does not run; what follows from it is left to `finish`."""
        if record.gates and record.state == State.PENDING:
            gates.leave(self._connection, record.id)
            record = record._replace(marks=record.marks & ~Mark.GATED)  # it holds no places
        jobs.end(self._connection, [(record.id, self.end(record, state, None, error))])
        return of(record, self._now)

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

    def _needed(self, ended: Sequence[str]) -> list[Ended]:
        """Count down the jobs that need some that ended; returns those that are skipped for it."""
        counts: Counter[str] = Counter()
        for job in ended:
            counts.update(job_links.needed_by(self._connection, job))
        records = jobs.get(self._connection, jobs.count_down(self._connection, counts))
        return [skipped for record in records.values() for skipped in self.decide(record)]

    def decide(self, record: JobRecord) -> list[Ended]:
        """Let a job go whose needs have all ended, or skip it, by what it says of their success."""
        needed = job_links.needed_results(self._connection, record.id)
        bad = [each for each in needed if each.state != State.SUCCEEDED]
        when = json.loads(record.policy or "{}").get("when", "success")
        if _is_meant(when, bad):
            if record.due_at is None or record.due_at <= self._now:
                self.let_go([record])
            return []
        text = f"{record.name!r} was skipped: it runs on the {when} of what it needs"
        if bad:
            text += f", and {bad[0].job} {_words(bad[0].state)}"
        error = self._cause(bad[0].job) if bad and when == "success" else None
        if not bad or when != "success":  # nothing went wrong with it
            record = record._replace(failure_ttl=record.success_ttl)
        return [self.stop(record, State.SKIPPED, error or error_record(TaskCancelledError(text + ".")))]

    def _cause(self, job: str) -> ErrorRecord | None:
        """The error of a job, to be passed on."""
        found = jobs.get(self._connection, [job]).get(job)
        if found is None or found.error is None:
            return None
        return ErrorRecord(*self._values.get(self._values.unseal_stored(found.error)))


def _is_meant(when: str, bad: Sequence[NeedResult]) -> bool:
    """Whether a job is to run that waited for others, by those that did not succeed."""
    if when == "success":
        return not bad
    stopped = any(each.stopped for each in bad)
    return when == "any" or (when == "stopped" and stopped) or (when == "failure" and bool(bad) and not stopped)


def _words(state: str | None) -> str:
    return "is gone" if state is None else f"ended as {state}"
