"""Hooks: code of the user's that runs around jobs, in the children of a worker.

They are one class, named by `nbflow worker --hooks module:Class` or the setting `worker_hooks`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from nbflow import settings as settings_module
from nbflow.model.errors import ConfigError, DefinitionError

_log = logging.getLogger("nbflow")


@dataclass(frozen=True, slots=True)
class HookedJob:
    """What hooks are told of a job."""

    id: str
    name: str
    attempt: int  # tries that it has had, this one included
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class WorkerHooks:
    """What a worker does beside its jobs: nothing. Derive from it and override what you need.

    An instance lives in each child of the worker. Errors of `before_job` and `after_job` are logged and stop nothing;
    one of `worker_started` fails the job that was to be run, since it would run without what was to be set up.
    """

    def worker_started(self) -> None:
        """Called once in each child, before its first job."""

    def before_job(self, job: HookedJob) -> None:
        """Called before each try of a job."""

    def after_job(self, job: HookedJob, error: BaseException | None) -> None:
        """Called after each try; `error` is what it raised."""

    def around_job(self, job: HookedJob, call: Callable[[], Any]) -> Any:
        """Run the job by `call()`, and return what it returns, or something else.

        If it is `async def`, write `await call()`; it then stands around all jobs. A plain one stands around plain jobs
        only, as it would be over before an `async def` job has begun: such jobs fail.
        """
        return call()


class Active:
    """The hooks of this child, around one job after another."""

    def __init__(self, hooks: WorkerHooks) -> None:
        self._hooks = hooks
        self._wraps = type(hooks).around_job is not WorkerHooks.around_job
        self._async = inspect.iscoroutinefunction(hooks.around_job)

    def run(self, job: HookedJob) -> Any:
        """Run a job's function in its hooks."""
        self._tell("before_job", job)
        error: BaseException | None = None
        try:
            if not self._wraps:
                return job.function(*job.args, **job.kwargs)
            if not self._async:
                return self._hooks.around_job(job, lambda: job.function(*job.args, **job.kwargs))
            import asyncio  # not worth its time in every child

            return asyncio.run(self._around_plain(job))
        except BaseException as problem:
            error = problem
            raise
        finally:
            self._tell("after_job", job, error)

    async def run_async(self, job: HookedJob) -> Any:
        """Run a job's `async def` function in its hooks."""
        if self._wraps and not self._async:
            raise DefinitionError(
                f"{type(self._hooks).__qualname__}.around_job cannot stand around {job.name!r}, which is async: "
                "declare it with `async def` and `return await call()`."
            )
        self._tell("before_job", job)
        error: BaseException | None = None
        try:
            if not self._wraps:
                return await job.function(*job.args, **job.kwargs)
            return await self._hooks.around_job(job, lambda: job.function(*job.args, **job.kwargs))
        except BaseException as problem:
            error = problem
            raise
        finally:
            self._tell("after_job", job, error)

    async def _around_plain(self, job: HookedJob) -> Any:
        async def call() -> Any:
            return job.function(*job.args, **job.kwargs)

        return await self._hooks.around_job(job, call)

    def _tell(self, what: str, *given: Any) -> None:
        try:
            getattr(self._hooks, what)(*given)
        except Exception:  # the job is not to suffer for what stands beside it
            _log.exception("The hook %s.%s failed.", type(self._hooks).__qualname__, what)


_LOADED: tuple[object, Active | None] = (None, None)


def active(lease: object) -> Active | None:
    """The hooks of this child, None if there are none. They are found anew when `lease` is another object.

    Raises ConfigError, and whatever `worker_started` raises.
    """
    global _LOADED
    if _LOADED[0] is not lease:
        name = settings_module.current().worker_hooks
        found = None
        if name:
            hooks = load(name)
            hooks.worker_started()
            found = Active(hooks)
        _LOADED = (lease, found)
    return _LOADED[1]


def load(name: str) -> WorkerHooks:
    """The hooks that "module:Class" names. Raises ConfigError."""
    place, _, attribute = name.partition(":")
    if not place or not attribute:
        raise ConfigError(f"{name!r} names no hooks: write module:Class, a class derived from nbflow's WorkerHooks.")
    try:
        kind = getattr(import_module(place), attribute)
    except (Exception, SystemExit) as error:  # whatever a user's module may raise while it is imported
        raise ConfigError(
            f"The hooks {name!r} cannot be imported: {type(error).__name__}: {error}. Start the worker in the "
            "folder of the module, or install it there."
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, WorkerHooks)):
        raise ConfigError(f"The hooks {name!r} are no class derived from nbflow.queue.hooks.WorkerHooks.")
    try:
        return kind()
    except Exception as error:
        raise ConfigError(
            f"The hooks {name!r} cannot be made: {type(error).__name__}: {error}. They take no arguments."
        ) from error
