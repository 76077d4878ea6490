"""Storing jobs that something is bound to: a unique key, limits, other jobs that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbflow.model.errors import ConfigError, JobExistsError, JobNotFoundError, QueueError
from nbflow.model.jobs import JobRecord, KeyRecord, Mark, NeedRecord
from nbflow.model.states import State
from nbflow.queue import gates
from nbflow.queue.consequences import UNBOUND, Consequences
from nbflow.storage import gates as stored_gates
from nbflow.storage import job_links, jobs
from nbflow.storage.connection import Connection
from nbflow.values.store import ValueStore

if TYPE_CHECKING:
    from nbflow.queue.broker import NewJob
    from nbflow.queue.options import Limit, Unique

_WAITING = (State.PENDING, State.READY)
_TRIES = 10  # to take a key that others take and free meanwhile


class Binder:
    """Stores such jobs inside one transaction. `close` has to be called at its end."""

    def __init__(self, connection: Connection, values: ValueStore, now: float, *, later: bool) -> None:
        """`later`: leave to workers whatever locks what others need, since nobody knows how long this will take."""
        self._connection = connection
        self._follow = Consequences(connection, values, now)
        self._now = now
        self._later = later
        self._renamed: dict[str, str] = {}  # jobs that others stand for
        self._arriving: list[JobRecord] = []
        self._free: list[JobRecord] = []  # all that they need has ended

    def add(self, new: NewJob, limits: tuple[Limit, ...]) -> str:
        """Store a job, unless another one holds its key; returns the id of that which there is.

        The gates of its limits have to be there.
        """
        record, replaced = new.record, None
        if new.unique is not None:
            holder, other = self._claim_key(record, new.unique)
            if holder != record.id:
                self._renamed[record.id] = holder
                if not new.unique.debounce or other is None or other.state not in _WAITING:
                    return holder
            record = record._replace(unique_key=new.unique.key, marks=int(record.marks | Mark.UNIQUE))
            if other is not None:
                replaced, record = other, self._instead(other, record, new.unique)
        if limits:
            names = gates.column(limit.gate for limit in limits)
            record = record._replace(gates=names, marks=int(record.marks | Mark.GATED))
        needs = [self._renamed.get(need, need) for need in new.needs]
        depends = bool(needs) or new.conditional
        waits = record.due_at is not None and record.due_at > self._now
        if depends or (limits and not waits):
            record = record._replace(state=State.PENDING.value, ready_at=None)
        if self._later and (depends or limits) and not waits:
            record = record._replace(due_at=self._now)
        if self._later and depends:
            record = record._replace(waiting=UNBOUND)
        if record.id in needs:
            raise ConfigError(f"{record.name!r} would wait for itself: its own id, {record.id}, is among its needs.")
        self._store(record, replaced, needs)
        if depends:
            self._bind(record, needs)
        elif limits and not waits and not self._later:
            self._arriving.append(record)
        return record.id

    def close(self) -> None:
        """Let those go that can."""
        self._follow.let_go(self._arriving)
        for record in self._free:
            self._follow.finish(self._follow.decide(record))

    def _check_circle(self, record: JobRecord, needs: list[str]) -> None:
        """Raise ConfigError if a job that is there would come to need what needs it."""
        seen: set[str] = set()
        ahead = set(needs)
        while ahead:
            if record.id in ahead:
                raise ConfigError(
                    f"{record.name!r} would wait for itself: what it is to run after waits for job {record.id}, which "
                    f"this call debounces by its key {record.unique_key!r}."
                )
            seen |= ahead
            ahead = {need.needs for job in ahead for need in job_links.needs_of(self._connection, job)} - seen

    def _store(self, record: JobRecord, replaced: JobRecord | None, needs: list[str]) -> None:
        if replaced is None:
            jobs.insert(self._connection, [record])
            return
        self._check_circle(record, needs)
        if replaced.state == State.PENDING:
            gates.leave(self._connection, record.id)
        elif replaced.gates:
            freed = gates.give_back(self._connection, [gates.Left(replaced.gates)])
            gates.let_through(self._connection, freed, self._now)
        job_links.forget_needs(self._connection, [record.id])
        changes = {name: getattr(record, name) for name in _REPLACED}
        jobs.change(self._connection, record.id, **changes)
        if record.state == State.READY:
            jobs.make_ready(self._connection, [record.id], self._now)

    def _instead(self, other: JobRecord, record: JobRecord, unique: Unique) -> JobRecord:
        """A waiting job with the call of a later one."""
        due = record.due_at
        if due is not None and unique.latest is not None:
            due = min(due, other.enqueued_at + unique.latest)
        marks = (other.marks & ~Mark.GATED) | Mark.UNIQUE
        return record._replace(id=other.id, place=other.place, marks=int(marks), due_at=due, waiting=0)

    def _bind(self, record: JobRecord, needs: list[str]) -> None:
        """Let a job wait for others."""
        known = jobs.states(self._connection, sorted(set(needs)))
        missing = [need for need in needs if need not in known]
        if missing:
            raise JobNotFoundError(
                f"{record.name!r} needs job {missing[0]!r}, which there is not (any more). Enqueue that one first, or "
                "keep it for longer: success_ttl=None.",
                job=missing[0],
            )
        rows = [NeedRecord(record.id, position, need) for position, need in enumerate(needs)]
        job_links.need(self._connection, rows)
        if not self._later and self._follow.bind(record) == 0:
            self._free.append(record)

    def _claim_key(self, record: JobRecord, unique: Unique) -> tuple[str, JobRecord | None]:
        """Take a unique key for a job; returns the id of that which has it then, and its row if it is another one."""
        until = self._now + unique.window if unique.window is not None else None
        for _ in range(_TRIES):
            if job_links.take_key(self._connection, KeyRecord(unique.key, record.id, until)):
                return record.id, None
            held = job_links.key(self._connection, unique.key)
            if held is None:
                continue
            if held.job == record.id:
                return record.id, None
            other = self._holder(held.job, unique)
            if not _blocks(held, other, unique, self._now):
                job_links.drop_key(self._connection, unique.key, held.job)
                continue
            if unique.clash == "error":
                raise JobExistsError(
                    f"There is a job with the key {unique.key!r} already: {held.job}. Wait for it, cancel it, or take "
                    "what there is: Unique(key, clash='existing').",
                    job=held.job,
                )
            return held.job, other
        raise QueueError(f"The key {unique.key!r} is taken and freed all the time; try again.")

    def _holder(self, job: str, unique: Unique) -> JobRecord | None:
        if not unique.debounce:
            return jobs.get(self._connection, [job]).get(job)
        stored_gates.lock(self._connection)  # before the lock of the row, as everywhere
        return jobs.get(self._connection, [job], lock=True).get(job)


_REPLACED = (
    "state", "priority", "payload", "policy", "name", "timeout", "soft_timeout", "due_at", "expires_at", "waiting",
    "marks", "gates", "meta", "tags",
)  # fmt: skip


def _blocks(held: KeyRecord, other: JobRecord | None, unique: Unique, now: float) -> bool:
    """Whether the holder of a key keeps another job out."""
    if held.until is not None:
        return held.until > now
    if other is None or State(other.state).finished:
        return False
    return unique.scope == "active" or other.state != State.RUNNING
