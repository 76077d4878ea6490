"""How the queue stands: its queues with what waits in them, and the workers that are there."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from nbflow.model.jobs import QueueRecord, WorkerRecord
from nbflow.model.states import FINISHED
from nbflow.queue.broker import DEFAULT, new_queue
from nbflow.queue.presence import is_dead
from nbflow.storage import job_lists, queues
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database

_DEAD_LETTERS = ("failed", "timed_out")
_LIMITS = ("max_running", "max_per_worker", "rate_count", "rate_period", "ageing")


def overview(database: Database, now: float) -> dict[str, Any]:
    """Queues in the order in which they are served, and connected workers, as JSON can hold it."""
    with database.read() as connection:
        known = known_queues(connection, now)
        counted = job_lists.counts(connection)
        workers = [worker for worker in queues.listed(connection) if not is_dead(worker, now)]
    counts: dict[str, Counter[str]] = {}
    for queue, state, has_time, count in counted:
        counts.setdefault(queue, Counter())[_what(state, has_time=has_time)] += count
    return {
        "database": database.url,
        "queues": [_queue(queue, counts.get(queue.name, Counter())) for queue in known],
        "workers": [_worker(worker) for worker in workers],
    }


def known_queues(connection: Connection, now: float) -> list[QueueRecord]:
    """Queues in the order in which they are served; "default" is there without having been made."""
    known = queues.everything(connection)
    if all(queue.name != DEFAULT for queue in known):
        known.append(new_queue(DEFAULT, now))
    return known


def _what(state: str, *, has_time: bool) -> str:
    """As what a job is counted: "pending" means here that a worker could take it now."""
    if state == "ready":
        return "pending"
    if state == "pending":
        return "pending_eta" if has_time else "waiting"
    return state


def _queue(queue: QueueRecord, counts: Counter[str]) -> dict[str, Any]:
    return {
        "name": queue.name,
        "priority": queue.priority,
        "state": "paused" if queue.paused else "draining" if queue.draining else "open",
        "pending": counts["pending"],
        "pending_eta": counts["pending_eta"],
        "waiting": counts["waiting"],
        "running": counts["running"],
        "failed": sum(counts[state] for state in _DEAD_LETTERS),
        "ended": {state.value: counts[state] for state in sorted(FINISHED) if counts[state]},
        "limits": {name: getattr(queue, name) for name in _LIMITS if getattr(queue, name) is not None},
        "defaults": json.loads(queue.options),
    }


def _worker(worker: WorkerRecord) -> dict[str, Any]:
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "state": worker.state,
        "queues": json.loads(worker.queues),
        "excluded": json.loads(worker.excluded),
        "concurrency": worker.concurrency,
        "busy": worker.busy,
        "done": worker.done,
        "children": [pid for pid, _ in json.loads(worker.children)],
        "version": worker.version,
        "started_at": worker.started_at,
        "seen_at": worker.seen_at,
    }
