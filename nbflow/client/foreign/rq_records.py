"""How RQ writes jobs, results, workers and schedules down. No payload is unpickled."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from nbflow.client.foreign.pickles import first_text
from nbflow.client.foreign.reading import Row, error_of, finished, number, seconds, text
from nbflow.model.states import State

STATES = {
    "created": State.PENDING,
    "deferred": State.PENDING,  # behind other jobs
    "scheduled": State.PENDING,
    "rate_limited": State.PENDING,
    "ready_to_enqueue": State.READY,
    "queued": State.READY,
    "started": State.RUNNING,
    "finished": State.SUCCEEDED,
    "failed": State.FAILED,
    "stopped": State.CANCELLED,
    "canceled": State.CANCELLED,
}
# What `rq.results.Result.Type` counts.
_RESULTS = {1: State.SUCCEEDED, 2: State.FAILED, 3: State.CANCELLED, 4: State.FAILED, 5: State.FAILED}
FIELDS = (
    "status", "origin", "description", "created_at", "enqueued_at", "started_at", "ended_at", "worker_name",
    "exc_info",
)  # fmt: skip
LARGEST = 1_000_000  # bytes of a payload that is fetched to see the function's name; of others the description must do
_HEAD = 4_096  # bytes of it that are looked at


def scored(flat: list[Any]) -> Iterator[tuple[bytes, float]]:
    """Members and scores, which come in turn or as pairs, depending on the protocol of the connection."""
    if flat and isinstance(flat[0], list | tuple):
        yield from ((member, float(score)) for member, score in flat)
    else:
        yield from ((member, float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True))


def job(name: str, facts: dict[str, Any], data: bytes | None, due: float | None) -> Row:
    """The row of a job: its hash, the beginning of its payload, and when it is scheduled for."""
    state = STATES.get(text(facts["status"]) or "created")
    # RQ 3 has it in the stream of results, older ones here as well.
    error_type, error = error_of(_unpacked(facts["exc_info"])) if state is State.FAILED else (None, None)
    begun = state is State.RUNNING or finished(state)
    return {
        "job": name,
        "queue": text(facts["origin"]),
        "step": _function(data, text(facts["description"])),
        "kind": "job",
        "state": state.value if state else text(facts["status"]),
        "worker": text(facts["worker_name"]) if begun else None,
        "enqueued_at": seconds(facts["created_at"]),
        "due_at": due,
        "ready_at": seconds(facts["enqueued_at"]),
        "started_at": seconds(facts["started_at"]) if begun else None,
        "finished_at": seconds(facts["ended_at"]) if finished(state) else None,
        "error_type": error_type,
        "error": error,
    }


def _function(data: bytes | None, description: str | None) -> str | None:
    """The function's name: of a payload in JSON or a pickle the first text, else what the description begins with."""
    if data:
        head = _inflated(data)
        if head.startswith(b"["):
            matched = re.match(rb'\[\s*("(?:[^"\\]|\\.)*")', head)
            found = json.loads(matched[1]) if matched else None
        else:
            found = first_text(head)
        if found:
            return str(found)
    # Unless people give another one, it is the call as it would be written.
    matched_call = re.match(r"([A-Za-z_][\w.]*)\(", description or "")
    return matched_call[1] if matched_call else None


