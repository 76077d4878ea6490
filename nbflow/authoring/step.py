"""`@step`: a function that is a step of flows, and stays a function everywhere else."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from nbflow.engine.frames import FRAME
from nbflow.engine.placeholders import is_placeholder
from nbflow.model.errors import DefinitionError
from nbflow.model.names import check_name
from nbflow.model.policies import Cache, Resources, check_times, retry_policy
from nbflow.model.specs import StepSpec
from nbflow.values.codec import goes_by_value
from nbflow.values.secrets.references import Secret, resolved

if TYPE_CHECKING:
    from nbflow.queue.job import Job

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A function as a step.

    Outside of a flow, calling it calls the function. Inside a `@flow` function, calling it returns a placeholder at
    once, and the function runs as soon as the placeholders among its arguments have their values.
    """

    spec: StepSpec
    __wrapped__: Callable[P, R]

    def __init__(self, spec: StepSpec) -> None:
        self.spec = spec
        functools.update_wrapper(self, spec.function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, or inside a flow let it be run; errors then appear where the result is used."""
        frame = FRAME.get()
        if frame is None:
            if Secret in map(type, args) or (kwargs and Secret in map(type, kwargs.values())):
                called: Any = self.spec.function
                return cast("R", called(*map(resolved, args), **resolved(kwargs)))
            return cast("R", self.spec.function(*args, **kwargs))
        return cast("R", frame.call(self.spec, args, kwargs))

    def map(self, /, *values: Any, **constants: Any) -> list[R]:
        """Call the step once for each item of `values`, side by side where the executor allows it.

        `values` are sequences of equal length, one for each positional parameter; a placeholder for a sequence is
        fine, and is not waited for. `constants` go to every call. Returns the list of results in order.
        """
        frame = FRAME.get()
        if frame is not None and any(is_placeholder(value) for value in values):
            return cast("list[R]", frame.call(_mapping(self), (values, constants), {}))
        return [self(*items, **constants) for items in zip(*values, strict=True)]

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Put a call on the step's queue, or the default one, as `Queue().enqueue(step, ...)` does."""
        from nbflow.queue.queue import Queue

        return Queue().enqueue(self, *args, **kwargs)

    def with_options(self, **options: Any) -> Step[P, R]:
        """The same function with other options; see `step` for their names."""
        return cast("Step[P, R]", Step(_changed(self.spec, options)))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind to an instance, so that methods can be steps."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<step {self.spec.name!r}>"

    def __reduce__(self) -> Any:
        """By name where the module can be imported elsewhere, else by value."""
        return by_name(self) or (Step, (self.spec,))


def by_name(decorated: Any) -> str | None:
    """The global name under which a decorated function can be imported by other processes, or None."""
    module = sys.modules.get(decorated.__module__)
    if module is None or decorated.__module__ == "__main__" or getattr(module, "__file__", None) is None:
        return None
    if goes_by_value(decorated.__module__):
        return None
    found: Any = module
    for part in decorated.__qualname__.split("."):
        found = getattr(found, part, None)
    return decorated.__qualname__ if found is decorated else None


@functools.cache
def _mapping(decorated: Step[..., Any]) -> StepSpec:
    """The sub-flow that maps a step over sequences which are not known yet."""
    return StepSpec(f"{decorated.spec.name}.map", functools.partial(_map_now, decorated), kind="flow")


def _map_now(decorated: Step[..., Any], values: Sequence[Iterable[Any]], constants: dict[str, Any]) -> list[Any]:
    return [decorated(*items, **constants) for items in zip(*values, strict=True)]


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    function: None = None,
    /,
    *,
    name: str | None = None,
    retries: int | Sequence[float] = 0,
    delay: float | Sequence[float] = 0.0,
    backoff: float = 1.0,
    cap: float | None = None,
    jitter: float = 0.0,
    retry_on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool] = Exception,
    never_retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
    timeout: float | timedelta | None = None,
    soft_timeout: float | timedelta | None = None,
    expires: float | timedelta | None = None,
    deadline: float | timedelta | None = None,
    heartbeat_timeout: float | timedelta | None = None,
    queue: Any = None,
    cache: bool | float | timedelta = False,
    version: str | None = None,
    executor: str | None = None,
    resources: Resources | dict[str, Any] | None = None,
    tags: Iterable[str] = (),
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a step of flows. Use it bare (`@step`) or with options (`@step(retries=3)`).

    name: what the step is called; default: the function's name.
    retries: how many further attempts follow a failed one, or a sequence of their delays in seconds.
    delay: seconds before each retry, one number or one for each.
    backoff: factor on the delay for each retry past the given delays; cap: longest delay in seconds;
        jitter: random share of the delay, 0 to 1.
    retry_on, never_retry_on: exception types that are, or are not, retried; default: all but cancellation. retry_on may
        also be a function that is given the exception and says whether to retry.
    timeout: seconds (or a timedelta) one attempt may take; then it ends with StepTimeoutError.
    soft_timeout: seconds (or a timedelta), fewer than those, after which SoftTimeoutError is raised once inside the
        function, so that it can clean up; a coroutine is cancelled at its next await.
    expires: seconds (or a timedelta), counted from when the step is ready to run, after which it is not begun any more;
        then it ends as expired, with JobExpiredError.
    deadline: seconds (or a timedelta), counted from then too, in which all of its attempts have to be over: none gets
        more time than is left, and no retry begins after it; then it ends with StepTimeoutError.
    heartbeat_timeout: seconds (or a timedelta) that an attempt may go on without calling `nbflow.heartbeat()`; then it
        ends as if it had hit its timeout.
    queue: the queue, or its name, that its jobs go to if the call names no other.
    cache: True to reuse the result in later runs as long as code and inputs are the same; a number of seconds or
        a timedelta limits for how long.
    version: a text that is part of the step's identity; change it to make cached results invalid.
    executor: name of the executor that runs this step, whatever runs the others.
    resources: what an attempt needs, as `Resources` or its fields (cpus, memory in bytes, gpus).
    tags: words to find the step's tasks by.

    Raises DefinitionError or ConfigError for options that make no sense.
    """
    if function is not None and not callable(function):
        raise DefinitionError(f"@step decorates a function; {type(function).__name__} {function!r} is none.")

    def decorate(target: Callable[..., Any]) -> Step[..., Any]:
        if isinstance(target, Step):
            raise DefinitionError(f"{target.spec.name!r} is a step already; use with_options() to change it.")
        name: str = options.get("name") or str(getattr(target, "__name__", type(target).__name__))
        if name == "<lambda>":
            name = "lambda"
        plain = StepSpec(name=name, function=target, is_async=inspect.iscoroutinefunction(target))
        return Step(_changed(plain, options))

    return decorate if function is None else decorate(function)


_OPTIONS = frozenset(
    "name retries delay backoff cap jitter retry_on never_retry_on timeout soft_timeout expires deadline "
    "heartbeat_timeout queue "
    "cache version executor resources tags".split()
)


def _changed(spec: StepSpec, options: dict[str, Any]) -> StepSpec:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise DefinitionError(f"@step has no option {unknown[0]!r}; it has {', '.join(sorted(_OPTIONS))}.")
    changes: dict[str, Any] = {key: options[key] for key in ("version", "executor") if key in options}
    changes["name"] = check_name(options.get("name") or spec.name, "step")
    if "retries" in options:
        changes["retry"] = retry_policy(options)
    elif {"delay", "backoff", "cap", "jitter", "retry_on", "never_retry_on"} & set(options):
        raise DefinitionError(f"step {spec.name!r} says how to retry but not how often; add retries=3.")
    changes |= _times(spec, options)
    if options.get("queue") is not None:
        changes["queue"] = check_name(getattr(options["queue"], "name", options["queue"]), "queue")
    if "cache" in options:
        changes["cache"] = _cache(options["cache"], spec.name)
    if options.get("resources") is not None:
        given = options["resources"]
        changes["resources"] = given if isinstance(given, Resources) else _resources(given, spec.name)
    if "tags" in options:
        changes["tags"] = tuple(check_name(tag, "tag") for tag in options["tags"])
    return replace(spec, **changes)


_TIMES = {
    "timeout": "timeout", "soft_timeout": "soft timeout", "expires": "time to begin", "deadline": "deadline",
    "heartbeat_timeout": "heartbeat timeout",
}  # fmt: skip


def _times(spec: StepSpec, options: dict[str, Any]) -> dict[str, float | None]:
    """The limits in time among the options, which have to go with those that the step has."""
    found = {
        name: seconds(options[name], f"{words} of step {spec.name!r}")
        for name, words in _TIMES.items()
        if name in options
    }
    check_times(f"step {spec.name!r}", {name: found[name] if name in found else getattr(spec, name) for name in _TIMES})
    return found


def seconds(value: float | timedelta | None, what: str) -> float | None:
    """A positive duration in seconds, from seconds or a timedelta; `what` names it in the error."""
    if value is None:
        return None
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if type(number) not in (int, float) or not number > 0:
        raise DefinitionError(f"the {what} is a positive number of seconds or a timedelta, not {value!r}.")
    return float(number)


def _cache(value: Any, name: str) -> Cache:
    if isinstance(value, bool):
        return Cache(enabled=value)
    return Cache(enabled=True, lifetime=seconds(value, f"cache lifetime of step {name!r}"))


def _resources(given: Any, name: str) -> Resources:
    try:
        return Resources(**given)
    except TypeError as error:
        raise DefinitionError(
            f"resources of step {name!r}: {error}; it takes cpus, memory (bytes), gpus and custom."
        ) from error
