"""The broker: jobs go in, are cancelled, put off, requeued. Each verb is a transaction, or a part of the caller's."""

from __future__ import annotations

import difflib
import json
import random
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from nbflow.model.errors import (
    JobExistsError,
    JobNotFoundError,
    QueueClosedError,
    TaskCancelledError,
    UnknownQueueError,
)
from nbflow.model.jobs import JobRecord, KeyRecord, Mark, NeedRecord, QueueRecord, RevocationRecord
from nbflow.model.names import check_name, time_id
from nbflow.model.states import State
from nbflow.queue.consequences import Consequences
from nbflow.queue.options import Limit, Unique
from nbflow.running.failure import error_record
from nbflow.storage import bells, job_links, jobs, queues
from nbflow.storage import gates as stored_gates
from nbflow.storage.database import Database
from nbflow.values.store import ValueStore

DEFAULT = "default"
FRONT = 10**17  # microseconds by which a job goes before all others of its priority
_MICRO = 1_000_000


class NewJob(NamedTuple):
    """A job as it is enqueued."""

    record: JobRecord
    needs: tuple[str, ...] = ()  # ids; by position those whose results are among its arguments, then the others
    unique: Unique | None = None
    limits: tuple[Limit, ...] = ()


class Stamps:
    """Ids and places in the order in which they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._random = random.SystemRandom()

    def next(self, count: int = 1) -> range:
        """So many different microseconds since 1970, later than all before."""
        with self._lock:
            first = max(self._last + 1, int(time.time() * _MICRO))
            self._last = first + count - 1
        return range(first, first + count)

    def ids(self, places: Sequence[int]) -> list[str]:
        """Ids for the jobs of several places."""
        salt = self._random.getrandbits(10)  # one is enough: places differ
        return [time_id(place, salt) for place in places]

    def id(self, place: int) -> str:
        """An id for the job of a place; ids sort as places do."""
        return time_id(place, self._random.getrandbits(10))


STAMPS = Stamps()


class Broker:
    """The jobs of one database."""

    def __init__(self, database: Database, values: ValueStore) -> None:
        self.database = database
        self.values = values

    # --- in ----------------------------------------------------------------------------------------------------

    def enqueue(self, new: Sequence[NewJob], *, connection: Connection | None = None) -> list[str]:
        """Store jobs, all or none, and return their ids in order; of a clash of unique keys that of the other job.

        With a `connection` they become part of its transaction. Raises UnknownQueueError, QueueClosedError,
        JobNotFoundError for a need that does not exist, JobExistsError.
        """
        if connection is not None:
            found = self.add(connection, new)
            self.ring_later(connection)
            return found
        with bells.ringing(self.database, bells.JOBS) as own:
            return self.add(own, new)

    def enqueue_rows(self, queue: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> bool:
        """Store jobs that nothing is bound to, given as rows; False, and nothing is stored, if the queue has limits."""
        with bells.ringing(self.database, bells.JOBS) as connection:
            known = {found.name: found for found in queues.everything(connection)}
            record = open_queue(connection, known, queue)
            if record.ageing is not None or queue_limits(record):
                return False
            jobs.insert_rows(connection, columns, rows)
        return True

    def add(self, connection: Connection, new: Sequence[NewJob]) -> list[str]:
        """Store jobs inside a transaction."""
        now = time.time()
        known = {queue.name: queue for queue in queues.everything(connection)}
        ids: list[str] = []
        plain: list[JobRecord] = []
        for job in new:
            queue = open_queue(connection, known, job.record.queue)
            record = _aged(job.record, queue)
            limits = (*queue_limits(queue), *job.limits)
            if not limits and not job.needs and job.unique is None:
                plain.append(record)
                ids.append(record.id)
                continue
            jobs.insert(connection, plain)  # first, since later ones may need them
            plain = []
            ids.append(self._add_bound(connection, job._replace(record=record, limits=limits), now))
        jobs.insert(connection, plain)
        return ids

    def _add_bound(self, connection: Connection, new: NewJob, now: float) -> str:
        """Store a job that something else is bound to: a key, limits, other jobs."""
        record, unique = new.record, new.unique
        if unique is not None:
            other = self._claim_key(connection, record, unique, now)
            if other is not None:
                return other
            record = record._replace(unique_key=unique.key, marks=record.marks | Mark.UNIQUE)
        if new.limits:
            for limit in new.limits:
                stored_gates.define(connection, limit.key, limit.count, limit.per)
            names = sorted({limit.key for limit in new.limits})
            record = record._replace(gates=json.dumps(names), marks=record.marks | Mark.GATED)
        waiting = self._bind(connection, record, new.needs)
        record = record._replace(state=State.PENDING.value, waiting=waiting)
        jobs.insert(connection, [record])
        follow = Consequences(connection, self.values, now)
        if new.needs and not waiting:
            follow.finish(follow.decide(record))
        elif not waiting and (record.due_at is None or record.due_at <= now):
            follow.let_go([record])
        return record.id

    def _bind(self, connection: Connection, record: JobRecord, needs: tuple[str, ...]) -> int:
        """Let a job wait for others; returns for how many."""
        found = jobs.get(connection, sorted(set(needs)), lock=True)
        missing = [need for need in needs if need not in found]
        if missing:
            raise JobNotFoundError(
                f"{record.name!r} needs job {missing[0]!r}, which there is not (any more). Enqueue that one first, or "
                "keep it for longer: success_ttl=None.",
                job=missing[0],
            )
        job_links.need(connection, [NeedRecord(record.id, position, need) for position, need in enumerate(needs)])
        open_ = [need for need in needs if not State(found[need].state).finished]
        jobs.mark(connection, sorted(set(open_)), Mark.NEEDED)
        return len(open_)

    def _claim_key(self, connection: Connection, record: JobRecord, unique: Unique, now: float) -> str | None:
        """Take a unique key for a job; returns the id of the one that has it, if one does."""
        until = now + unique.window if unique.window is not None else None
        for _ in range(2):
            if job_links.take_key(connection, KeyRecord(unique.key, record.id, until)):
                return None
            held = job_links.key(connection, unique.key)
            if held is None:
                continue
            other = jobs.get(connection, [held.job], lock=True).get(held.job)
            if not _blocks(held, other, unique, now):
                job_links.drop_key(connection, unique.key, held.job)
                continue
            assert other is not None or held.until is not None
            if unique.clash == "error":
                raise JobExistsError(
                    f"There is a job with the key {unique.key!r} already: {held.job}. Wait for it, cancel it, or take "
                    "what there is: Unique(key, clash='existing').",
                    job=held.job,
                )
            if unique.debounce and other is not None and other.state in (State.PENDING, State.READY):
                changes = {"payload": record.payload, "due_at": record.due_at}
                jobs.change(connection, other.id, **changes, state="pending" if record.due_at else other.state)
            return held.job
        return None

    # --- out ---------------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[str], reason: str = "asked to") -> dict[str, str]:
        """Cancel jobs that wait, and have running ones aborted; returns the state that each had."""
        with bells.ringing(self.database, bells.JOBS, bells.NEWS) as connection:
            return self.cancel_in(connection, ids, reason)

    def cancel_in(self, connection: Connection, ids: Sequence[str], reason: str) -> dict[str, str]:
        """Cancel jobs inside a transaction."""
        follow = Consequences(connection, self.values, time.time())
        ended, states = [], {}
        for record in jobs.get(connection, ids, lock=True).values():
            states[record.id] = record.state
            if record.state == State.RUNNING:
                jobs.change(connection, record.id, abort=1)
            elif record.state in (State.PENDING, State.READY):
                error = error_record(TaskCancelledError(f"{record.name!r} was cancelled: {reason} ({record.id})."))
                ended.append(follow.stop(record, State.CANCELLED, error))
        follow.finish(ended)
        return states

    def requeue(self, ids: Sequence[str], *, front: bool = False) -> list[str]:
        """Let finished jobs begin anew, their tries not counted; returns those that do."""
        done = []
        with bells.ringing(self.database, bells.JOBS) as connection:
            follow = Consequences(connection, self.values, time.time())
            for record in jobs.get(connection, ids, lock=True).values():
                if not State(record.state).finished or record.payload is None:
                    continue
                place = STAMPS.next()[0] - (FRONT if front else 0)
                fresh = dict.fromkeys(_RESULT)
                jobs.change(
                    connection, record.id, **fresh, state="pending", place=place, attempt=0, claims=0, losses=0,
                    waiting=0, due_at=None, expires_at=None, marks=record.marks & ~Mark.UNIQUE,
                )  # fmt: skip
                follow.let_go([record._replace(state="pending", place=place, waiting=0)])
                done.append(record.id)
        return done

    def revoke(self, target: str, *, until: float | None = None, once: bool = False) -> None:
        """Keep jobs from beginning, now or later: "id:ID" or "name:FUNCTION"."""
        with self.database.write() as connection:
            job_links.revoke(connection, RevocationRecord(target, until, int(once), time.time()))

    def restore(self, target: str) -> bool:
        """Take a revocation back; whether there was one."""
        with self.database.write() as connection:
            return job_links.restore(connection, target)

    def ring_later(self, connection: Connection) -> None:
        """Ring for jobs once the caller's transaction is committed."""
        if self.database.dialect == "postgresql":
            bells.notify(connection, bells.JOBS)
        else:
            from nbflow.storage.hooks import after_commit

            after_commit(connection, lambda: bells.ring(self.database, bells.JOBS))


