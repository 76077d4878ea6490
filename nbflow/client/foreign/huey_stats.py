"""What Huey's own record of events (`huey.contrib.stats`) tells: when each try of a task began and how it ended."""

from __future__ import annotations

from nbflow.client.foreign.huey_stores import ReadingSqlite
from nbflow.client.foreign.reading import Row, error_of_repr
from nbflow.model.states import State

TABLES = {"huey_event", "huey_inflight"}

# Signals that end a try. "error" and the like are followed by "retrying" if there is another one.
_ENDS = {
    "complete": State.SUCCEEDED,
    "error": State.FAILED,
    "timeout": State.TIMED_OUT,
    "locked": State.FAILED,
    "rate-limited": State.FAILED,
    "retrying": State.FAILED,
    "interrupted": State.FAILED,
    "canceled": State.CANCELLED,
}
# Signals that end a task without a try.
_DROPS = {"revoked": State.CANCELLED, "expired": State.EXPIRED}


def tasks(file: ReadingSqlite) -> dict[str, Row]:
    """The tasks that the record tells of, by id: rows of jobs, with their tries as "tries"."""
    found: dict[str, Row] = {}
    statement = "SELECT ts, queue, task_id, task, signal, error FROM huey_event ORDER BY ts, id"
    for moment, queue, job, step, signal, error in file.rows(statement):
        task = found.setdefault(job, {"job": job, "tries": [], "state": State.READY.value})
        task |= {"queue": queue, "step": step}
        _take_in(task, float(moment), signal, error)
    for job, queue, step, started in file.rows("SELECT task_id, queue, task, started FROM huey_inflight"):
        if job not in found:  # its events were pruned
            attempt = {"attempt": 1, "state": State.RUNNING.value, "started_at": float(started)}
            found[job] = {"job": job, "queue": queue, "step": step, "tries": [attempt], "state": State.RUNNING.value}
    return found


def _take_in(task: Row, moment: float, signal: str, error: str | None) -> None:
    tries: list[Row] = task["tries"]
    if signal == "enqueued":
        task.setdefault("enqueued_at", moment)
        task |= {"ready_at": moment, "state": State.READY.value}
    elif signal == "scheduled":
        task["state"] = State.PENDING.value
    elif signal == "executing":
        attempt: Row = {"attempt": len(tries) + 1, "state": State.RUNNING.value, "started_at": moment}
        tries.append(attempt | {"queued_at": task.get("ready_at")})
        task["state"] = State.RUNNING.value
    elif signal in _DROPS:
        task |= {"state": _DROPS[signal].value, "finished_at": moment}
    elif signal in _ENDS:
        if tries and "finished_at" not in tries[-1]:
            error_type, message = error_of_repr(error)
            ended = {"state": _ENDS[signal].value, "finished_at": moment, "error_type": error_type, "error": message}
            tries[-1] |= ended
        task["state"] = (State.PENDING if signal == "retrying" else _ENDS[signal]).value
