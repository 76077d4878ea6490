"""Webhooks: URLs that are told what became of a job, by a job of its own."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from nbflow.model.errors import ConfigError
from nbflow.queue.patterns import Call

_TIMEOUT = 30.0  # seconds
_AGAIN = {"retries": 5, "delay": 2.0, "backoff": 4.0, "jitter": 0.2}


def call(url: str, when: str) -> Call:
    """The call that tells a URL of an outcome. Raises ConfigError for what is no URL of the web."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(f"on_{when} is a function, call(function, ...) or a URL like https://host/path, not {url!r}.")
    return Call(post, (url, when), options=_AGAIN)


def post(outcome: Any, url: str, when: str) -> int:
    """Send {"outcome", "result" or "error"} as JSON to a URL; returns the status. What JSON has no form for is a text.

    Raises OSError if the server cannot be reached or says that it failed.
    """
    body: dict[str, Any] = {"outcome": when}
    if isinstance(outcome, BaseException):
        body["error"] = {"type": type(outcome).__name__, "message": str(outcome)}
    else:
        body["result"] = outcome
    data = json.dumps(body, default=str).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
        return int(answer.status)
