"""What Celery's workers tell while somebody listens: the only way to know when a task began.

Events are published and not stored, so what was told before the first look is lost. Subscribing leaves nothing behind
in Redis. Nothing runs in the background: each look takes what has come since the last one, and Redis keeps up to 32 MB
of it meanwhile; if more came, it hangs up, and what was told is lost (`gap`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbflow.client.foreign.celery_records import body_of, loaded, too_late
from nbflow.client.foreign.reading import Row, error_of, error_of_repr, number
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.client.foreign.redis_reading import ReadingRedis

_MOST = 100_000  # tasks that are remembered; the oldest are forgotten first
_PATIENCE = 5.0  # seconds until the subscription is confirmed
_SILENT = 10.0  # seconds without a heartbeat after which a worker is taken for lost; they send one every 2 s

_ENDS = {
    "task-succeeded": State.SUCCEEDED,
    "task-failed": State.FAILED,
    "task-retried": State.FAILED,
    "task-revoked": State.CANCELLED,
    "task-rejected": State.CANCELLED,
    "task-cancelled": State.CANCELLED,
}


class Told:
    """What has been told of tasks and workers since the first look."""

    def __init__(self, redis: ReadingRedis, channel: str) -> None:
        self._redis = redis
        self._channel = channel  # with a star at its end
        self._subscription: Any = None
        self.tasks: OrderedDict[str, Row] = OrderedDict()  # by id: a row of jobs, with its tries as "tries"
        self.workers: dict[str, Row] = {}

    def close(self) -> None:
        """Stop listening."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def listen(self) -> None:
        """Begin to listen; returns when nothing more is missed."""
        with self._redis.translated():
            self._subscription = self._redis.subscription()
            self._subscription.psubscribe(self._channel)
            deadline = time.monotonic() + _PATIENCE
            while time.monotonic() < deadline:
                told = self._subscription.get_message(timeout=_PATIENCE)
                if told is not None and told["type"] == "psubscribe":
                    return

    def update(self) -> None:
        """Take in what has come since the last time."""
        for event in self._events():
            kind = event.get("type")
            if not isinstance(kind, str) or not isinstance(event.get("timestamp"), int | float):
                continue
            if kind.startswith("task-") and isinstance(event.get("uuid"), str):
                self._task(kind, event)
            elif kind.startswith("worker-") and isinstance(event.get("hostname"), str):
                self._worker(kind, event)
        while len(self.tasks) > _MOST:
            self.tasks.popitem(last=False)

    def worker_rows(self) -> dict[str, Row]:
        """The workers that were heard of, by name."""
        now = time.time()
        for row in self.workers.values():
            if row["state"] != "stopped":
                row["state"] = "running" if now - row["seen_at"] <= _SILENT else "lost"
            row["alive"] = row["state"] == "running"
        return self.workers

    def _events(self) -> Iterator[dict[str, Any]]:
        with self._redis.translated():
            while (told := self._subscription.get_message(timeout=0.0)) is not None:
                if told["type"] != "pmessage":
                    continue
                envelope = loaded(told["data"])
                body = body_of(envelope) if isinstance(envelope, dict) else None
                # Workers send several at once.
                yield from (each for each in (body if isinstance(body, list) else [body]) if isinstance(each, dict))

    def _worker(self, kind: str, event: dict[str, Any]) -> None:
        version = event.get("sw_ver")
        row = self.workers.setdefault(event["hostname"], {"worker": event["hostname"]})
        row |= {
            "state": "stopped" if kind == "worker-offline" else "running",
            "host": event["hostname"].partition("@")[2] or None,
            "pid": number(event.get("pid")),
            "busy": number(event.get("active")) or 0,
            "done": number(event.get("processed")) or 0,
            "version": f"celery {version}" if version else None,
            "seen_at": float(event["timestamp"]),
        }
        if kind == "worker-online":
            row["started_at"] = float(event["timestamp"])

    def _task(self, kind: str, event: dict[str, Any]) -> None:
        moment = float(event["timestamp"])
        task = self.tasks.setdefault(event["uuid"], {"job": event["uuid"], "tries": []})
        if isinstance(event.get("name"), str):
            task["step"] = event["name"]
        if kind == "task-sent":
            task.setdefault("enqueued_at", moment)
            task["queue"] = event.get("queue") or task.get("queue")
            task["sent_at"] = moment
        elif kind == "task-received":
            queued = task.pop("sent_at", moment)
            task["tries"].append({"attempt": (number(event.get("retries")) or 0) + 1, "queued_at": queued})
        elif kind == "task-started":
            waiting = [each for each in _open(task["tries"]) if "started_at" not in each]
            attempt = waiting[0] if waiting else _another(task["tries"])
            attempt |= {"state": State.RUNNING.value, "started_at": moment, "worker": event.get("hostname")}
        elif kind in _ENDS:
            running = _ending(task["tries"], kind)
            # If all have ended it is told twice: by the parent, and when it has replaced its child.
            if running is not None or not task["tries"]:
                _end(running or _another(task["tries"]), kind, event, moment)


def _open(tries: list[Row]) -> list[Row]:
    """The tries that have not ended. The next may be received, begun and ended before the last one's end is told."""
    return [each for each in tries if "finished_at" not in each]


def _ending(tries: list[Row], kind: str) -> Row | None:
    """The try whose end is told: one that is repeated came before those that are not."""
    tries = _open(tries)
    if kind == "task-retried" or not tries:
        return tries[0] if tries else None
    begun = [each for each in tries if "started_at" in each]
    return (begun or tries)[-1]


def _another(tries: list[Row]) -> Row:
    """One more try, of which it was missed how it was received."""
    tries.append({"attempt": tries[-1]["attempt"] + 1 if tries else 1})
    return tries[-1]


def _error(event: dict[str, Any], *, again: bool) -> tuple[str | None, str | None]:
    """Type and message of an error. The traceback of a task that asks to be run again ends with its asking."""
    traceback, exception = event.get("traceback"), event.get("exception")
    error_type, error = (None, None) if again or not isinstance(traceback, str) else error_of(traceback)
    return error_of_repr(exception) if error_type is None and isinstance(exception, str) else (error_type, error)


def _end(attempt: Row, kind: str, event: dict[str, Any], moment: float) -> None:
    attempt |= {"state": _ENDS[kind].value, "finished_at": moment, "worker": event.get("hostname")}
    attempt["again"] = kind == "task-retried"
    runtime = event.get("runtime")
    if "started_at" not in attempt and isinstance(runtime, int | float):
        attempt["started_at"] = moment - runtime
    error_type, error = _error(event, again=attempt["again"])
    attempt |= {"error_type": error_type, "error": error}
    if kind == "task-failed" and too_late(error_type):
        attempt["state"] = State.TIMED_OUT.value
    elif kind == "task-revoked" and event.get("expired"):
        attempt["state"] = State.EXPIRED.value
