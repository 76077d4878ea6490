"""`Queue`: the handle by which jobs are enqueued, and by which a queue is made and steered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, overload

from nbflow import settings as settings_module
from nbflow.model.errors import ConfigError
from nbflow.model.jobs import JobRecord
from nbflow.model.names import check_name
from nbflow.queue import eager, runners, steering
from nbflow.queue.broker import DEFAULT, STAMPS, Broker
from nbflow.queue.enqueueing import Enqueuer
from nbflow.queue.job import Job
from nbflow.queue.options import JobOptions, moment
from nbflow.queue.patterns import Group, Pattern
from nbflow.queue.scheduling import Scheduling
from nbflow.storage import jobs

_BATCH = 10_000  # jobs that one transaction enqueues


class Queue(Scheduling):
    """A named queue.

    `Queue("reports").create(priority=1)` makes one; `Queue("reports").enqueue(function, 1, x=2)` puts a call on it.
    Queues with lower priority numbers are served first, those without a number after all others. Jobs go to the queue
    "default", which always exists and is served last, if neither the call nor the function says anything else.
    """

    def __init__(self, name: str | None = None, *, db: str | None = None, **options: Any) -> None:
        """`db`: path or URL of the database; `options`: defaults for the jobs enqueued by this handle."""
        self.name = DEFAULT if name is None else check_name(name, "queue")
        self._named = name is not None
        self._db = db
        self._options = JobOptions().changed(options)

    @classmethod
    def define(cls, queues: Iterable[Any], *, db: str | None = None) -> list[Queue]:
        """Make several queues at once, or give them other priorities.

        Each is a name, (name, priority) in either order, or a Queue, which is made if it is not there and else left as
        it is. Those without a number are served after all that have one. Raises ConfigError.
        """
        found = [(*queue_of(each), not isinstance(each, Queue)) for each in queues]
        steering.define_all(cls(db=db)._broker(), found)
        return [cls(name, db=db) for name, *_ in found]

    # --- enqueueing ----------------------------------------------------------------------------------------------

    @overload
    def enqueue(self, pattern: Pattern, /) -> Group: ...

    @overload
    def enqueue(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job: ...

    def enqueue(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Put a call on the queue, or a pattern of calls; workers run it. Jobs among the arguments stand for results.

        `function`: any function, also of a notebook, a step, or what `nbflow.queue.patterns` makes. Returns a Job; a
        Group for a pattern. Raises UnknownQueueError, UnpicklableError for what cannot travel, and JobExistsError for a
        unique key that is taken (if it was asked to).
        """
        return self._enqueue(function, args, kwargs, None)

    def enqueue_in(self, connection: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The same inside a transaction of your own: an SQLAlchemy connection to the same database.

        The jobs are there once you commit, and were never there if you roll back.
        """
        return self._enqueue(function, args, kwargs, connection)

    def enqueue_many(self, function: Any, calls: Iterable[Sequence[Any] | Mapping[str, Any]]) -> list[Job]:
        """Put many calls of one function on the queue: `calls` are tuples of arguments, or dicts of named ones.

        Up to 10,000 are one transaction. Returns the jobs in order.
        """
        parts: Iterable[tuple[Any, Any]] = (
            ((), dict(call)) if isinstance(call, Mapping) else (tuple(call), {}) for call in calls
        )
        return self._enqueue_calls(function, parts)

    def map(self, function: Any, *values: Iterable[Any], chunk: int | None = None) -> Group:
        """A job for each item of `values`, as `map()` would call the function; or for each `chunk` of so many items.

        The results of the group are in order, with `chunk` a list for each job.
        """
        items = zip(*values, strict=True)
        batch = STAMPS.id(STAMPS.next()[0])
        if chunk is None:
            found = self._enqueue_calls(function, ((each, {}) for each in items), batch=batch)
        else:
            if chunk < 1:
                raise ConfigError(f"a chunk has 1 item or more, not {chunk!r}.")
            chunks: Iterable[tuple[Any, Any]] = (((part,), {}) for part in _chunks(items, chunk))
            found = self._enqueue_calls(function, chunks, batch=batch, runner=runners.each)
        return Group(batch, list(found), found)

    def broadcast(self, function: Any, /, *args: Any, **kwargs: Any) -> list[Job]:
        """Have every worker that is alive now run a call once; workers that start later never do. Returns the jobs."""
        broker = self._broker()
        return steering.broadcast(broker, self._enqueuer(broker).preparer(function), args, kwargs)

    def with_options(self, **options: Any) -> Queue:
        """The same queue with other options for the jobs that are enqueued by the result.

        queue: another one, by name or as an object. priority: number within the queue, lower first. eta, expires: a
        datetime, timedelta or seconds from now; not before, not after. timeout, soft_timeout, heartbeat_timeout:
        seconds. retries, delay, backoff, cap, jitter, retry_on, never_retry_on: as of `@step`. unique: a key, or
        `Unique`. lock: jobs of one lock never overlap. limits: `Limit`s. after: jobs to wait for; when: it is run on
        "success" (default), "failure", "stopped" (one was cancelled) or "any" end of what it needs. front: before all
        others. id: see `new_id`. tags, meta: to find it by. on_success, on_failure, on_stopped: functions, or `call`s
        of them, that are enqueued with the result or the error, or URLs that are told. success_ttl, failure_ttl:
        seconds for which it is kept, None for ever. most_losses: how often its process may die.
        """
        queue = options.pop("queue", None)
        changed = Queue(self.name if self._named else None, db=self._db)
        if queue is not None:
            changed = Queue(queue_of(queue)[0], db=self._db)
        changed._options = self._options.changed(options)
        return changed

    # --- jobs ----------------------------------------------------------------------------------------------------

    @staticmethod
    def new_id() -> str:
        """An id for a job that is enqueued later, by `with_options(id=...)`, and can be revoked before."""
        return STAMPS.id(STAMPS.next()[0])

    def job(self, id: str) -> Job:
        """The handle of the job with this id, whether there is one or not."""
        return Job(id, self._broker())

    def revoke(self, function: Any, *, until: Any = None, once: bool = False) -> None:
        """Keep the jobs of a function from beginning, on all queues: workers cancel them instead.

        function: it, a step, or its name. until: a datetime, timedelta or seconds from now, after which they may begin.
        once: the next one only. See also `Job.revoke`.
        """
        broker = self._broker()
        target = f"name:{function_name(function)}"
        broker.revoke(target, until=moment(until, broker.clock.time(), "until"), once=once)

    def restore(self, function: Any) -> bool:
        """Let the jobs of a function begin in spite of an earlier `revoke`; whether there was one."""
        return self._broker().restore(f"name:{function_name(function)}")

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

    def delayed(self, *, before: Any = None, limit: int = 20) -> list[JobRecord]:
        """Jobs that wait for a time or for others, the earliest due first.

        `before`: only what is due before then; a datetime, timedelta or seconds from now.
        """
        broker = self._broker()
        latest = moment(before, broker.clock.time(), "before")
        with broker.database.read() as connection:
            return jobs.delayed(connection, self.name, before=latest, limit=limit)

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
        return Broker.of(self._db)

    def _enqueuer(self, broker: Broker) -> Enqueuer:
        return Enqueuer(broker, self.name if self._named else None, self._options)

    def _enqueue(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], connection: Any) -> Any:
        is_eager = settings_module.current().eager
        if isinstance(function, Pattern):
            if args or kwargs:
                raise ConfigError("a pattern has its arguments in itself: call(function, ...).")
            if is_eager:
                return eager.run_pattern(function)
            return self._enqueuer(self._broker()).pattern(function, connection)
        if is_eager:
            return eager.run(function, args, kwargs)
        enqueuer = self._enqueuer(self._broker())
        return enqueuer.calls(enqueuer.preparer(function), [(args, kwargs)], connection)[0]

    def _enqueue_calls(
        self,
        function: Any,
        calls: Iterable[tuple[Any, Any]],
        *,
        batch: str | None = None,
        runner: Callable[..., Any] | None = None,
    ) -> list[Job]:
        calls = iter(calls)
        if settings_module.current().eager:
            return [eager.run(function, args, kwargs, runner) for args, kwargs in calls]
        enqueuer = self._enqueuer(self._broker())
        preparer = enqueuer.preparer(function, runner=runner).in_batch(batch)
        found: list[Job] = []
        while part := list(islice(calls, _BATCH)):
            found += enqueuer.calls(preparer, part, None)
        return found


def queue_of(given: Any) -> tuple[str, int | None]:
    """(name, priority) of a queue given as an object, a name, or a pair in either order."""
    if isinstance(given, Queue):
        return given.name, None
    if isinstance(given, str):
        return check_name(given, "queue"), None
    if isinstance(given, (tuple, list)) and len(given) == 2:
        name, priority = given if isinstance(given[0], str) else reversed(given)
        if isinstance(name, str) and isinstance(priority, int) and not isinstance(priority, bool):
            return check_name(name, "queue"), priority
    raise ConfigError(f"a queue is a name, (name, priority) or a Queue, not {given!r}.")


def function_name(function: Any) -> str:
    """The name under which the jobs of a function, or step, are known."""
    if isinstance(function, str):
        return check_name(function, "job")
    spec = getattr(function, "spec", None)
    return str(getattr(spec, "name", None) or runners.name_of(function))


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(items, size)):
        yield part
