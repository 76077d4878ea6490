"""Making queues, changing them, and what concerns all jobs of one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from nbflow.model.errors import ConfigError, TaskCancelledError
from nbflow.model.jobs import QueueRecord
from nbflow.model.states import State
from nbflow.queue import gates
from nbflow.queue.broker import STAMPS, Broker, new_queue, open_queue, queue_limits
from nbflow.queue.consequences import Consequences
from nbflow.queue.job import Job
from nbflow.queue.options import check_timeouts, seconds
from nbflow.queue.presence import is_dead
from nbflow.running.failure import error_record
from nbflow.storage import bells, jobs, queues
from nbflow.storage import gates as stored_gates

if TYPE_CHECKING:
    from nbflow.queue.preparing import Preparer

_DEFAULTS = ("timeout", "soft_timeout", "success_ttl", "failure_ttl")
PERSONAL = "@"  # before the id of a worker: the queue that it alone serves
_PAGE = 500


def define(broker: Broker, name: str, limits: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Make a queue, or change it. Raises ConfigError for limits or defaults that make no sense."""
    unknown = sorted(set(defaults) - set(_DEFAULTS))
    if unknown:
        raise ConfigError(f"a queue has no option {unknown[0]!r}; it has {', '.join([*limits, 'rate', *_DEFAULTS])}.")
    for limit in ("max_running", "max_per_worker", "rate_count", "rate_period", "ageing"):
        value = limits[limit]
        if value is not None and not value > 0:
            raise ConfigError(f"{limit} of queue {name!r} is {value!r}; it has to be above 0.")
    options = {key: seconds(value, key) for key, value in defaults.items() if value is not None}
    check_timeouts(options.get("timeout"), options.get("soft_timeout"), f"queue {name!r}")
    record = new_queue(name, time.time())._replace(**limits, options=json.dumps(options))
    with bells.ringing(broker.database, bells.JOBS) as connection:
        if not queues.add(connection, record):
            changes = {**limits, "options": record.options}
            queues.change(connection, name, **changes)
            _gate_again(connection, record)


def _gate_again(connection: Connection, queue: QueueRecord) -> None:
    """Let limits that were changed hold for the jobs that wait already."""
    limits = queue_limits(queue)
    for limit in limits:
        stored_gates.define(connection, limit.key, limit.count, limit.per)
    wanted = {limit.key for limit in limits}
    own = {f"queue:{queue.name}", f"rate:{queue.name}"}
    now = time.time()
    for record in [*jobs.waiting(connection, queue.name), *jobs.delayed(connection, queue.name)]:
        old = set(gates.names(record.gates))
        new = (old - own) | wanted
        if new == old:
            continue
        jobs.regate(connection, record, sorted(new))
        if record.state == State.READY:
            gates.ended(connection, sorted(old), now, began=False)
            gates.admit(connection, gates.Waiting(record.id, record.priority, record.place, tuple(sorted(new))), now)
    gates.let_through(connection, [*wanted], now)


def set_flags(broker: Broker, name: str, **flags: int) -> None:
    """Pause, drain or reopen a queue. Raises UnknownQueueError."""
    with bells.ringing(broker.database, bells.JOBS) as connection:
        known = {queue.name: queue for queue in queues.everything(connection)}
        if name not in known:
            open_queue(connection, known, name)  # "default" exists without having been made; others raise
        queues.change(connection, name, **flags)


def purge(broker: Broker, name: str) -> int:
    """Remove the waiting jobs of a queue, and let those that need them know; returns how many they were."""
    count = 0
    with bells.ringing(broker.database, bells.NEWS) as connection:
        known = {queue.name: queue for queue in queues.everything(connection)}
        if name not in known:
            open_queue(connection, known, name)
        follow = Consequences(connection, broker.values, time.time())
        error = error_record(TaskCancelledError(f"Queue {name!r} was purged."))
        while found := [
            *jobs.waiting(connection, name, limit=_PAGE), *jobs.delayed(connection, name, limit=_PAGE)
        ]:  # fmt: skip
            follow.finish([follow.stop(record, State.CANCELLED, error) for record in found])
            jobs.delete(connection, [record.id for record in found])
            count += len(found)
    return count


def broadcast(broker: Broker, preparer: Preparer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Job]:
    """A job for each worker that is alive, on the queue that it alone serves."""
    with broker.database.read() as connection:
        now = time.time()
        workers = [worker.id for worker in queues.listed(connection) if not is_dead(worker, now)]
    places = STAMPS.next(max(1, len(workers)))
    new = [
        preparer.job(args, kwargs, place, queue=f"{PERSONAL}{worker}", kind="broadcast")
        for worker, place in zip(workers, places, strict=False)
    ]
    return [Job(id_, broker) for id_ in broker.enqueue(new)]


def defaults(broker: Broker, name: str) -> dict[str, Any]:
    """The defaults that a queue has for its jobs."""
    with broker.database.read() as connection:
        found = queues.get(connection, name)
    options: dict[str, Any] = json.loads(found.options) if found is not None else {}
    return options
