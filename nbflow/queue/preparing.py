"""From a function, its arguments and options to a job that can be stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nbflow import settings as settings_module
from nbflow.model.errors import ConfigError, DefinitionError, StepTimeoutError
from nbflow.model.jobs import JobRecord
from nbflow.model.names import check_name
from nbflow.model.policies import NO_RETRY, Retry, check_times
from nbflow.model.specs import StepSpec
from nbflow.queue import options as opts
from nbflow.queue.broker import DEFAULT, FRONT, STAMPS, NewJob
from nbflow.queue.calls import Packer
from nbflow.queue.options import MOST_LOSSES, JobOptions
from nbflow.queue.runners import fitting, name_of
from nbflow.storage import jobs

_MICRO = 1_000_000
_NO_JOB: dict[str, Any] = dict.fromkeys(JobRecord._fields)


class Rows(NamedTuple):
    """Jobs as rows of the columns that are not empty; the first column is the id."""

    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]


class Preparer:
    """Makes the jobs of one function."""

    def __init__(
        self,
        packer: Packer,
        function: Any,
        options: JobOptions,
        defaults: Mapping[str, Any] | None = None,
        *,
        runner: Callable[..., Any] | None = None,
    ) -> None:
        """`defaults`: what the queue says where neither call nor function do; `runner`: what calls the function.

        A timeout that is None there means none, whatever the settings say.

        Raises ConfigError for options that contradict each other, UnpicklableError for code that cannot travel.
        """
        spec: Any = getattr(function, "spec", None)  # of a step or flow
        called = spec.function if getattr(spec, "kind", "") == "step" else function
        if not callable(called):
            raise DefinitionError(f"a job calls a function; {type(called).__name__} {called!r} is none.")
        self.name = check_name(getattr(spec, "name", None) or name_of(called), "job")
        self.options = options
        self._first: tuple[Any, ...] = ()  # arguments that come before those of the call
        if runner is not None:
            called, self._first = fitting(runner, function), (function,)
        self._function = called
        defaults = defaults or {}
        self._retry = _retry_of(options, spec, defaults)
        self._packer = packer.of(called, self._retry)
        step = spec if isinstance(spec, StepSpec) else None  # the timeout of a flow is its runs'
        timeout, soft = (_first(name, options, step, defaults) for name in ("timeout", "soft_timeout"))
        check_times(f"job {self.name!r}", {"timeout": timeout, "soft_timeout": soft})
        self._times = _own_times(options, step)
        check_times(f"job {self.name!r}", self._times)
        self.queue: str = options.queue or getattr(spec, "queue", None) or DEFAULT
        self._template = _NO_JOB | {
            "queue": self.queue,
            "priority": options.priority,
            "name": self.name,
            "kind": "job",
            "policy": self._policy(),
            "timeout": timeout,
            "soft_timeout": soft,
            "tags": _tags(options, spec),
            "meta": _meta(options.meta),
            "success_ttl": _ttl("success_ttl", options, defaults, opts.SUCCESS_TTL),
            "failure_ttl": _ttl("failure_ttl", options, defaults, opts.FAILURE_TTL),
            **dict.fromkeys(("waiting", "marks", "token", "attempt", "claims", "losses", "wakes", "abort"), 0),
        }

    def in_batch(self, batch: str | None) -> Preparer:
        """Have its jobs belong to a group."""
        self._template["batch"] = batch
        return self

    def job(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], place: int, now: float | None = None, **more: Any
    ) -> NewJob:
        """One call as a job. `place`: see `broker.Stamps`; `now`: default: the machine's time; `more`: more columns."""
        options = self.options
        now = time.time() if now is None else now
        packed = self._packer.pack((*self._first, *args), kwargs)
        due = opts.moment(options.eta, now, "eta")
        waits = due is not None and due > now
        values = self._template | {
            "id": options.id or STAMPS.id(place),
            "place": place - (FRONT if options.front else 0),
            "state": "pending" if waits else "ready",
            "payload": packed.payload,
            "due_at": due if waits else None,
            "expires_at": self._expiry(now, due if waits else None),
            "enqueued_at": now,
            "ready_at": None if waits else now,
            **more,
        }
        if packed.needs:
            values["policy"] = _with(values["policy"], needs=len(packed.needs))
        needs = (*packed.needs, *opts.ids(options.after))
        return NewJob(JobRecord(**values), needs, options.unique, options.all_limits, options.conditional)

    def rows(self, calls: Sequence[tuple[Any, Any]], places: Sequence[int], now: float) -> Rows | None:
        """Many calls as rows for `jobs.insert_rows`; None if something is bound to them, or they are to wait."""
        options = self.options
        bound = options.id, options.unique, options.all_limits, options.after, options.conditional, self.callbacks()
        if any(bound) or options.eta is not None:
            return None
        values = dict(self._template, state="ready", expires_at=self._expiry(now, None))
        values["enqueued_at"] = values["ready_at"] = now
        columns = ("id", "place", "payload", *(name for name in jobs.NEW if values[name] is not None))
        constant = tuple([values[name] for name in columns[3:]])
        front, pack = FRONT if options.front else 0, self._packer.pack
        found: list[tuple[Any, ...]] = []
        for (args, kwargs), id_, place in zip(calls, STAMPS.ids(places), places, strict=True):
            packed = pack((*self._first, *args) if self._first else args, kwargs)
            if packed.needs:
                return None
            found.append((id_, place - front, packed.payload, *constant))
        return Rows(columns, found)

    def expires(self) -> Any:
        """Until when its jobs have to be begun, as it was given: by the call, else by the function in seconds."""
        return self.options.expires if self.options.expires is not None else self._times["expires"]

    def _expiry(self, now: float, due: float | None) -> float | None:
        base = now if due is None or self.options.expires is not None else due
        return opts.moment(self.expires(), base, "expires")

    def callbacks(self) -> list[tuple[Any, str]]:
        """(function, when) of what is to be enqueued when a job ends."""
        options = self.options
        pairs = (
            (options.on_success, "success"), (options.on_failure, "failure"), (options.on_stopped, "stopped"),
        )  # fmt: skip
        return [(function, when) for function, when in pairs if function is not None]

    def _policy(self) -> str | None:
        """What the worker has to know without unpickling anything."""
        import inspect

        found: dict[str, Any] = {}
        if inspect.iscoroutinefunction(self._function):
            found["async"] = True
        if self.options.when != "success":
            found["when"] = self.options.when
        if self.options.most_losses != MOST_LOSSES:
            found["losses"] = self.options.most_losses
        if self.options.unique is not None and self.options.unique.scope == "waiting":
            found["unique"] = "waiting"
        for name, short in (("heartbeat_timeout", "heartbeat"), ("deadline", "deadline")):
            if self._times[name] is not None:
                found[short] = self._times[name]
        retry = self._retry
        if retry.retries:
            found["retries"] = retry.retries
            found["delays"] = [retry.delays, retry.backoff, retry.cap, retry.jitter]
            found["timeouts"] = _wants_timeouts(retry)
        return json.dumps(found) if found else None


