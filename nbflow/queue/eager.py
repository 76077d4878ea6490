"""Eager mode: calls are run at once, in the calling thread, as if there were no queue. For tests and for debugging."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbflow.model.states import State
from nbflow.queue.job import Job
from nbflow.queue.patterns import NOTHING, Call, Group, Pattern
from nbflow.queue.runners import fitting


class EagerJob(Job):
    """A job that was run where it was enqueued. Errors were raised there, so that there is always a result."""

    settled = True

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

    def cancel(self, reason: str = "asked to") -> State:
        """Do nothing: it has finished."""
        return State.SUCCEEDED

    @property
    def error(self) -> BaseException | None:
        """None: errors were raised where it was enqueued."""
        return None


class EagerPlan:
    """Runs the calls of a pattern as they are added."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def add(self, call: Call, before: Any) -> Job:
        """Run a call."""
        args = (before, *call.args) if before is not NOTHING and call.takes else call.args
        job = run(call.function, args, call.kwargs, call.runner)
        self.jobs.append(job)
        return job


def run(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], runner: Callable[..., Any] | None = None) -> Job:
    """Run a call now. What the function raises is raised here; timeouts, retries and limits do not apply."""
    if runner is not None:
        function, args = fitting(runner, function), (function, *args)
    given = [_value(value) for value in args]
    value = function(*given, **{name: _value(value) for name, value in kwargs.items()})
    return EagerJob(_awaited(value) if inspect.iscoroutine(value) else value)


def run_pattern(pattern: Pattern) -> Group:
    """Run the calls of a pattern now, one after the other."""
    plan = EagerPlan()
    return Group("eager", pattern.place(plan, NOTHING), plan.jobs)


def _awaited(coroutine: Any) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as aside:  # the loop of this thread is in use: that of a notebook, for example
        return aside.submit(asyncio.run, coroutine).result()


def _value(value: Any) -> Any:
    """Jobs as their results, inside lists, tuples and dicts too."""
    if isinstance(value, (Job, Group)):
        return value.result()
    if type(value) in (list, tuple):
        return type(value)(_value(item) for item in value)
    if type(value) is dict:
        return {key: _value(item) for key, item in value.items()}
    return value
