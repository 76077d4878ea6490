"""Webhooks: URLs that are told what became of a job, by a job of its own."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from nbflow.model.errors import ConfigError
from nbflow.queue.patterns import Call
from nbflow.running import context

_TIMEOUT = 30.0  # seconds
_AGAIN = {"retries": 5, "delay": 2.0, "backoff": 4.0, "jitter": 0.2}


def call(url: str, when: str) -> Call:
    """The call that tells a URL of an outcome. Raises ConfigError for what is no URL of the web."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"on_{when} is a function, call(function, ...) or a URL like https://host/path, not {url!r}.")
    return Call(post, (url, when), options=_AGAIN)


def post(outcome: Any, url: str, when: str) -> int:
    """Send {"outcome", "jobs", "result" or "error"} as JSON to a URL; returns the status.

    `jobs` are the ids of those whose outcome it is. What JSON has no form for is a text.

    Raises OSError if the server cannot be reached or says that it failed.
    """
    attempt = context.current()
    body: dict[str, Any] = {"outcome": when, "jobs": attempt.needed if attempt is not None else ()}
    if isinstance(outcome, BaseException):
        body["error"] = _error(outcome)
    else:
        body["result"] = outcome
    data = _json(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
        return int(answer.status)


def _json(body: dict[str, Any]) -> str:
    try:
        return json.dumps(body, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, values that contain themselves, NaN
        return json.dumps({**body, "result": str(body.get("result"))})


def _plain(value: Any) -> Any:
    return _error(value) if isinstance(value, BaseException) else str(value)


def _error(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}
