"""Celery's queues and results, from the keys that Celery has in Redis, and from what its workers tell meanwhile.

Celery keeps what waits (lists of messages, and the hash "unacked" of those that workers hold) and the results (a key
for each). It keeps nothing of when a task was sent or begun; that is told by events only (`celery_events`). Workers are
not asked by remote control, as that would write into the broker.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from nbflow.client.foreign import celery_records as records
from nbflow.client.foreign.celery_events import Told
from nbflow.client.foreign.reading import ForeignSource, Row, escaped, finished, text
from nbflow.client.foreign.starting import redis_at
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.client.foreign.redis_reading import ReadingRedis

_SEPARATOR = "\x06\x16"  # between the parts of names that kombu makes
_RESULT = "celery-task-meta-"
_BINDING = "_kombu.binding."
_NO_QUEUES = ("celeryev", "celery.pidbox", "reply.celery.pidbox")  # exchanges of Celery's own
_PRIORITIES = (0, 3, 6, 9)  # the steps that kombu puts priorities on, unless it is told others
_LARGEST = 1_000_000  # bytes of a result that is fetched whole
_END = 4_096  # bytes of each end of a larger one

_EVENTS = "from events, so only of what happens while this client is open, and only if the workers send them: "
_EVENTS += "celery worker -E, or worker_send_task_events = True"
MISSING = {
    "runs": "Celery knows no flows; its tasks are in jobs() and their tries in attempts().",
    "tasks": "Celery knows no flows; its tasks are in jobs() and their tries in attempts().",
    "events": "Celery stores no events.",
    "artifacts": "Celery has no store of files.",
    "schedules": "Celery beat keeps its schedule in a file or a database of its own, not in the broker.",
    "jobs": "Celery forgets a task that begins, until its result is stored: one that runs is seen with "
    "task_track_started = True, or by events (-E). Results go after result_expires (a day), those of tasks with "
    "ignore_result are not kept, and a result backend elsewhere is named by results='redis://...'.",
    "jobs.step": "Of tasks that have ended: stored with result_extended = True only, or told by events (-E).",
    "jobs.queue": "Of tasks that have ended: stored with result_extended = True only, or told by events of senders "
    "(task_send_sent_event = True).",
    "jobs.worker": "Of tasks that have ended: stored with result_extended = True only, or told by events (-E).",
    "jobs.enqueued_at": "Celery's messages bear no time. Told by events of senders (task_send_sent_event = True) while "
    "this client is open.",
    "jobs.started_at": f"Celery stores no start times; they are known {_EVENTS}.",
    "jobs.attempts": "Stored with result_extended = True only; else 1 for whatever has ended.",
    "jobs.progress": "Known of tasks that tell it by update_state(meta={'current': ..., 'total': ...}).",
    "jobs.schedule": "Celery does not mark what beat has sent.",
    "jobs.tags": "Celery has none.",
    "attempts": f"Celery stores the end of the last try only. The others, and when they began, are known {_EVENTS}.",
    "attempts.started_at": f"Celery stores no start times; they are known {_EVENTS}.",
    "attempts.queued_at": f"Celery's messages bear no time; it is known {_EVENTS}.",
    "attempts.cpu": "Celery does not measure it.",
    "attempts.peak_memory": "Celery does not measure it.",
    "attempts.exit": "Celery does not store it.",
    "queues.running": "What a worker holds counts as ready until it says that it has begun it (task_track_started).",
    "queues.workers": "Only workers know, and asking them would write into the broker.",
    "queues.waiting_since": "Celery's messages bear no time.",
    "workers.state": "Known of workers whose heartbeat came while this client is open; one comes every two seconds.",
    "workers.queues": "Only the worker knows, and asking it would write into the broker.",
    "workers.concurrency": "Only the worker knows, and asking it would write into the broker.",
    "workers.started_at": "Known of workers that started while this client is open.",
}


class CelerySource(ForeignSource):
    """Celery with its broker in one database of Redis and its results in the same or another one."""

    kind = "celery"

    def __init__(
        self, broker: ReadingRedis, results: ReadingRedis, *, prefix: str = "", result_prefix: str = ""
    ) -> None:
        super().__init__(MISSING)
        self._broker = broker
        self._results = results
        self._prefix = prefix
        self._result_prefix = result_prefix + _RESULT
        self._told = Told(broker, f"{prefix}/{broker.database}.celeryev*")
        self._told.listen()
        self._ended: dict[str, Row] = {}  # by id

    def close(self) -> None:
        """Close the connections to Redis."""
        self._told.close()
        self._broker.close()
        self._results.close()

    def jobs(self) -> list[Row]:
        """What waits, what workers hold, what has a result and what was told of."""
        return [_without_own(row) for row in self._jobs().values()]

    def attempts(self) -> list[Row]:
        """The tries that were told of, and the last one of what has a result."""
        rows = []
        for job in self._jobs().values():
            shared = {"task": job["job"], "seq": 0, "step": job.get("step"), "queue": job.get("queue")}
            rows += [{**shared, **each} for each in _attempts(job)]
        return rows

    def queues(self) -> list[Row]:
        """The queues that are bound, by the lengths of their lists and what workers hold of them."""
        bindings = self._bindings()
        names = sorted(set(bindings.values()))
        lengths = self._broker.many(("LLEN", key) for name in names for key in self._lists(name))
        steps = len(_PRIORITIES)
        held = list(self._held(bindings))
        running = self._running(row["job"] for row in held)
        rows = []
        for place, name in enumerate(names):
            mine = [row for row in held if row["queue"] == name]
            begun = sum(row["job"] in running for row in mine)
            delayed = sum(row["state"] == State.PENDING for row in mine)
            ready = sum(length or 0 for length in lengths[place * steps : (place + 1) * steps])
            counts = {"ready": ready + len(mine) - begun - delayed, "running": begun, "delayed": delayed}
            rows.append({"queue": name, "state": "open", **counts})
        return rows

    def workers(self) -> list[Row]:
        """The workers that have registered, with what their heartbeats told."""
        self._told.update()
        key = f"{self._prefix}{_BINDING}celery.pidbox"
        members = [_parts(each)[-1] for each in self._broker.do("SMEMBERS", key)]
        names = {each.removesuffix(".celery.pidbox") for each in members}
        told = self._told.worker_rows()
        unheard = [{"worker": name, "host": name.partition("@")[2] or None} for name in names - told.keys()]
        return sorted([*told.values(), *unheard], key=lambda row: str(row["worker"]))

    # ------------------------------------------------------------ jobs

    def _jobs(self) -> dict[str, Row]:
        """All jobs by id. Who is asked later knows more: first events, then the broker, then the results."""
        self._told.update()
        bindings = self._bindings()
        jobs = {task["job"]: _of_events(task) for task in self._told.tasks.values()}
        for row in chain(self._held(bindings), self._waiting(bindings)):
            jobs[row["job"]] = _with_message(jobs.get(row["job"], {}), row)
        for row in self._ended_and_begun():
            jobs[row["job"]] = _with_result(jobs.get(row["job"], {}), row)
        return jobs

    def _bindings(self) -> dict[tuple[str, str], str]:
        """The queues by exchange and routing key."""
        start = len(self._prefix + _BINDING)
        keys = self._broker.keys(f"{escaped(self._prefix + _BINDING)}*")
        exchanges = [(text(key) or "")[start:] for key in keys]
        found = {}
        for exchange, members in zip(exchanges, self._broker.many(("SMEMBERS", key) for key in keys), strict=True):
            if exchange not in _NO_QUEUES:
                for routing_key, *_, queue in map(_parts, members or ()):
                    found[exchange, routing_key] = queue
        return found

    def _lists(self, queue: str) -> list[str]:
        """The lists of a queue: one for each priority."""
        return [self._prefix + queue + (f"{_SEPARATOR}{step}" if step else "") for step in _PRIORITIES]

    def _waiting(self, bindings: dict[tuple[str, str], str]) -> Iterator[Row]:
        for queue in sorted(set(bindings.values())):
            for key in self._lists(queue):
                for row in filter(None, map(records.message, self._broker.whole_list(key))):
                    yield {**row, "queue": queue, "state": State.READY.value}

    def _held(self, bindings: dict[tuple[str, str], str]) -> Iterator[Row]:
        """What workers hold: reserved, waiting for its time, or running and not yet acknowledged."""
        now = time.time()
        for _, raw in self._broker.whole_hash(f"{self._prefix}unacked"):
            held = records.loaded(raw)
            row = records.message(held[0]) if isinstance(held, list) and len(held) == 3 else None
            if row is not None:
                waits = row["due_at"] is not None and row["due_at"] > now
                row["state"] = (State.PENDING if waits else State.READY).value
                yield {**row, "queue": bindings.get((held[1], held[2]), held[2]), "held": True}

    def _ended_and_begun(self) -> Iterator[Row]:
        """What has a result. A success is not fetched again: Celery never overwrites it, as it may other ends."""
        start = len(self._result_prefix.encode())
        keys = {text(key[start:]) or "": key for key in self._results.keys(f"{escaped(self._result_prefix)}*")}
        self._ended = {job: row for job, row in self._ended.items() if job in keys}
        news = {job: key for job, key in keys.items() if job not in self._ended}
        for job, raw in zip(news, self._contents(list(news.values())), strict=True):
            if raw:
                row = records.result(job, raw)
                if row["state"] == State.SUCCEEDED:
                    self._ended[job] = row
                else:
                    yield row
        yield from self._ended.values()

    def _contents(self, keys: list[bytes]) -> Iterator[bytes]:
        """The values of some keys; of large ones the two ends, which say all but what the task returned."""
        sizes = self._results.many(("STRLEN", key) for key in keys)
        large = [(size or 0) > _LARGEST for size in sizes]
        heads = self._results.many(
            ("GETRANGE", key, 0, _END - 1) if cut else ("GET", key) for key, cut in zip(keys, large, strict=True)
        )
        ends = [("GETRANGE", key, -_END, -1) for key, cut in zip(keys, large, strict=True) if cut]
        tails = iter(self._results.many(ends))
        for head, cut in zip(heads, large, strict=True):
            yield (head or b"") + (next(tails) or b"" if cut else b"")

    def _running(self, jobs: Iterable[str]) -> set[str]:
        """Those of some jobs whose result says that they run."""
        names = list(jobs)
        found = self._contents([(self._result_prefix + name).encode() for name in names])
        rows = [records.result(name, raw) for name, raw in zip(names, found, strict=True) if raw]
        return {row["job"] for row in rows if row["state"] == State.RUNNING}


def _of_events(task: Row) -> Row:
    """The row of a job as far as events told it."""
    latest = task["tries"][-1] if task["tries"] else {}
    state = State.PENDING if latest.get("again") else latest.get("state", State.READY)
    row = {name: value for name, value in task.items() if name != "sent_at"} | {"state": str(state)}
    row |= {name: latest.get(name) for name in ("started_at", "finished_at", "worker", "error_type", "error")}
    begun = latest.get("attempt", 0) if "state" in latest else len(task["tries"][:-1])
    return row | {"attempts": begun, "ready_at": latest.get("queued_at")}


def _with_message(known: Row, row: Row) -> Row:
    """A job that was told of and of which there is a message: it waits, unless its message stays until it has ended."""
    if row.get("held") and known.get("state") == State.RUNNING:
        return {**row, **_told(known)}
    return {**known, "finished_at": None, "error_type": None, "error": None, **_told(row)}


def _with_result(known: Row, row: Row) -> Row:
    """A job that was told of, or waits, and that has a result."""
    if row["state"] == State.PENDING:  # the result of a try that is repeated: it says nothing of the next one
        return {**row, **_told(known)}
    begun = {} if finished(row["state"]) else {"finished_at": None, "error_type": None, "error": None}
    attempts = max(known.get("attempts") or 0, row.get("attempts") or 0)
    return {**known, **begun, **_told(row), "attempts": attempts}


def _told(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _attempts(job: Row) -> list[Row]:
    """The tries of a job: those that were told of, else the last one as far as its result tells."""
    told: list[Row] = [{**each} for each in job.get("tries") or [] if "state" in each]
    if not told and (job.get("state") == State.RUNNING or finished(job.get("state"))):
        names = ("state", "worker", "started_at", "finished_at", "error_type", "error")
        told = [{"attempt": max(job.get("attempts") or 1, 1), **{name: job.get(name) for name in names}}]
    if told and job.get("state") == State.RUNNING:
        told[-1]["pid"] = job.get("pid")
    return [{name: value for name, value in each.items() if name != "again"} for each in told]


def _without_own(row: Row) -> Row:
    """A row without what is no column of jobs."""
    return {name: value for name, value in row.items() if name not in ("tries", "pid", "held")}


def _parts(member: bytes) -> list[str]:
    return (text(member) or "").split(_SEPARATOR)


def open_celery(url: Any, *, results: str | None = None, prefix: str = "", result_prefix: str = "") -> CelerySource:
    """Celery's queues at redis://HOST:PORT/DATABASE, read only, with the results there or at `results`.

    `prefix` and `result_prefix` are the `global_keyprefix` of the options of the broker's transport and of the result
    backend's. Raises ConfigError for another kind of URL, DatabaseUnreachableError if nobody answers there.
    """
    broker = redis_at(url, kind="celery")
    try:
        store = redis_at(url if results is None else results, kind="celery")
    except BaseException:
        broker.close()
        raise
    if result_prefix and result_prefix[-1] not in ":_-.":
        result_prefix += "_"  # as Celery does
    return CelerySource(broker, store, prefix=prefix, result_prefix=result_prefix)
