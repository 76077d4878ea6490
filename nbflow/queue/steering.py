"""Making queues, changing them, and what concerns all jobs of one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import ConfigError, TaskCancelledError
from nbflow.model.jobs import Mark, QueueRecord
from nbflow.model.names import check_name
from nbflow.model.policies import check_times
from nbflow.model.states import State
from nbflow.queue import gates
from nbflow.queue.broker import STAMPS, Broker, new_queue, open_queue, queue_limits
from nbflow.queue.consequences import Consequences
from nbflow.queue.job import Job
from nbflow.queue.options import TTLS, Limit, seconds
from nbflow.queue.presence import is_dead
from nbflow.running.failure import error_record
from nbflow.storage import bells, jobs, queues, sweeper
from nbflow.storage import gates as stored_gates
from nbflow.storage.connection import Connection

if TYPE_CHECKING:
    from nbflow.queue.preparing import Preparer

_DEFAULTS = ("timeout", "soft_timeout", "success_ttl", "failure_ttl", "retries")
PERSONAL = "@"  # before the id of a worker: the queue that it alone serves
_PAGE = 500


def define(broker: Broker, name: str, limits: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Make a queue, or change it. Raises ConfigError for limits or defaults that make no sense."""
    unknown = sorted(set(defaults) - set(_DEFAULTS))
    if unknown:
        raise ConfigError(f"a queue has no option {unknown[0]!r}; it has {', '.join([*limits, 'rate', *_DEFAULTS])}.")
    check_name(name, "queue")
    _check_limits(name, limits)
    options = {key: _default(value, key) for key, value in defaults.items() if value is not None or key in TTLS}
    check_times(f"queue {name!r}", {key: options.get(key) for key in ("timeout", "soft_timeout")})
    record = new_queue(name, broker.clock.time())._replace(**limits, options=json.dumps(options))

    def act(connection: Connection) -> None:
        old = queues.get(connection, name)
        if old is None:
            queues.add(connection, record)
        elif old[2:] != record[2:]:
            queues.change(connection, name, **limits, options=record.options)
            if queue_limits(old) != queue_limits(record):
                _limit_again(connection, record, broker.clock.time())

    bells.changing(broker.database, act, bells.JOBS)


def _default(value: Any, key: str) -> float | int | None:
    if key != "retries":
        return seconds(value, key)
    if type(value) is not int or value < 0:
        raise ConfigError(f"retries of a queue is a whole number, 0 or more, not {value!r}.")
    return int(value)


def _check_limits(name: str, limits: Mapping[str, Any]) -> None:
    priority = limits["priority"]
    if priority is not None and (not isinstance(priority, int) or isinstance(priority, bool)):
        raise ConfigError(f"priority of queue {name!r} is a whole number, the lower served first, not {priority!r}.")
    for limit in ("max_running", "max_per_worker", "rate_count"):
        value = limits[limit]
        if value is not None and (type(value) is not int or value < 1):
            raise ConfigError(f"{limit} of queue {name!r} is {value!r}; it has to be a whole number, 1 or more.")
    for limit in ("rate_period", "ageing"):
        seconds(limits[limit], f"{limit} of queue {name!r}")


def define_all(broker: Broker, wanted: Sequence[tuple[str, int | None, bool]]) -> None:
    """Make queues, each told as (name, priority, whether that is to be so if it is there already)."""
    names = [name for name, *_ in wanted]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigError(f"queue {double!r} is named twice.")
    now = broker.clock.time()

    def act(connection: Connection) -> None:
        for position, (name, priority, firm) in enumerate(wanted):
            # A microsecond apart: those without a number are served in this order.
            if not queues.add(connection, new_queue(name, now + position / 1e6, priority=priority)) and firm:
                queues.change(connection, name, priority=priority)

    bells.changing(broker.database, act, bells.JOBS)


