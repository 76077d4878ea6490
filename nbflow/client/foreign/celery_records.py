"""How Celery writes messages and results down, as rows. Nothing is unpickled.

A message in Redis is a JSON envelope around a body. What is told here is in its headers; only those of protocol 1, from
before Celery 4, have it in the body, which is read if it is JSON or msgpack.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any

from nbflow.client.foreign.pickles import Made, Name, outline
from nbflow.client.foreign.reading import Row, error_of, number, seconds
from nbflow.model.states import State

STATES = {
    "PENDING": State.READY,
    "RECEIVED": State.READY,
    "STARTED": State.RUNNING,
    "RETRY": State.PENDING,
    "SUCCESS": State.SUCCEEDED,
    "FAILURE": State.FAILED,
    "REVOKED": State.CANCELLED,
    "REJECTED": State.CANCELLED,
    "IGNORED": State.CANCELLED,
}
_TOO_LATE = ("TimeLimitExceeded", "SoftTimeLimitExceeded")


def message(raw: bytes | str | dict[str, Any]) -> Row | None:
    """The row of a job that waits: from a message as it lies in a queue. None if it is no task."""
    envelope = raw if isinstance(raw, dict) else loaded(raw)
    if not isinstance(envelope, dict):
        return None
    headers, properties = envelope.get("headers") or {}, envelope.get("properties") or {}
    facts = headers if "task" in headers else body_of(envelope)
    if not isinstance(facts, dict) or not isinstance(facts.get("task"), str):
        return None
    return {
        "job": facts.get("id") or properties.get("correlation_id"),
        "step": facts["task"],
        "kind": "job",
        "priority": number(properties.get("priority")),
        "due_at": seconds(facts.get("eta")),
        "attempts": number(facts.get("retries")) or 0,  # tries before this one
    }


def body_of(envelope: dict[str, Any]) -> Any:
    """The body of a message, if it is JSON or msgpack; else None."""
    body, properties = envelope.get("body"), envelope.get("properties") or {}
    if not isinstance(body, str):
        return None
    try:
        data = b64decode(body) if properties.get("body_encoding") == "base64" else body.encode()
    except ValueError:
        return None
    return None if data.startswith(b"\x80") else _plain(data)


def result(job: str, raw: bytes) -> Row:
    """The row of a job of which a result is kept: all that the result tells."""
    facts = _result_facts(raw)
    status = facts.get("status")
    state = STATES.get(str(status)) if status else None
    row: Row = {"job": job, "kind": "job", "state": state.value if state else None}
    row |= {"step": _word(facts.get("name")), "queue": _word(facts.get("queue")), "worker": _word(facts.get("worker"))}
    row["finished_at"] = seconds(_word(facts.get("date_done")))
    retries = number(facts.get("retries"))
    row["attempts"] = 1 if retries is None else retries + 1
    value = facts.get("result")
    if state is State.RUNNING and isinstance(value, dict):
        row |= {"worker": _word(value.get("hostname")) or row["worker"], "pid": number(value.get("pid"))}
    elif state is None and status:  # a state of the user's own: the task has begun, and says how far it is
        row |= {"state": State.RUNNING.value, "message": str(status), "progress": _progress(value)}
    elif state is not State.SUCCEEDED:
        row |= _failure(state, value, _word(facts.get("traceback")))
    return row


def _result_facts(raw: bytes) -> dict[str, Any]:
    """The plain parts of a stored result; of one that was cut off those that can be seen."""
    found = _plain(raw)
    if isinstance(found, dict):
        return found
    matched = re.search(rb'"status": ?"(\w+)"', raw[:512])
    done = re.search(rb'"date_done": ?"([^"]+)"', raw[-4096:])
    pairs = (("status", matched), ("date_done", done))
    return {name: each[1].decode("ascii", "replace") for name, each in pairs if each}


def _failure(state: State | None, value: Any, traceback: str | None) -> Row:
    """What a job ended with that did not succeed; the state anew if the error says more than Celery's state does."""
    error_type, error = error_of(traceback)
    if isinstance(value, dict) and "exc_type" in value:
        module = value.get("exc_module")
        kind = str(value["exc_type"])
        error_type = kind if module in (None, "builtins", "exceptions") else f"{module}.{kind}"
        error = _message_of(value.get("exc_message"))
    elif isinstance(value, Made) and error_type is None:
        error_type, error = _exception(value)
    row: Row = {"error_type": error_type, "error": error}
    if state is State.FAILED and too_late(error_type):
        row["state"] = State.TIMED_OUT.value
    elif state is State.CANCELLED and error == "expired":
        row["state"] = State.EXPIRED.value
    elif error_type is not None and error_type.endswith("WorkerLostError"):
        row["losses"] = 1
    return row


def too_late(error_type: str | None) -> bool:
    """Whether an error says that a time limit was reached."""
    return error_type is not None and error_type.rpartition(".")[2] in _TOO_LATE


def _exception(made: Made) -> tuple[str | None, str | None]:
    """Type and message of an exception in a pickle."""
    what, arguments = made.what, made.args
    if isinstance(arguments, tuple) and len(arguments) > 1 and isinstance(arguments[0], Name):
        # With tblib a function makes it: of its class and of what it has.
        what, facts = arguments[0], arguments[1]
        arguments = facts.get("args") if isinstance(facts, dict) else None
    return (what.name if isinstance(what, Name) else None), _message_of(arguments)


def _message_of(arguments: Any) -> str | None:
    """What an exception says, of its arguments."""
    if isinstance(arguments, list | tuple):
        return str(arguments[0]) if len(arguments) == 1 else ", ".join(map(str, arguments)) or None
    return None if arguments is None else str(arguments)


def _progress(value: Any) -> float | None:
    """How far a task is that told it in the way of Celery's own examples, with `current` and `total`."""
    if not isinstance(value, dict):
        return None
    current, total = value.get("current"), value.get("total")
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(max(current / total, 0.0), 1.0)


def _plain(data: bytes) -> Any:
    """What bytes say in JSON, a pickle (as an outline) or msgpack; None if in none of them."""
    if data.startswith(b"\x80") and data[1:2] <= b"\x05":
        try:
            return outline(data)
        except ValueError:
            return None
    found = loaded(data)
    return _msgpack(data) if found is None else found


def loaded(data: bytes | str) -> Any:
    """What JSON says; None if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _msgpack(data: bytes) -> Any:
    try:
        import msgpack  # those who have Celery write it have it installed
    except ModuleNotFoundError:
        return None
    try:
        return msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        return None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
