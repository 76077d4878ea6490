"""Huey's queues, from Redis or an SQLite file.

Huey takes a task out of its queue before it runs it, and afterwards keeps its result until somebody reads it. When a
task began and ended is kept by `huey.contrib.stats` only, if people have turned it on (`huey_stats`).
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from nbflow.client.foreign import huey_stats
from nbflow.client.foreign.huey_stores import ReadingSqlite, RedisStore, SqliteStore, Store, path_of
from nbflow.client.foreign.pickles import Made, Name, moment, outline
from nbflow.client.foreign.reading import ForeignSource, Row, error_of, finished, number, seconds, text
from nbflow.client.foreign.starting import redis_at
from nbflow.model.errors import ConfigError
from nbflow.model.states import State

_MESSAGE = ("id", "name", "eta", "retries", "retry_delay", "priority")  # how `huey.registry.Message` begins
_LARGEST = 10_000_000  # bytes that something compressed is unpacked to
_NOTES = ("r:", "rt:", "chord:")  # keys of what Huey notes about tasks and functions, beside the results

_STATS = "huey.contrib.stats is turned on: enable_stats(huey, SqliteDatabase('stats.db')), and here stats='stats.db'"
MISSING = {
    "runs": "Huey knows no flows; its tasks are in jobs() and their tries in attempts().",
    "tasks": "Huey knows no flows; its tasks are in jobs() and their tries in attempts().",
    "events": "Huey stores no events.",
    "artifacts": "Huey has no store of files.",
    "schedules": "Huey's periodic tasks are in the code of the consumer only.",
    "workers": "Huey's consumers do not register anywhere.",
    "jobs": "Huey forgets a task that begins; it keeps results until somebody reads them, and of what returned None "
    f"only with store_none=True. What runs and what has ended is known if {_STATS}.",
    "jobs.worker": "Huey does not record it.",
    "jobs.enqueued_at": f"Known of waiting tasks of PriorityRedisHuey, and if {_STATS}.",
    "jobs.started_at": f"Known if {_STATS}.",
    "jobs.finished_at": f"Known if {_STATS}.",
    "jobs.step": f"Results bear no names: of what has ended it is known if {_STATS}.",
    "jobs.priority": "As in Huey, where the higher number is served first.",
    "jobs.attempts": f"Known if {_STATS}.",
    "jobs.progress": "Huey has none.",
    "jobs.tags": "Huey has none.",
    "attempts": f"Known if {_STATS}.",
    "attempts.worker": "Huey does not record it.",
    "attempts.pid": "Huey does not record it.",
    "attempts.cpu": "Huey does not measure it.",
    "attempts.peak_memory": "Huey does not measure it.",
    "queues": "Queues of which Redis has nothing at the moment are not known; name one by name='...'.",
    "queues.workers": "Huey's consumers do not register anywhere.",
    "queues.running": f"Known if {_STATS}.",
    "queues.waiting_since": "Huey does not record when a task was enqueued.",
}


class HueySource(ForeignSource):
    """Huey in a store: its queues, or the one that is named."""

    kind = "huey"

    def __init__(self, store: Store, stats: ReadingSqlite | None = None, *, name: str | None = None) -> None:
        super().__init__(MISSING)
        self._store = store
        self._stats = stats
        self._name = name

    def close(self) -> None:
        """Close the connections."""
        self._store.close()
        if self._stats is not None:
            self._stats.close()

    def jobs(self) -> list[Row]:
        """What waits, what has a result, and what the record of events tells of."""
        rows = []
        for job in self._jobs().values():
            tries = job.pop("tries", [])
            latest = tries[-1] if tries else {}
            known = {name: latest.get(name) for name in ("started_at", "finished_at", "error_type", "error")}
            if not finished(job["state"]) and job["state"] != State.RUNNING:
                known = {}
            rows.append({**known, **_known(job), "attempts": len(tries)})
        return rows

    def attempts(self) -> list[Row]:
        """The tries that the record of events tells of."""
        rows = []
        for job in self._recorded().values():
            shared = {"task": job["job"], "step": job["step"], "queue": job["queue"], "seq": 0}
            rows += [{**shared, **each} for each in job["tries"]]
        return rows

    def queues(self) -> list[Row]:
        """The queues by their lengths."""
        running = [job["queue"] for job in self._recorded().values() if job["state"] == State.RUNNING]
        rows = []
        for name in self._names():
            ready, delayed = self._store.sizes(name)
            rows.append({"queue": name, "state": "open", "ready": ready, "delayed": delayed})
            rows[-1]["running"] = running.count(name)
        return rows

    def _names(self) -> list[str]:
        return [self._name] if self._name is not None else self._store.names()

    def _recorded(self) -> dict[str, Row]:
        found = {} if self._stats is None else huey_stats.tasks(self._stats)
        return {job: row for job, row in found.items() if self._name in (None, row["queue"])}

    def _jobs(self) -> dict[str, Row]:
        """All jobs by id. What lies in a queue is not begun, whatever its result of an earlier try says."""
        jobs = self._recorded()
        for name in self._names():
            revoked = set()
            for key, value in self._store.values(name):
                if key.startswith("r:"):
                    revoked.add(key[2:])
                elif not key.startswith((*_NOTES, f"{name}.lock.", f"{name}.rl.")):
                    known = jobs.setdefault(key, {"queue": name})
                    if finished(known.get("state", State.SUCCEEDED)):  # else it is the result of an earlier try
                        known |= _known(_result(key, value))
            for row in self._waiting(name):
                jobs[row["job"]] = jobs.get(row["job"], {}) | {"error_type": None, "error": None} | _known(row)
            for job in revoked & jobs.keys():
                jobs[job]["message"] = "revoked"
        return jobs

    def _waiting(self, name: str) -> Iterator[Row]:
        for data, enqueued in self._store.waiting(name):
            row = _message(data)
            if row is not None:
                # A task for later waits in the queue until a consumer takes it and puts it aside.
                later = row["due_at"] is not None and row["due_at"] > time.time()
                state = State.PENDING if later else State.READY
                yield row | {"queue": name, "state": state.value, "enqueued_at": enqueued}
        for data in self._store.scheduled(name):
            row = _message(data)
            if row is not None:
                yield row | {"queue": name, "state": State.PENDING.value}


def _known(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _message(data: bytes) -> Row | None:
    """The row of a task that waits; None if its message cannot be read, as one of a serializer of the user's own."""
    found = _contents(data)
    if isinstance(found, Made) and isinstance(found.what, Name) and found.what.name == "Message":
        found = found.args
    if not isinstance(found, list | tuple) or len(found) < 2 or not isinstance(found[1], str):
        return None
    facts = dict(zip(_MESSAGE, found, strict=False))
    eta = facts.get("eta")
    due = moment(eta) if isinstance(eta, Made) else seconds(eta) if isinstance(eta, str) else None
    return {
        "job": str(facts["id"]),
        "step": facts["name"],
        "kind": "job",
        "priority": number(facts.get("priority")),
        "due_at": due,
    }


