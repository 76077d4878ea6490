"""Eager mode: calls are run at once, in the calling thread, as if there were no queue. For tests and for debugging."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.model.states import State
from nbflow.queue.job import Job


class EagerJob(Job):
    """A job that was run where it was enqueued. Errors were raised there, so that there is always a result."""

    def __init__(self, value: Any) -> None:
        self.id = "eager"
        self._value = value

    @property
    def state(self) -> State:
        """Succeeded, always."""
        return State.SUCCEEDED

    def wait(self, timeout: float | None = None) -> Job:
        """Return at once."""
        return self

    def result(self, timeout: float | None = 0.0) -> Any:
        """The value that the function returned."""
        return self._value

    get = result


def run(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
    """Run a call now. What the function raises is raised here; timeouts, retries and limits do not apply."""
    given = [_value(value) for value in args]
    value = function(*given, **{name: _value(value) for name, value in kwargs.items()})
    return EagerJob(asyncio.run(value) if inspect.iscoroutine(value) else value)


def _value(value: Any) -> Any:
    """Jobs as their results, inside lists, tuples and dicts too."""
    if isinstance(value, Job):
        return value.result()
    if type(value) in (list, tuple):
        return type(value)(_value(item) for item in value)
    if type(value) is dict:
        return {key: _value(item) for key, item in value.items()}
    return value