def _retry_of(options: JobOptions, spec: Any, defaults: Mapping[str, Any]) -> Retry:
    """When it is tried again: as the call says, else the function, the queue, the settings."""
    if options.retry is not None:
        return options.retry
    own: Retry = getattr(spec, "retry", NO_RETRY)
    count = defaults.get("retries", settings_module.current().job_retries)
    return Retry(retries=count) if own == NO_RETRY and count else own


def _first(name: str, options: JobOptions, spec: Any, defaults: Mapping[str, Any]) -> float | None:
    """A timeout: what the call says, else the function, the queue, the settings."""
    found = (getattr(options, name), getattr(spec, name, None), defaults.get(name))
    chosen = next((value for value in found if value is not None), None)
    if chosen is None and name not in defaults:
        chosen = getattr(settings_module.current(), f"job_{name}")
    return float(chosen) if chosen is not None else None


def _own_times(options: JobOptions, step: StepSpec | None) -> dict[str, float | None]:
    """The limits in time that the call or its function asks for, not those that are the queue's."""
    asked = {name: getattr(options, name) for name in ("timeout", "soft_timeout", "heartbeat_timeout")}
    if step is None:
        return {**asked, "deadline": None, "expires": None}
    found = {name: getattr(step, name) if value is None else value for name, value in asked.items()}
    return {**found, "deadline": step.deadline, "expires": step.expires}


def _wants_timeouts(retry: Retry) -> bool:
    """Whether a try that took too long, and was ended by force, is followed by another."""
    try:
        return retry.wants(StepTimeoutError("The job took too long."), 0)
    except Exception:  # a test of the user's own that expects other errors
        return False


def _tags(options: JobOptions, spec: Any) -> str:
    """The words to find it by: the function's and the call's."""
    found = list(dict.fromkeys((*getattr(spec, "tags", ()), *options.tags)))
    return json.dumps(found) if found else ""


def _ttl(name: str, options: JobOptions, defaults: Mapping[str, Any], otherwise: float) -> float | None:
    """How long a finished job is kept: as the call says, else the queue; None: for ever."""
    chosen: float | None = getattr(options, name)
    if chosen is not None:
        return None if chosen == opts.FOR_EVER else chosen
    found: float | None = defaults.get(name, otherwise)
    return found


def _meta(meta: Mapping[str, Any] | None) -> str | None:
    if meta is None:
        return None
    try:
        return json.dumps(dict(meta))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"meta has to be what JSON can hold: {error}.") from error


def _with(policy: str | None, **more: Any) -> str:
    return json.dumps({**json.loads(policy or "{}"), **more})
