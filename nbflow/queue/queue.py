"""`Queue`: the handle by which jobs are enqueued, and by which a queue is made and steered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from nbflow import settings as settings_module
from nbflow.model.errors import ConfigError
from nbflow.model.jobs import JobRecord
from nbflow.model.names import check_name
from nbflow.queue import eager, steering
from nbflow.queue.broker import DEFAULT, STAMPS, Broker, NewJob
from nbflow.queue.calls import Packer
from nbflow.queue.job import Job
from nbflow.queue.options import JobOptions
from nbflow.queue.preparing import Preparer
from nbflow.storage import jobs, opened
from nbflow.values.project import value_store

P = ParamSpec("P")
R = TypeVar("R")
_BATCH = 5_000  # jobs that one transaction enqueues


class Queue:
    """A named queue.

    `Queue("reports").create(priority=1)` makes one; `Queue("reports").enqueue(function, 1, x=2)` puts a call on it.
    Queues with lower priority numbers are served first, those without a number after all others. Jobs go to the queue
    "default", which always exists and is served last, if nothing else is said.
    """

    def __init__(self, name: str = DEFAULT, *, db: str | None = None, **options: Any) -> None:
        """`db`: path or URL of the database; `options`: defaults for the jobs enqueued by this handle."""
        self.name = check_name(name, "queue")
        self._db = db
        self._options = JobOptions().changed(options)

    # --- enqueueing ----------------------------------------------------------------------------------------------

    def enqueue(self, function: Any, /, *args: Any, **kwargs: Any) -> Job:
        """Put a call on the queue; a worker runs it. Jobs among the arguments stand for their results.

        `function`: any function, also of a notebook, or a step. Raises UnknownQueueError, UnpicklableError for what
        cannot travel, and JobExistsError for a unique key that is taken (if it was asked to).
        """
        return self._enqueue(function, [(args, kwargs)], None)[0]

    def enqueue_in(self, connection: Any, function: Any, /, *args: Any, **kwargs: Any) -> Job:
        """The same inside a transaction of your own: an SQLAlchemy connection to the same database.

        The job is there once you commit, and was never there if you roll back.
        """
        return self._enqueue(function, [(args, kwargs)], connection)[0]

    def enqueue_many(self, function: Any, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> list[Job]:
        """Put many calls of one function on the queue: `calls` are tuples of arguments, or dicts of named ones.

        Up to 5,000 are one transaction. Returns the jobs in order.
        """
        parts = (((), dict(call)) if isinstance(call, Mapping) else (tuple(call), {}) for call in calls)
        found: list[Job] = []
        while batch := list(islice(parts, _BATCH)):
            found += self._enqueue(function, batch, None)
        return found

    def map(self, function: Any, *values: Iterable[Any], chunk: int | None = None) -> list[Job]:
        """A job for each item of `values`, as `map()` would call the function; or for each `chunk` of so many items."""
        items = zip(*values, strict=True)
        if chunk is None:
            return self.enqueue_many(function, items)
        return self.enqueue_many(_each, ((function, part) for part in _chunks(items, chunk)))

    def broadcast(self, function: Any, /, *args: Any, **kwargs: Any) -> list[Job]:
        """Have every worker that is alive now run a call once; workers that start later never do. Returns the jobs."""
        return steering.broadcast(self._broker(), self._preparer(function), args, kwargs)

    def with_options(self, **options: Any) -> Queue:
        """The same queue with other options for the jobs that are enqueued by the result.

        priority: number within the queue, lower first. eta, expires: a datetime, timedelta or seconds from now; not
        before, not after. timeout, soft_timeout: seconds. retries, delay, backoff, cap, jitter, retry_on,
        never_retry_on: as of `@step`. unique: a key, or `Unique`. lock: jobs of one lock never overlap. limits:
        `Limit`s. after: jobs to wait for; when: "success" (default), "failure" or "any" of what it needs. front: before
        all others. tags, meta: to find it by. on_success, on_failure: functions that are enqueued with the result or
        the error. success_ttl, failure_ttl: seconds for which it is kept. most_losses: how often its process may die.
        """
        changed = Queue(options.pop("queue", self.name), db=self._db)
        changed._options = self._options.changed(options)
        return changed

    # --- the queue itself ----------------------------------------------------------------------------------------

    def create(
        self,
        *,
        priority: int | None = None,
        max_running: int | None = None,
        max_per_worker: int | None = None,
        rate: tuple[int, float] | None = None,
        ageing: float | None = None,
        **defaults: Any,
    ) -> Queue:
        """Make the queue, or change it to this if it is there.

        priority: lower is served first; None: after those that have one. max_running, max_per_worker: jobs at a time,
        everywhere together and for each worker. rate: (starts, seconds). ageing: seconds of waiting that count as much
        as one step of a job's priority, so that nothing waits for ever. defaults: options of its jobs, such as timeout.
        """
        rate_count, rate_period = rate or (None, None)
        limits = {
            "priority": priority, "max_running": max_running, "max_per_worker": max_per_worker,
            "rate_count": rate_count, "rate_period": rate_period, "ageing": ageing,
        }  # fmt: skip
        steering.define(self._broker(), self.name, limits, defaults)
        return self

    def pause(self) -> None:
        """Hand out nothing more; what runs goes on."""
        steering.set_flags(self._broker(), self.name, paused=1)

    def resume(self) -> None:
        """Hand out and take jobs again."""
        steering.set_flags(self._broker(), self.name, paused=0, draining=0)

    def drain(self) -> None:
        """Take no more jobs; what is there is worked off."""
        steering.set_flags(self._broker(), self.name, draining=1)

    def purge(self) -> int:
        """Remove all jobs that wait, delayed ones too; returns how many."""
        return steering.purge(self._broker(), self.name)

    def peek(self, limit: int = 20) -> list[JobRecord]:
        """The next ready jobs, in the order in which they will be served."""
        with self._broker().database.read() as connection:
            return jobs.waiting(connection, self.name, limit=limit)

    def delayed(self, *, before: float | None = None, limit: int = 20) -> list[JobRecord]:
        """Jobs that wait for a time or for others, the earliest due first; `before`: seconds since 1970."""
        with self._broker().database.read() as connection:
            return jobs.delayed(connection, self.name, before=before, limit=limit)

    def __len__(self) -> int:
        """How many jobs wait."""
        with self._broker().database.read() as connection:
            found = {(queue, state): count for queue, state, count in jobs.counts(connection)}
        return found.get((self.name, "ready"), 0) + found.get((self.name, "pending"), 0)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<queue {self.name!r}>"

    # --- inside --------------------------------------------------------------------------------------------------

    def _broker(self) -> Broker:
        return Broker(opened.database(self._db), value_store(settings_module.current()))

    def _preparer(self, function: Any, broker: Broker | None = None) -> Preparer:
        broker = broker or self._broker()
        options = self._options.changed({"queue": self.name})
        return Preparer(Packer(broker.values, is_job), function, options, steering.defaults(broker, self.name))

    def _enqueue(self, function: Any, calls: Sequence[tuple[Any, Any]], connection: Any) -> list[Job]:
        if settings_module.current().eager:
            return [eager.run(function, args, kwargs) for args, kwargs in calls]
        broker = self._broker()
        preparer = self._preparer(function, broker)
        places = STAMPS.next(len(calls))
        rows = preparer.rows(calls, places) if connection is None else None
        if rows is not None and broker.enqueue_rows(preparer.queue, *rows):
            return [Job(row[0], broker) for row in rows.values]
        new = [preparer.job(args, kwargs, place) for (args, kwargs), place in zip(calls, places, strict=True)]
        callbacks = self._callbacks(preparer, new, broker)
        ids = broker.enqueue([*new, *callbacks], connection=connection)
        return [Job(id_, broker) for id_ in ids[: len(new)]]

    def _callbacks(self, preparer: Preparer, new: Sequence[NewJob], broker: Broker) -> list[NewJob]:
        found = []
        for function, when in preparer.callbacks():
            options = JobOptions(queue=self.name, when=when, timeout=60.0)
            follower = Preparer(Packer(broker.values, is_job), function, options)
            for job, place in zip(new, STAMPS.next(len(new)), strict=True):
                found.append(follower.job((Job(job.record.id, broker),), {}, place))
        return found


def is_job(value: object) -> bool:
    """Whether an argument stands for the result of a job."""
    return isinstance(value, Job)


def queue_of(given: Any) -> tuple[str, int | None]:
    """(name, priority) of a queue given as an object, a name, or a pair in either order."""
    if isinstance(given, Queue):
        return given.name, None
    if isinstance(given, str):
        return check_name(given, "queue"), None
    if isinstance(given, (tuple, list)) and len(given) == 2:
        name, priority = given if isinstance(given[0], str) else reversed(given)
        if isinstance(name, str) and isinstance(priority, int):
            return check_name(name, "queue"), priority
    raise ConfigError(f"a queue is a name, (name, priority) or a Queue, not {given!r}.")


def _each(function: Any, part: list[tuple[Any, ...]]) -> list[Any]:
    return [function(*items) for items in part]


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(items, size)):
        yield part