def _inflated(data: bytes, most: int = _HEAD) -> bytes:
    """The beginning of what may be compressed."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return data[:most]


def _unpacked(packed: bytes | None) -> str | None:
    return text(_inflated(packed, LARGEST)) if packed else None


def attempts(job: Row, stream: list[Any]) -> list[Row]:
    """The tries of a job: its recorded results, and the one that runs. Tells the job how its latest one ended."""
    recorded = [_result(name, fields) for name, fields in stream]
    if recorded and finished(job["state"]):
        _latest(job, recorded[-1])
    elif job["state"] == State.RUNNING or (finished(job["state"]) and job["started_at"]):
        latest = {name: job[name] for name in ("state", "worker", "started_at", "finished_at", "error_type", "error")}
        recorded.append({**latest, "queued_at": _before(job["ready_at"], job["started_at"])})
    shared = {"task": job["job"], "step": job["step"], "queue": job["queue"], "seq": 0}
    return [{**shared, "attempt": count, **row} for count, row in enumerate(recorded, 1)]


def _latest(job: Row, result: Row) -> None:
    """Put together what RQ keeps of a job that has ended and of its latest result."""
    if result["error_type"] or result["error"]:
        job["error_type"], job["error"] = result["error_type"], result["error"]
    if job["state"] == State.FAILED and (job["error_type"] or "").endswith("JobTimeoutException"):
        job["state"] = State.TIMED_OUT.value
    result["state"] = job["state"]
    result["started_at"] = result["started_at"] or job["started_at"]
    result["finished_at"] = job["finished_at"] or result["finished_at"]
    result["worker"] = result["worker"] or job["worker"]
    result["queued_at"] = _before(job["ready_at"], result["started_at"])


def _before(queued: float | None, started: float | None) -> float | None:
    """When a try was queued, if that is of this try: a job that is enqueued again has a later one."""
    return queued if queued is not None and (started is None or queued <= started) else None


def _result(name: bytes, fields: Any) -> Row:
    """One entry of the stream of results. Its name begins with the time of writing, in milliseconds."""
    pairs = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    facts = {text(key): value for key, value in pairs.items()}
    state = _RESULTS.get(number(facts.get("type")) or 0)
    packed = facts.get("exc_string")
    error_type, error = error_of(_unpacked(b64decode(packed))) if packed else (None, None)
    return {
        "state": state.value if state else None,
        "worker": text(facts.get("worker_name")),
        "started_at": _real(facts.get("execution_started_at")),
        "finished_at": _real(facts.get("execution_ended_at")) or int(name.split(b"-")[0]) / 1000,
        "error_type": error_type,
        "error": error,
    }


def _real(value: bytes | None) -> float | None:
    return float(value) if value else None


def worker(key: str, raw: dict[bytes, bytes], busy: int) -> Row:
    """The row of a worker: its key, its hash (empty if it has expired) and how many jobs it runs."""
    facts = {text(name): text(value) for name, value in raw.items()}
    stopped = bool(facts.get("death"))
    state = "stopped" if stopped else "running" if facts else "lost"
    version = facts.get("version")
    return {
        "worker": key.split(":worker:", 1)[-1],
        "state": state,
        "alive": state == "running",
        "host": facts.get("hostname"),
        "pid": number(facts.get("pid")),
        "queues": ", ".join((facts.get("queues") or "").split(",")) or None,
        "concurrency": 1 if facts else None,
        "busy": max(busy, facts.get("state") == "busy"),
        "done": (number(facts.get("successful_job_count")) or 0) + (number(facts.get("failed_job_count")) or 0),
        "version": f"rq {version}" if version else None,
        "started_at": seconds(facts.get("birth")),
        "seen_at": seconds(facts.get("last_heartbeat")),
    }


def schedule(entry: dict[str, Any]) -> Row:
    """The row of an entry of a cron scheduler."""
    interval = entry.get("interval")
    return {
        "schedule": entry.get("name") or entry.get("func_name"),
        "kind": "cron" if entry.get("cron") else "interval",
        "expression": entry.get("cron") or (f"{interval} s" if interval else None),
        "queue": entry.get("queue_name"),
        "target": entry.get("func_name"),
        "next_at": seconds(entry.get("next_enqueue_time")),
        "last_at": seconds(entry.get("latest_enqueue_time")),
    }


def loaded(written: bytes | None) -> Any:
    """What JSON says; None if it is none."""
    try:
        return json.loads(written or b"null")
    except ValueError:
        return None
