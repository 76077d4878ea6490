"""The broker: jobs go in, are cancelled, put off, requeued. Each verb is a transaction, or a part of the caller's."""

from __future__ import annotations

import difflib
import random
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from nbflow import settings
from nbflow.model.errors import QueueClosedError, TaskCancelledError, UnknownQueueError
from nbflow.model.jobs import JobRecord, KeyRecord, Mark, QueueRecord, RevocationRecord
from nbflow.model.names import check_name, time_id
from nbflow.model.ports import Clock
from nbflow.model.states import State
from nbflow.queue import gates
from nbflow.queue.binding import Binder
from nbflow.queue.consequences import Consequences
from nbflow.queue.options import Limit, Unique
from nbflow.running.clock import SystemClock
from nbflow.running.failure import error_record
from nbflow.storage import bells, hooks, job_links, jobs, opened, queues, sweeper
from nbflow.storage import gates as stored_gates
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database
from nbflow.values.project import value_store
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
    conditional: bool = False  # runs only if something that it needs went wrong, so not at all if it needs nothing

    @property
    def is_plain(self) -> bool:
        """Whether nothing is bound to it that has to be looked at before it begins."""
        return not (self.limits or self.needs or self.unique or self.conditional)


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

    def __init__(self, database: Database, values: ValueStore, clock: Clock | None = None) -> None:
        """`clock`: the time that jobs are put down with; default: the machine's."""
        self.database = database
        self.values = values
        self.clock: Clock = clock or SystemClock()

    @classmethod
    def of(cls, db: str | None = None, *, create: bool = True) -> Broker:
        """That of a database (URL or path; default: the settings') with its values."""
        database = opened.database(db, create=create)
        return cls(database, value_store(settings.current(), database.url))

    # --- in ----------------------------------------------------------------------------------------------------

    def enqueue(self, new: Sequence[NewJob], *, connection: Connection | None = None) -> list[str]:
        """Store jobs, all or none, and return their ids in order; of a clash of unique keys that of the other job.

        With a `connection` they become part of its transaction. Raises UnknownQueueError, QueueClosedError,
        JobNotFoundError for a need that does not exist, JobExistsError.
        """
        if connection is not None:
            if not connection.in_transaction():
                connection.begin()
            known = None
            if self.database.dialect == "postgresql":  # in the caller's transaction others would wait for its end
                known = self.database.retrying(lambda own: self._share(own, new))
            found = self.add(connection, new, later=True, known=known)
            self.ring_later(connection)
            return found
        return bells.changing(self.database, lambda own: self.add(own, new), bells.JOBS)

    def enqueue_rows(self, queue: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> bool:
        """Store jobs that nothing is bound to, given as rows; False, and nothing is stored, if the queue has limits."""

        def act(connection: Connection) -> bool:
            known = {found.name: found for found in queues.everything(connection)}
            record = open_queue(connection, known, queue)
            if record.ageing is not None or queue_limits(record):
                return False
            jobs.insert_rows(connection, columns, rows)
            return True

        return bells.changing(self.database, act, bells.JOBS)

    def add(
        self,
        connection: Connection,
        new: Sequence[NewJob],
        *,
        later: bool = False,
        known: dict[str, QueueRecord] | None = None,
    ) -> list[str]:
        """Store jobs inside a transaction; those that are there already are left as they are.

        `later`: what would keep others waiting until the transaction ends is left to workers. `known`: the queues, if
        what the jobs share with others is there already.
        """
        if known is None:
            known = self._share(connection, new)
        binder = Binder(connection, self.values, self.clock.time(), later=later)
        ids: list[str] = []
        plain: list[JobRecord] = []
        there: dict[str, str] | None = None  # looked up only if something is bound to any
        for job in new:
            queue = open_queue(connection, known, job.record.queue)
            record = _aged(job.record, queue)
            limits = (*queue_limits(queue), *job.limits)
            if not limits and job.is_plain:
                plain.append(record)
                ids.append(record.id)
                continue
            if there is None:
                there = jobs.states(connection, [each.record.id for each in new])
            if record.id in there:
                ids.append(record.id)
                continue
            jobs.insert(connection, plain)  # first, since later ones may need them
            plain = []
            ids.append(binder.add(job._replace(record=record), limits))
        jobs.insert(connection, plain)
        binder.close()
        return ids

    def _share(self, connection: Connection, new: Sequence[NewJob]) -> dict[str, QueueRecord]:
        """Have there what jobs share with others: their queues, which are returned, and the gates of their limits."""
        known = {queue.name: queue for queue in queues.everything(connection)}
        limits: dict[Limit, None] = {}  # in their order
        for name in dict.fromkeys([job.record.queue for job in new]):
            limits |= dict.fromkeys(queue_limits(open_queue(connection, known, name)))
        for job in new:
            if job.limits:
                limits |= dict.fromkeys(job.limits)
        opened = {limit.gate for limit in limits if stored_gates.define(connection, limit.gate, limit.count, limit.per)}
        if opened:
            stored_gates.lock(connection)
            gates.let_through(connection, opened, self.clock.time())
        return known

    # --- out ---------------------------------------------------------------------------------------------------

    def cancel(self, ids: Sequence[str], reason: str = "asked to", *, at_once: bool = False) -> dict[str, str]:
        """Cancel jobs that wait, and have running ones aborted; returns the state that each had.

        `at_once`: what runs is killed and does not learn of it.
        """

        def act(connection: Connection) -> dict[str, str]:
            return self.cancel_in(connection, ids, reason, at_once=at_once)

        return bells.changing(self.database, act, bells.JOBS, bells.NEWS)

    def cancel_in(
        self, connection: Connection, ids: Sequence[str], reason: str, *, at_once: bool = False
    ) -> dict[str, str]:
        """Cancel jobs inside a transaction."""
        follow = Consequences(connection, self.values, self.clock.time())
        if any(record.gates for record in jobs.get(connection, ids).values()):
            stored_gates.lock(connection)  # before the locks of the jobs, as everywhere
        ended, states = [], {}
        for record in jobs.get(connection, ids, lock=True).values():
            states[record.id] = record.state
            if record.state == State.RUNNING:
                jobs.change(connection, record.id, abort=2 if at_once else 1)
            elif record.state in (State.PENDING, State.READY):
                error = error_record(TaskCancelledError(f"{record.name!r} was cancelled: {reason} ({record.id})."))
                ended.append(follow.stop(record, State.CANCELLED, error))
        follow.finish(ended)
        return states

    def requeue(self, ids: Sequence[str], *, front: bool = False) -> list[str]:
        """Let finished jobs begin anew, their tries not counted; returns those that do.

        Those that need others wait for the ones that have not ended, and run whatever became of the rest.
        """
        shift = FRONT if front else 0
        places = [place - shift for place in STAMPS.next(max(1, len(ids)))]

        def act(connection: Connection) -> list[str]:
            follow = Consequences(connection, self.values, self.clock.time())
            found = list(jobs.get(connection, ids, lock=True).values())
            finished = [record for record in found if State(record.state).finished and record.payload is not None]
            anew = [self._anew(connection, record, place) for record, place in zip(finished, places, strict=False)]
            follow.awaited_again([record.id for record in anew])
            follow.let_go([record for record in anew if follow.bind(record) == 0])
            # Those that have one of these places began anew in a transaction whose commit was not heard of.
            return [record.id for record in (*found, *anew) if record.place in places]

        return bells.changing(self.database, act, bells.JOBS)

    def _anew(self, connection: Connection, record: JobRecord, place: int) -> JobRecord:
        marks = record.marks & ~Mark.UNIQUE
        if record.unique_key is not None:
            job_links.take_key(connection, KeyRecord(record.unique_key, record.id, None))
            held = job_links.key(connection, record.unique_key)
            if held is not None and held.job == record.id:
                marks |= Mark.UNIQUE
        changes: dict[str, Any] = {
            **dict.fromkeys(_RESULT), **dict.fromkeys(("attempt", "claims", "losses", "waiting", "abort"), 0),
            "state": State.PENDING.value, "place": place, "due_at": None, "expires_at": None, "marks": int(marks),
        }  # fmt: skip
        sweeper.delete_tries(connection, [record.id])
        jobs.change(connection, record.id, **changes)
        return record._replace(**changes)

    def revoke(self, target: str, *, until: float | None = None, once: bool = False) -> None:
        """Keep jobs from beginning, now or later: "id:ID" or "name:FUNCTION"."""
        record = RevocationRecord(target, until, int(once), self.clock.time())
        self.database.retrying(lambda connection: job_links.revoke(connection, record))

    def restore(self, target: str) -> bool:
        """Take a revocation back; whether there was one."""
        return self.database.retrying(lambda connection: job_links.restore(connection, target))

    def tick(self) -> None:
        """Do what the time brings, as workers do: due jobs, expired ones."""

        def act(connection: Connection) -> None:
            Consequences(connection, self.values, self.clock.time()).tick()

        bells.changing(self.database, act, bells.JOBS, bells.NEWS)

    def ring_later(self, connection: Connection) -> None:
        """Ring for jobs once the caller's transaction is committed."""
        if self.database.dialect == "postgresql":
            bells.notify(connection, bells.JOBS)
        else:
            hooks.after_commit(connection, lambda: bells.ring(self.database, bells.JOBS))


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
        found.append(Limit(queue.name, queue.max_running, kind="queue"))
    if queue.rate_count is not None and queue.rate_period is not None:
        found.append(Limit(queue.name, queue.rate_count, queue.rate_period, kind="queue"))
    return tuple(found)


def _aged(record: JobRecord, queue: QueueRecord) -> JobRecord:
    """Priority as waiting time, on a queue where that counts: the order then stays the same however long it is."""
    if queue.ageing is None:
        return record
    return record._replace(priority=0, place=record.place + int(record.priority * queue.ageing * _MICRO))
