"""Frames of nbflow's own database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbflow.client.columns import COLUMNS, typed
from nbflow.engine import detached
from nbflow.model.queries import Query
from nbflow.queue import presence
from nbflow.queue.overview import overview
from nbflow.storage import queries, queues, runs, schedules
from nbflow.storage.pages import Texts

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.model.jobs import WorkerRecord
    from nbflow.storage.database import Database

Row = dict[str, Any]

# What has to be read for columns that are computed.
_NEEDED = {
    "flow": ("run",),
    "interrupted": ("run",),
    "wait": ("ready_at", "queued_at", "enqueued_at", "created_at", "started_at"),
    "duration": ("started_at", "finished_at"),
}


class NbflowSource:
    """nbflow's own database."""

    kind = "nbflow"
    missing: Mapping[str, str] = {}

    def __init__(self, database: Database) -> None:
        self.database = database

    def frame(self, what: str, query: Query) -> tuple[pd.DataFrame, int]:
        """The rows of a kind of frame that a query wants, the oldest first, and how many there are without limit."""
        rows = _SMALL.get(what)
        if rows is None:
            return _large(self.database, what, query)
        found = [row for row in rows(self.database, query) if _in_time(row, query)]
        shown = found[max(0, len(found) - query.limit) :] if query.limit is not None else found
        columns = {name: [row[name] for row in shown] for name in found[0]} if found else {}
        return typed(what, columns, only=query.columns), len(found)

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def _large(database: Database, what: str, query: Query) -> tuple[pd.DataFrame, int]:
    wanted = query.columns or tuple(COLUMNS[what])
    needed = dict.fromkeys([*wanted, *(more for name in wanted for more in _NEEDED.get(name, ()))])
    found = queries.read(database, what, replace(query, columns=tuple(needed)))
    columns = _ordered(found.columns, found.order, query.limit)
    if "flow" in wanted and "flow" not in columns:
        flows = queries.flows(database)
        columns["flow"] = columns["run"].mapped(flows.get)
    if "tags" in columns:
        columns["tags"] = columns["tags"].mapped(_listed)
    if "interrupted" in wanted:
        dead = interrupted(database)
        columns["interrupted"] = [run in dead for run in columns["run"]]
    return typed(what, {name: _pandas(column) for name, column in columns.items()}, only=wanted), found.total


def _ordered(columns: Mapping[str, Any], by: str, limit: int | None) -> dict[str, Any]:
    """Rows in the order of a time, those of one time as they are; with a limit the last ones only."""
    import numpy as np

    times = columns[by]
    order = None
    if (times[1:] < times[:-1]).any():
        order = np.argsort(times, kind="stable")
    if limit is not None and len(times) > limit:
        order = (np.arange(len(times)) if order is None else order)[len(times) - limit :]
    if order is None:
        return dict(columns)
    return {
        name: column._replace(codes=column.codes[order]) if isinstance(column, Texts) else column[order]
        for name, column in columns.items()
    }


def _pandas(column: Any) -> Any:
    import pandas as pd

    if not isinstance(column, Texts):
        return column
    return pd.Categorical.from_codes(column.codes, categories=pd.Index(column.names, dtype=object))


def _listed(stored: str) -> str | None:
    """A list in JSON as text; None if it is empty."""
    return ", ".join(json.loads(stored)) or None if stored else None


def interrupted(database: Database) -> set[str]:
    """The runs that nobody goes on with, though they have not finished."""
    now = time.time()
    found = database.retrying(queries.unfinished_runs, write=False)
    dead = [record for record in found if not runs.alive(record, now)]
    return {record.id for record in dead if record.executor != "queue" or not detached.waits(database, record.id)}


def serves(worker: WorkerRecord, queue: str) -> bool:
    """Whether a worker takes jobs of a queue."""
    if queue.startswith("@"):  # its own
        return queue == f"@{worker.id}"
    listed = json.loads(worker.queues)
    return (not listed or queue in listed) and queue not in json.loads(worker.excluded)


def _queues(database: Database, query: Query) -> list[Row]:
    now = time.time()
    told = [each for each in overview(database, now)["queues"] if query.queue in (None, each["name"])]
    with database.read() as connection:
        created = {record.name: record.created_at for record in queues.everything(connection)}
        alive = [worker for worker in queues.listed(connection) if not presence.is_dead(worker, now)]
        since = {each["name"]: queries.waiting_since(connection, each["name"]) for each in told}
    return [
        {
            "queue": each["name"],
            "state": each["state"],
            "priority": each["priority"],
            "workers": sum(serves(worker, each["name"]) for worker in alive),
            "ready": each["pending"],
            "delayed": each["pending_eta"],
            "waiting": each["waiting"],
            "running": each["running"],
            "failed": each["failed"],
            "ended": sum(each["ended"].values()),
            "waiting_since": since[each["name"]],
            **{name: each["limits"].get(name) for name in _LIMITS},
            "created_at": created.get(each["name"]),
        }
        for each in told
    ]


def _workers(database: Database, query: Query) -> list[Row]:
    now = time.time()
    records = database.retrying(lambda connection: queues.listed(connection, _WORKER_STATES), write=False)
    rows = []
    for record in records:
        active = record.state in ("running", "draining")
        alive = active and not presence.is_dead(record, now)
        if query.queue is not None and not serves(record, query.queue):
            continue
        rows.append(
            {
                "worker": record.id,
                "state": "lost" if active and not alive else record.state,
                "alive": alive,
                "host": record.host,
                "pid": record.pid,
                "queues": _listed(record.queues) or "all",
                "excluded": _listed(record.excluded),
                "concurrency": record.concurrency,
                "busy": record.busy,
                "done": record.done,
                "version": record.version,
                "started_at": record.started_at,
                "seen_at": record.seen_at,
            }
        )
    return rows


def _schedules(database: Database, query: Query) -> list[Row]:
    records = database.retrying(lambda connection: schedules.listed(connection, query.queue), write=False)
    names = [name for name in COLUMNS["schedules"] if name not in ("schedule", "paused")]
    return [
        {"schedule": record.name, "paused": record.paused, **{name: getattr(record, name) for name in names}}
        for record in records
    ]


def _in_time(row: Row, query: Query) -> bool:
    """Whether a worker was there in the time that is asked for; all else has no time."""
    if "seen_at" not in row:
        return True
    too_early = query.since is not None and row["seen_at"] < query.since
    return not too_early and not (query.until is not None and row["started_at"] >= query.until)


_LIMITS = ("max_running", "max_per_worker", "rate_count", "rate_period", "ageing")
_WORKER_STATES = ("running", "draining", "stopped", "lost")
_SMALL: dict[str, Callable[[Database, Query], Sequence[Row]]] = {
    "queues": _queues,
    "workers": _workers,
    "schedules": _schedules,
}
