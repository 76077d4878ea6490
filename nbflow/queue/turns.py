"""What a worker does in one transaction: tell what ended, let follow what follows from it, claim what is next."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nbflow.model.errors import JobNotFoundError, QueueError, TaskCancelledError
from nbflow.model.jobs import ClaimedJob, HeldJob, JobEnd, JobRecord, Mark, QueueRecord
from nbflow.model.ports import Again, Due, Finished
from nbflow.model.records import AttemptRecord, ErrorRecord, LogRecord
from nbflow.model.states import State
from nbflow.queue import gates, overdue
from nbflow.queue.broker import STAMPS
from nbflow.queue.calls import Needed
from nbflow.queue.consequences import Consequences, Ended
from nbflow.queue.ledger import (
    InHand,
    News,
    attempt_record,
    is_numbered,
    may_be_lost_again,
    parsed,
    retry_after_timeout,
)
from nbflow.running import limits
from nbflow.running.failure import error_record
from nbflow.storage import job_links, jobs, queues
from nbflow.storage.connection import Connection
from nbflow.storage.upserts import Upsert
from nbflow.values.store import ValueStore

Wanted = Callable[[QueueRecord], int]  # how many jobs of a queue the worker takes at most


class Claim(NamedTuple):
    """A claimed job, with what came of those that it needs."""

    job: ClaimedJob
    needed: tuple[Needed, ...]


class Turn:
    """One transaction of a worker."""

    def __init__(self, connection: Connection, worker: str, values: ValueStore, now: float) -> None:
        self._connection = connection
        self._worker = worker
        self._values = values
        self._now = now
        self._upsert = Upsert(connection.dialect.name)
        self._follow = Consequences(connection, values, now)
        self.freed = False  # whether jobs may have become ready by it

    # --- telling -------------------------------------------------------------------------------------------------

    def tell(self, news: News) -> None:
        """Store what happened to jobs in hand. What was taken from the worker meanwhile is not its to tell."""
        held = jobs.held(self._connection, self._worker, [each.job.id for each, _ in news.ends])
        ends = [(each, end) for each, end in news.ends if _renewed(each, held.get(each.job.id))]
        self._upsert(self._connection, LogRecord, news.logs)
        jobs.started(self._connection, news.starts)
        self._count_starts(dict(news.starts))
        jobs.told(self._connection, [(value, message, job) for job, (value, message) in news.progress.items()])
        for job, values in news.meta.items():
            found = jobs.get(self._connection, [job], lock=True).get(job)
            if found is not None:
                meta = {**json.loads(found.meta or "{}"), **values}
                jobs.change(self._connection, job, meta=json.dumps(meta))
        tries = [attempt_record(each, end, self._worker) for each, end in ends if each.job.kind != "flow"]
        self._upsert(self._connection, AttemptRecord, tries)
        self._end([pair for pair in ends if not self._goes_on(*pair)])

    def _count_starts(self, starts: dict[str, float]) -> None:
        """Tell the rates of what began, and goes on."""
        for job, token, stored in jobs.rated(self._connection, list(starts), gates.RATE):
            gates.began(self._connection, gates.Left(stored, starts[job], f"{job}:{token}"))

    def _end(self, ends: Sequence[tuple[InHand, Finished]]) -> None:
        jobs.end(self._connection, [(each.job.id, self._job_end(each, end)) for each, end in ends])
        marked = [each for each, _ in ends if each.job.marks]
        if marked:
            self.freed = True
            self._follow.finish(_ended(each) for each in marked)

    def _goes_on(self, each: InHand, end: Finished) -> bool:
        """Put a job back that is not over with this try; whether it is so."""
        job = each.job
        if each.abort:
            return False
        if end.state is State.CANCELLED:  # given back before it began, or when the worker was told to stop
            if each.started is not None:
                self._begun_in_time(each)
            self._put_back(each, uncounted=True)
            return True
        if end.exit is not None and end.state is State.FAILED:  # its process died
            if not may_be_lost_again(each.policy, job.losses + 1):
                return False
            self._put_back(each, uncounted=is_numbered(job.kind), lost=True)
            return True
        again = end.again if end.state is not State.TIMED_OUT else retry_after_timeout(each, self._now)
        if again is None or each.is_late_for(again, self._now):
            return False
        if again.wakes is not None:
            self._suspend(each, again)
            return True
        place = STAMPS.next()[0] if again.end else None
        self._begun_in_time(each)
        if job.gates and (again.at is None or again.at <= self._now):
            jobs.postpone(self._connection, job.id, None, place)
            self._line_up(each, job.place if place is None else place)
        else:
            jobs.postpone(self._connection, job.id, max(again.at or self._now, self._now), place)
            self._leave_gates(each)
        self.freed = True
        return True

    def _begun_in_time(self, each: InHand) -> None:
        """Let a job wait for its next try until its deadline, if it has one."""
        deadline = each.deadline
        jobs.change(self._connection, each.job.id, expires_at=deadline.at if deadline is not None else None)

    def _suspend(self, each: InHand, again: Again) -> None:
        """Let a job wait until it is woken; at once if that happened after it looked last."""
        job = each.job
        record = jobs.get(self._connection, [job.id], lock=True)[job.id]
        jobs.put_back(self._connection, [job.id], uncounted=True)
        if again.ends or record.expires_at is not None:
            overdue.note(self._connection, job.id, record.policy, again.ends)
        if record.wakes == again.wakes:
            jobs.postpone(self._connection, job.id, again.at)
            self._leave_gates(each)
        elif job.gates:
            jobs.postpone(self._connection, job.id, None)
            self._line_up(each, job.place)
        self.freed = True

    def _put_back(self, each: InHand, *, uncounted: bool = False, lost: bool = False) -> None:
        job = each.job  # its place among others is that of before: it is older than all that came since
        jobs.put_back(self._connection, [job.id], uncounted=uncounted, lost=lost)
        if job.gates:
            jobs.postpone(self._connection, job.id, None)
            self._line_up(each, job.place)
        self.freed = True

    def _line_up(self, each: InHand, place: int) -> None:
        arrival = gates.Arrival.of(each.job._replace(place=place))
        gates.again(self._connection, arrival, _left_by(each), self._now)

    def _leave_gates(self, each: InHand) -> None:
        if each.job.gates:
            gates.let_through(self._connection, gates.give_back(self._connection, [_left_by(each)]), self._now)

    def _job_end(self, each: InHand, end: Finished) -> JobEnd:
        job, value, error = each.job, end.value, end.error
        state = State.CANCELLED if each.abort and end.state is not State.SUCCEEDED else end.state
        if end.again is not None:  # it wanted to go on, but was aborted, or reached its deadline
            state = State.CANCELLED
            if each.deadline is not None and not each.abort:
                state, error = State.TIMED_OUT, _past_deadline(each, each.deadline, error)
        keep = job.success_ttl if state is State.SUCCEEDED else job.failure_ttl
        kept = self._now + keep if keep is not None else None
        if state is State.SUCCEEDED and value is not None:
            data = self._values.seal(value.data) if value.data is not None else None
            return JobEnd(
                state.value, end.started_at, end.finished_at, kept, value.digest, value.size, value.type, data,
                value.uri, None, None, None,
            )  # fmt: skip
        return JobEnd(
            state.value, end.started_at, end.finished_at, kept, None, None, None, None, None,
            error.type if error is not None else None, error.message if error is not None else None,
            self._follow.error_bytes(error) if error is not None else None,
        )  # fmt: skip

    # --- going on ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what the time brings."""
        self._follow.tick()

    def claim(self, wanted: Wanted, free: int, ahead: int = 0, *, flows: bool = False) -> list[Claim]:
        """Take as many jobs as there are places free, and so many ahead, those of the most urgent queue first.

        `flows`: whether flow functions are taken ahead too; where they wait for tasks, these are to come first.
        """
        found: list[ClaimedJob] = []
        for queue in [_personal(self._worker), *queues.everything(self._connection)]:
            count = min(free + ahead - len(found), wanted(queue))
            if queue.paused or count <= 0:
                continue
            at_once = min(count, max(0, free - len(found)))
            mine = jobs.claim(self._connection, self._worker, queue.name, at_once) if at_once else []
            if len(mine) == at_once < count:
                mine += jobs.claim(self._connection, self._worker, queue.name, count - at_once, flows=flows)
            found += mine
            if len(found) >= free + ahead:
                break
        claimed = len(found)
        found = self._readable(self._not_revoked(found))
        self.freed |= len(found) < claimed  # there is room for others
        for job in found:
            if job.marks & Mark.UNIQUE:
                self._begin_unique(job)
        return [Claim(job, self._needed(job)) for job in found]

    def _not_revoked(self, claimed: list[ClaimedJob]) -> list[ClaimedJob]:
        stored = job_links.revoked(self._connection) if claimed else {}
        revoked = {target: each for target, each in stored.items() if each.until is None or each.until > self._now}
        if not revoked:
            return claimed
        kept = []
        for job in claimed:
            found = revoked.get(f"id:{job.id}") or revoked.get(f"name:{job.name}")
            if found is None:
                kept.append(job)
                continue
            if found.once:
                job_links.restore(self._connection, found.target)
                revoked.pop(found.target)
            text = f"{job.name!r} was revoked before it began ({job.id})."
            self._end_unbegun(job, State.CANCELLED, TaskCancelledError(text))
        return kept

    def _readable(self, claimed: list[ClaimedJob]) -> list[ClaimedJob]:
        """End the jobs of which nobody can tell how to run them, lest they end one worker after the other."""
        spoilt = [job for job in claimed if job.policy is not None and "unreadable" in parsed(job.policy)]
        if not spoilt:
            return claimed
        for job in spoilt:
            text = f"The policy of {job.name!r} ({job.id}) cannot be read: it was changed in the database."
            self._end_unbegun(job, State.FAILED, QueueError(f"{text} Enqueue it anew."))
        return [job for job in claimed if job not in spoilt]

    def _end_unbegun(self, job: ClaimedJob, state: State, error: Exception) -> None:
        """End a job that was claimed, but is not to begin."""
        each = InHand(job)
        end = Finished(0, state, self._now, self._now, "", 0, None, error_record(error))
        jobs.change(self._connection, job.id, attempt=job.attempt - 1)
        jobs.end(self._connection, [(job.id, self._job_end(each, end)._replace(started_at=None))])
        self._follow.finish([_ended(each)])

    def _begin_unique(self, job: ClaimedJob) -> None:
        """Free the key of a job that was to be the only one for as long as it waited."""
        if job.policy and '"unique": "waiting"' in job.policy and job.unique_key is not None:
            job_links.drop_key(self._connection, job.unique_key, job.id, self._now)

    def _needed(self, job: ClaimedJob) -> tuple[Needed, ...]:
        if not job.policy or '"needs"' not in job.policy:
            return ()
        count: int = json.loads(job.policy)["needs"]
        ids = [need.needs for need in job_links.needs_of(self._connection, job.id)[:count]]
        records = jobs.get(self._connection, sorted(set(ids)))
        return tuple([_came_of(records[id_]) if id_ in records else self._gone(job, id_) for id_ in ids])

    def _gone(self, job: ClaimedJob, need: str) -> Needed:
        text = f"{job.name!r} needs the result of job {need}, which is not kept any more."
        return Needed(None, self._follow.error_bytes(error_record(JobNotFoundError(text, job=need))), need)


