"""Running one attempt, the same way in every executor: inputs in, function, result out, and what it cost."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import SoftTimeoutError, StepResultError, TaskCancelledError, TaskError
from nbflow.model.ports import Again, Finished, Inputs, Ref, Report, Started
from nbflow.model.states import State
from nbflow.running import limits
from nbflow.running.context import CURRENT, AttemptContext
from nbflow.running.failure import error_record, restore_error, without_internal_frames, without_secrets
from nbflow.running.interrupt import soft_error
from nbflow.values.secrets import references

if TYPE_CHECKING:
    from nbflow.model.ports import Clock, Work
    from nbflow.model.records import StoredValue
    from nbflow.running.interrupt import Interruptible
    from nbflow.values.store import ValueStore

__all__ = ["Site", "error_record", "given_up", "load_inputs", "never_begun", "perform", "restore_error"]

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


class RunAgain(BaseException):
    """Raised by what runs on a queue, to be run again later; a BaseException, so that user code lets it through."""

    def __init__(self, again: Again, error: BaseException | None = None) -> None:
        super().__init__(again)
        self.again = again
        self.error = error  # why, if something went wrong


@dataclass(slots=True)
class Site:
    """Where attempts run, and where their reports go."""

    values: ValueStore
    report: Callable[[Report], None]
    clock: Clock
    worker: str
    echo: bool = False
    keyboard: bool = False  # whether a KeyboardInterrupt here comes from the person who waits for the run
    cpu_clock: Callable[[], float] = time.thread_time
    drain: Callable[[], None] | None = None  # hands on output that is still on its way to the attempt


def load_inputs(inputs: Inputs, values: ValueStore) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a task, with copies of its own of everything that can be changed."""
    if inputs.packed is not None:
        references = [values.get(stored) for stored in inputs.values]
        args, kwargs = values.unpack(inputs.packed, references)
        return args, kwargs
    args, kwargs = inputs.args, inputs.kwargs or {}
    if inputs.values:
        loaded: dict[int, Any] = {}  # a result that is used twice in one call is one object there

        def resolve(value: Any) -> Any:
            if type(value) is not Ref:
                return value
            if value.number not in loaded:
                loaded[value.number] = values.get(inputs.values[value.number])
            return loaded[value.number]

        args = tuple([resolve(value) for value in args])
        kwargs = {name: resolve(value) for name, value in kwargs.items()}
    return args, kwargs


def perform(attempt: Interruptible, site: Site) -> Finished:
    """Run an attempt and return its last report; the others are made while it runs.

    Nothing that the function does gets out as an exception. Run this in a `contextvars` context of its own.
    """
    work = attempt.work
    name = work.spec.name
    started = site.clock.time()
    late = limits.missed(work, started)
    if late is not None:
        return never_begun(work, started, site.worker, late)
    site.report(Started(work.ticket, started, site.worker, os.getpid()))
    attempt.started_at = started
    attempt.context = context = AttemptContext(work, site.report, site.clock, echo=site.echo, values=site.values)
    CURRENT.set(context)
    references.PLACE.set(references.STEP)
    timers = _timers(attempt, context, site, started)
    cpu = site.cpu_clock()
    value: StoredValue | None = None
    error: BaseException | None = None
    try:
        args, kwargs = load_inputs(work.inputs, site.values)
        result = _run(attempt, args, kwargs)
        del args, kwargs
        if attempt.judged is None:
            value = site.values.put(_checked(result, name), f"the result of step {name!r}")
    except BaseException as problem:  # whatever a step may raise, SystemExit included, is its outcome
        error = problem
    for unset in timers:
        unset()
    cpu = site.cpu_clock() - cpu
    if site.drain is not None:
        site.drain()
    context.close()
    again: Again | None = None
    if isinstance(error, RunAgain) and attempt.judged is None:
        again, error = error.again, error.error
    state, error = _outcome(attempt, error, site)
    record = error_record(error) if error is not None else None
    if error is not None and record is not None:
        error = without_secrets(error, record)
    return Finished(
        work.ticket,
        state if again is None else State.PENDING,
        started,
        site.clock.time(),
        site.worker,
        os.getpid(),
        value,
        record,
        error,
        cpu if not work.spec.is_async else None,  # the loop's thread ran it, together with others
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT,
        None,
        again,
    )


