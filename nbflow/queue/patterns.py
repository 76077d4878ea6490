"""Patterns of calls: chains, groups and chords, described first and then enqueued in one transaction.

    call(fetch, url)                              a call, with all or the later ones of its arguments
    chain(call(fetch, url), clean, call(save, path))   each with the result of the one before it as its first argument
    group(call(train, rate) for rate in rates)    side by side; the results are a list in this order
    chord([call(train, 1), call(train, 2)], best)  a group, and then a call with the list of its results
    chunks(train, rates, 100)                     a group of jobs that each make so many calls

They nest in any way: `chain(fetch, group(train, check), report)` gives each of the group what `fetch` returned, and
`report` the list of what they returned. If one fails, is cancelled or expires, those that would have used its result
are skipped, and its error is theirs; `call(report).with_options(when="any")` runs all the same, with errors in the
places of values. A job may run when it did not use the result of one before it: `call(tidy_up).alone()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from nbflow.model.errors import ConfigError
from nbflow.model.states import State
from nbflow.queue import runners
from nbflow.queue.job import Job, outcomes, wait_for
from nbflow.queue.options import JobOptions

NOTHING = object()  # before the first part of a pattern
_NO_OPTIONS: Mapping[str, Any] = {}


class Plan(Protocol):
    """Where a pattern puts its calls, one after the other."""

    def add(self, call: Call, before: Any) -> Job:
        """Add a call; `before`: jobs, or lists of them at any depth, whose results it takes."""


class Pattern:
    """Calls that depend on one another. `Queue.enqueue(pattern)` enqueues them."""

    def place(self, plan: Plan, before: Any) -> Any:
        """Add the calls to a plan; returns the jobs whose results are that of the pattern, in lists like these."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Call(Pattern):
    """One call. What comes before it in a pattern is its first argument."""

    function: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=lambda: _NO_OPTIONS)
    takes: bool = True  # whether it is given what comes before it
    runner: Callable[..., Any] | None = None  # see nbflow.queue.runners

    def with_options(self, **options: Any) -> Call:
        """The same call with options as of `Queue.with_options`."""
        JobOptions().changed(options)  # raises for what makes no sense, here and not when it is enqueued
        return replace(self, options={**self.options, **options})

    def alone(self) -> Call:
        """The same call, which waits for what comes before it but is not given its result."""
        return replace(self, takes=False)

    def spread(self) -> Call:
        """The same call, with a tuple that comes before it as several arguments, and a dict as named ones."""
        return replace(self, runner=runners.spread)

    def place(self, plan: Plan, before: Any) -> Job:
        """Add the call to a plan."""
        return plan.add(self, before)


@dataclass(frozen=True, slots=True)
class Chain(Pattern):
    """One part after the other."""

    parts: tuple[Pattern, ...]

    def place(self, plan: Plan, before: Any) -> Any:
        """Add the parts to a plan; the result is that of the last."""
        for part in self.parts:
            before = part.place(plan, before)
        return before


@dataclass(frozen=True, slots=True)
class Side(Pattern):
    """Parts side by side."""

    parts: tuple[Pattern, ...]

    def place(self, plan: Plan, before: Any) -> list[Any]:
        """Add the parts to a plan; the result is the list of theirs."""
        return [part.place(plan, before) for part in self.parts]


def call(function: Any, /, *args: Any, **kwargs: Any) -> Call:
    """A call that is a part of a pattern."""
    return Call(function, args, kwargs)


def chain(*parts: Any) -> Pattern:
    """Parts, or functions, one after the other, each with the result of the one before it as its first argument."""
    if not parts:
        raise ConfigError("a chain has one part at least.")
    return Chain(tuple([_part(each) for each in parts]))


def group(*parts: Any) -> Pattern:
    """Parts, or functions, side by side, given one by one or as one iterable. None at all give []."""
    if len(parts) == 1 and isinstance(parts[0], Iterable):
        parts = tuple(parts[0])
    return Side(tuple([_part(each) for each in parts]))


def chord(parts: Iterable[Any], body: Any) -> Pattern:
    """A group, and when all of it has succeeded `body`, once, with the list of its results; [] if there are none."""
    return Chain((group(parts), _part(body)))


def starmap(function: Any, items: Iterable[Sequence[Any]]) -> Pattern:
    """A group with a call of one function for each tuple of arguments."""
    return Side(tuple([Call(function, tuple(each)) for each in items]))


def chunks(function: Any, items: Iterable[Sequence[Any]], size: int) -> Pattern:
    """The same with a job for each `size` of the calls; the results are a list for each job."""
    if size < 1:
        raise ConfigError(f"a chunk has 1 call or more, not {size!r}.")
    calls, found = iter(items), []
    while part := [tuple(each) for each in islice(calls, size)]:
        found.append(Call(function, (part,), takes=False, runner=runners.each))
    return Side(tuple(found))


def _part(given: Any) -> Pattern:
    if isinstance(given, Pattern):
        return given
    if not callable(given):
        raise ConfigError(f"a part of a pattern is a function, call(function, ...) or a pattern, not {given!r}.")
    return Call(given)


def leaves(value: Any) -> list[Job]:
    """The jobs in lists of jobs."""
    return [job for each in value for job in leaves(each)] if isinstance(value, list) else [value]


class Group:
    """Jobs that were enqueued together: what became of a pattern."""

    def __init__(self, id: str, value: Any, jobs: Sequence[Job]) -> None:
        """`value`: the jobs whose results are that of the pattern, in lists; `jobs`: all, in order."""
        self.id = id
        self.jobs = tuple(jobs)
        self._value = value

    def result(self, timeout: float | None = 0.0) -> Any:
        """The result of the pattern; waits for it up to `timeout` seconds, None for ever.

        Raises the error of the first job, in order, that has none; JobUnfinishedError if it is not there in time.
        """
        wanted = leaves(self._value)
        if timeout != 0.0:
            wait_for(wanted, timeout)
        found = iter(outcomes(wanted))
        return _shaped(self._value, found)

    get = result

    def wait(self, timeout: float | None = None) -> Group:
        """Return when all of its jobs have finished. Raises JobUnfinishedError after `timeout` seconds."""
        wait_for(self.jobs, timeout)
        return self

    def states(self) -> list[State]:
        """The states of its jobs, in order."""
        return [job.state for job in self.jobs]

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to any of its jobs by itself."""
        return all(state.finished for state in self.states())

    def cancel(self, reason: str = "asked to") -> None:
        """End all of its jobs that have not finished, in one transaction."""
        Job.cancel_all(self.jobs, reason)

    def __iter__(self) -> Any:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> Job:
        return self.jobs[index]

    def __repr__(self) -> str:
        return f"<group {self.id}: {len(self.jobs)} jobs>"

    def __reduce__(self) -> Any:
        """Among the arguments of `enqueue` it stands for its result, as a job does."""
        return runners.given, (self._value,)


def _shaped(value: Any, found: Any) -> Any:
    return [_shaped(each, found) for each in value] if isinstance(value, list) else next(found)