def _result(key: str, data: bytes) -> Row:
    """The row of a task that has a result, which may be an error."""
    found = _contents(data)
    row: Row = {"job": key, "kind": "job", "state": State.SUCCEEDED.value}
    if isinstance(found, Made) and found.what == Name("huey.utils", "Error") and isinstance(found.args[0], dict):
        facts = found.args[0]
        error_type, error = error_of(text(facts.get("traceback")))
        late = error_type == "huey.exceptions.TaskTimeout"
        row["state"] = (State.TIMED_OUT if late else State.FAILED).value
        row |= {"error_type": error_type, "error": error or text(facts.get("error"))}
    return row


def _contents(data: bytes) -> Any:
    """What Huey's serializer wrote: a pickle (as an outline) or JSON, compressed or not; None if neither."""
    try:
        if data.startswith(b"\x1f\x8b"):
            data = gzip.GzipFile(fileobj=BytesIO(data)).read(_LARGEST)
        elif data.startswith(b"x"):
            data = zlib.decompressobj().decompress(data, _LARGEST)
        return outline(data) if data.startswith(b"\x80") else json.loads(data)
    except (ValueError, OSError, EOFError, zlib.error, RecursionError):
        return None


def open_huey(url: Any, *, name: str | None = None, stats: Any = None) -> HueySource:
    """Huey's queues at redis://HOST:PORT/DATABASE, or in the SQLite file at a path or sqlite:///PATH; read only.

    `name`: of the one queue that is wanted. `stats`: the SQLite file that huey.contrib.stats writes, by path or URL; if
    the queue itself is in an SQLite file that has these tables too, they are found.
    Raises ConfigError for another kind of URL, StorageError if what it names cannot be reached.
    """
    path, record = path_of(url), None
    file = ReadingSqlite(path) if path is not None else None
    store = RedisStore(redis_at(url, kind="huey")) if file is None else SqliteStore(file)
    if stats is not None:
        record = _stats_file(stats, store)
    elif file is not None and file.tables >= huey_stats.TABLES:
        record = file
    return HueySource(store, record, name=name)


def _stats_file(stats: Any, store: Store) -> ReadingSqlite:
    """The record of events; if there is none to be read the store is closed."""
    try:
        path = path_of(stats)
        if path is None:
            raise ConfigError("What huey.contrib.stats wrote is read from an SQLite file: stats='stats.db'.")
        file = ReadingSqlite(path)
        if not file.tables >= huey_stats.TABLES:
            raise ConfigError(f"{path} has no record of Huey's in it: no tables huey_event and huey_inflight.")
    except BaseException:
        store.close()
        raise
    return file