def _timers(attempt: Interruptible, context: AttemptContext, site: Site, started: float) -> list[Callable[[], None]]:
    """Have the attempt end when its time is up; the actions undo it."""
    work, found = attempt.work, []
    limit = limits.end(work, started)
    if limit is not None:
        found.append(site.clock.call_at(limit.at, lambda: attempt.interrupt(State.TIMED_OUT, limit.why)))
    if work.heartbeat_timeout is not None:
        found.append(limits.Pulse(attempt, context, site.clock).watch())
    if work.soft_timeout is not None:
        found.append(site.clock.call_at(started + work.soft_timeout, attempt.soften))
    return found


def given_up(attempt: Interruptible, site: Site) -> Finished:
    """The last report of an attempt that does not end though it was interrupted."""
    if attempt.context is not None:
        attempt.context.close()
    error, now = attempt.error(), site.clock.time()
    assert attempt.verdict is not None  # it was interrupted
    record = error_record(error)
    return Finished(
        attempt.work.ticket,
        attempt.verdict,
        attempt.started_at or now,
        now,
        site.worker,
        os.getpid(),
        None,
        record,
        error,
    )


def never_begun(work: Work, now: float, worker: str, late: tuple[State, TaskError] | None = None) -> Finished:
    """The report of work that was cancelled while it waited, or is too `late`."""
    cancelled = TaskCancelledError(f"step {work.spec.name!r} was cancelled before it began ({work.key}).")
    state, error = late or (State.CANCELLED, cancelled)
    return Finished(work.ticket, state, now, now, worker, os.getpid(), None, error_record(error), error)


def _run(attempt: Interruptible, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    spec = attempt.work.spec
    if spec.is_async:
        from nbflow.running import async_loop

        return async_loop.run(attempt, spec.function(*args, **kwargs))
    return attempt.call(spec.function, args, kwargs)


_LAZY: dict[type, str] = {
    GeneratorType: "return list(...) of it, or call the step once for each item",
    AsyncGeneratorType: "return [item async for item in ...]",
    CoroutineType: "declare the step with `async def`, or return the awaited value",
}


def _checked(result: Any, name: str) -> Any:
    way_out = _LAZY.get(type(result))
    if way_out is not None:
        raise StepResultError(
            f"step {name!r} returned a {type(result).__name__}, which is not a value that can be kept: {way_out}.",
            type=type(result).__name__,
        )
    return result


def _outcome(attempt: Interruptible, error: BaseException | None, site: Site) -> tuple[State, BaseException | None]:
    """What became of the attempt. A verdict stands, whatever the function made of being interrupted."""
    if error is not None:
        error = without_internal_frames(error)
    if attempt.judged is not None:
        trace = error.__traceback__ if error is not None else None
        return attempt.judged, attempt.error().with_traceback(trace)
    if error is None:
        return State.SUCCEEDED, None
    if attempt.softened:
        soft = _soft_timeout(attempt, error)
        if soft is not None:
            return State.TIMED_OUT, soft
    if site.keyboard and isinstance(error, KeyboardInterrupt):
        attempt.keyboard = error
        name = attempt.work.spec.name
        cancelled = TaskCancelledError(f"step {name!r} was interrupted from the keyboard.")
        return State.CANCELLED, cancelled.with_traceback(error.__traceback__)
    return State.FAILED, error


def _soft_timeout(attempt: Interruptible, error: BaseException) -> BaseException | None:
    """The error to tell if the soft timeout is behind `error`, whatever the function made of it."""
    if attempt.work.spec.is_async and type(error).__name__ == "CancelledError":
        return soft_error(attempt.work).with_traceback(error.__traceback__)  # how coroutines are told
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, SoftTimeoutError):
            return error
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return None