def _limit_again(connection: Connection, queue: QueueRecord, now: float) -> None:
    """Let limits that were changed hold for the jobs that are there already."""
    limits = queue_limits(queue)
    wanted = {limit.gate for limit in limits}
    own = {Limit(queue.name, 1, per, kind="queue").gate for per in (None, 1.0)}
    found = jobs.unfinished(connection, queue.name)  # and locked, which comes before the lock of the gates
    stored_gates.lock(connection)
    opened = {limit.gate for limit in limits if stored_gates.define(connection, limit.gate, limit.count, limit.per)}
    held: Counter[str] = Counter()
    back: list[gates.Left] = []
    coming: list[gates.Arrival] = []
    for job in found:
        old = set(gates.names(job.gates))
        new = (old - own) | wanted
        if new == old:
            continue
        column = gates.column(new)
        stands = job.state == State.PENDING and gates.leave(connection, job.id)
        jobs.regate(connection, job.id, column, Mark.GATED)
        if job.state == State.RUNNING:  # rates count what begins from now on
            held.update({name: 1 for name in new - old if not name.startswith(gates.RATE)})
            back.append(gates.Left(gates.column(name for name in old - new if not name.startswith(gates.RATE))))
        elif job.state == State.READY or stands:
            if job.state == State.READY:
                back.append(gates.Left(job.gates))
            coming.append(gates.Arrival(job.id, queue.name, column or "[]", job.priority, job.place))
    jobs.unready(connection, [each.job for each in coming])
    stored_gates.hold(connection, held)
    gates.arrive(connection, coming, now)
    gates.let_through(connection, opened | gates.give_back(connection, back), now)


def set_flags(broker: Broker, name: str, **flags: int) -> None:
    """Pause, drain or reopen a queue. Raises UnknownQueueError."""

    def act(connection: Connection) -> None:
        known = {queue.name: queue for queue in queues.everything(connection)}
        if name not in known:
            open_queue(connection, known, name)  # "default" exists without having been made; others raise
        queues.change(connection, name, **flags)
        if "paused" in flags:
            (gates.pause if flags["paused"] else gates.resume)(connection, name, broker.clock.time())

    bells.changing(broker.database, act, bells.JOBS)


def purge(broker: Broker, name: str) -> int:
    """Remove the waiting jobs of a queue, and let those that need them know; returns how many they were."""
    count = 0
    error = error_record(TaskCancelledError(f"Queue {name!r} was purged."))

    def act(connection: Connection) -> list[str]:
        known = {queue.name: queue for queue in queues.everything(connection)}
        if name not in known:
            open_queue(connection, known, name)
        stored_gates.lock(connection)  # before the locks of the jobs, as everywhere
        listed = [*jobs.waiting(connection, name, limit=_PAGE), *jobs.delayed(connection, name, limit=_PAGE)]
        found = jobs.get(connection, [record.id for record in listed], lock=True).values()
        waiting = [record for record in found if record.state in (State.READY, State.PENDING)]
        follow = Consequences(connection, broker.values, broker.clock.time())
        follow.finish([follow.stop(record, State.CANCELLED, error) for record in waiting])
        ids = [record.id for record in waiting]
        sweeper.delete_of_jobs(connection, ids)
        jobs.delete(connection, ids)
        return ids

    while found := bells.changing(broker.database, act, bells.NEWS, bells.JOBS):
        count += len(found)
    return count


def broadcast(broker: Broker, preparer: Preparer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Job]:
    """A job for each worker that is alive, on the queue that it alone serves."""
    now = broker.clock.time()
    with broker.database.read() as connection:
        workers = [worker.id for worker in queues.listed(connection) if not is_dead(worker, now)]
    places = STAMPS.next(max(1, len(workers)))
    new = [
        preparer.job(args, kwargs, place, now, queue=f"{PERSONAL}{worker}", kind="broadcast")
        for worker, place in zip(workers, places, strict=False)
    ]
    return [Job(id_, broker) for id_ in broker.enqueue(new)]


def defaults(broker: Broker, name: str) -> dict[str, Any]:
    """The defaults that a queue has for its jobs."""
    with broker.database.read() as connection:
        found = queues.get(connection, name)
    options: dict[str, Any] = json.loads(found.options) if found is not None else {}
    return options