def _past_deadline(each: InHand, deadline: Due, error: ErrorRecord | None) -> ErrorRecord:
    """The error of a job for whose next try there is no time."""
    more = f" before its next try; the last one ended with {error.type}: {error.message}" if error is not None else ""
    key = each.policy.get("key") or f"job {each.job.id}"
    return error_record(limits.deadline_error(each.job.name, key, deadline, more))


def _ended(each: InHand) -> Ended:
    job = each.job
    return Ended(job.id, job.marks, job.unique_key, job.waker, _left_by(each))


def _left_by(each: InHand) -> gates.Left:
    """What a job leaves at its gates."""
    began = each.started.time if each.started is not None else None
    return gates.Left(each.job.gates, began, f"{each.job.id}:{each.job.token}", counted=each.told_start)


def _renewed(each: InHand, held: HeldJob | None) -> bool:
    """Bring what is known of a job up to date; False if the worker does not have it any more."""
    if held is None or held.token != each.job.token:
        return False
    if held.marks != each.job.marks or held.gates != each.job.gates:
        each.job = each.job._replace(marks=held.marks, gates=held.gates)
    each.abort = each.abort or bool(held.abort)
    return True


def _came_of(record: JobRecord) -> Needed:
    if record.state != State.SUCCEEDED:
        return Needed(None, record.error, record.id)
    value = (
        record.result_digest or "", record.result_size or 0, record.result_type or "", record.result, record.result_uri
    )  # fmt: skip
    return Needed(value, None, record.id)


def _personal(worker: str) -> QueueRecord:
    """The queue of one worker, for broadcasts: before all others."""
    return QueueRecord(f"@{worker}", None, 0, 0, None, None, None, None, None, "{}", 0.0)


def allowed(queues_: Sequence[str], excluded: Sequence[str], in_hand: Callable[[], Counter[str]], room: int) -> Wanted:
    """How many jobs of a queue a worker takes that serves some queues ([]: all) but for others."""

    def wanted(queue: QueueRecord) -> int:
        if queue.name.startswith("@"):
            return room
        if (queues_ and queue.name not in queues_) or queue.name in excluded:
            return 0
        if queue.max_per_worker is None:
            return room
        return queue.max_per_worker - in_hand()[queue.name]

    return wanted