_RESULT = (
    "started_at", "finished_at", "keep_until", "result_digest", "result_size", "result_type", "result", "result_uri",
    "error_type", "error_message", "error", "progress", "message",
)  # fmt: skip


def before_all(place: int) -> int:
    """The place of a job that was given back: before all others of its priority, but those that were too."""
    return place - FRONT if place > 0 else place


def open_queue(connection: Connection, known: dict[str, QueueRecord], name: str) -> QueueRecord:
    """The queue of this name, `known` being those that there are. Raises UnknownQueueError, QueueClosedError."""
    if name.startswith("@"):  # of one worker
        return new_queue("worker", 0.0)
    queue = known.get(name)
    if queue is None and name == DEFAULT:
        queue = known[name] = new_queue(DEFAULT, time.time())
        queues.add(connection, queue)
    if queue is None:
        raise unknown_queue(name, known)
    if queue.draining:
        raise QueueClosedError(
            f"Queue {name!r} is being drained and takes no jobs; open it again: nbflow queue resume {name}."
        )
    return queue


def unknown_queue(name: str, known: Iterable[str]) -> UnknownQueueError:
    """The error for a queue that is not among those that there are."""
    names = sorted({*known, DEFAULT})
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UnknownQueueError(
        f"There is no queue {name!r}.{hint} Known are {', '.join(names)}; make it: nbflow queue create {name}, or "
        f"Queue({name!r}).create().",
        queue=name,
    )


def new_queue(name: str, now: float, *, priority: int | None = None) -> QueueRecord:
    """A queue without any limits."""
    return QueueRecord(check_name(name, "queue"), priority, 0, 0, None, None, None, None, None, "{}", now)


def queue_limits(queue: QueueRecord) -> tuple[Limit, ...]:
    """The limits that a queue puts on each of its jobs."""
    found = []
    if queue.max_running is not None:
        found.append(Limit(f"queue:{queue.name}", queue.max_running))
    if queue.rate_count is not None and queue.rate_period is not None:
        found.append(Limit(f"rate:{queue.name}", queue.rate_count, queue.rate_period))
    return tuple(found)


def _aged(record: JobRecord, queue: QueueRecord) -> JobRecord:
    """Priority as waiting time, on a queue where that counts: the order then stays the same however long it is."""
    if queue.ageing is None:
        return record
    return record._replace(priority=0, place=record.place + int(record.priority * queue.ageing * _MICRO))


def _blocks(held: KeyRecord, other: JobRecord | None, unique: Unique, now: float) -> bool:
    """Whether the holder of a key keeps another job out."""
    if held.until is not None:
        return held.until > now
    if other is None or State(other.state).finished:
        return False
    return unique.scope == "active" or other.state != State.RUNNING
