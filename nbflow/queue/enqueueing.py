"""From calls and patterns to stored jobs: what `Queue` does when something is enqueued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbflow.model.errors import ConfigError
from nbflow.queue import steering, webhooks
from nbflow.queue.broker import DEFAULT, STAMPS, Broker, NewJob
from nbflow.queue.calls import Packer
from nbflow.queue.job import Job
from nbflow.queue.options import JobOptions
from nbflow.queue.patterns import NOTHING, Call, Group, Pattern, leaves
from nbflow.queue.preparing import Preparer
from nbflow.storage.connection import Connection

_NO_DEFAULTS: Mapping[str, Any] = {}
_OF_CALLBACKS = {"timeout": 60.0, "soft_timeout": None}  # not those of the queue, which are for its own jobs
_OF_THE_WHOLE = ("on_success", "on_failure", "on_stopped")  # options that a pattern has for its result
_OF_ONE = ("id", "unique")  # and those that two of its jobs could not share


class Enqueuer:
    """Puts calls on queues."""

    def __init__(self, broker: Broker, queue: str | None, options: JobOptions) -> None:
        """`queue`: None for that of the function, or the default one."""
        self._broker = broker
        self._queue = queue
        self._options = options
        self._packer = Packer(broker.values, is_job)
        self._defaults: dict[str, Mapping[str, Any]] = {}  # of queues

    def preparer(
        self,
        function: Any,
        options: JobOptions | None = None,
        *,
        runner: Callable[..., Any] | None = None,
        defaults: Mapping[str, Any] = _NO_DEFAULTS,
    ) -> Preparer:
        """What makes jobs of calls of a function. `defaults`: in place of those of the queue."""
        options = self._options if options is None else options
        spec = getattr(function, "spec", None)
        queue = options.queue or self._queue or getattr(spec, "queue", None) or DEFAULT
        if queue not in self._defaults:
            self._defaults[queue] = steering.defaults(self._broker, queue)
        chosen = {**self._defaults[queue], **defaults}
        return Preparer(self._packer, function, replace(options, queue=queue), chosen, runner=runner)

    def calls(self, preparer: Preparer, calls: Sequence[tuple[Any, Any]], connection: Connection | None) -> list[Job]:
        """Enqueue calls of one function, all or none."""
        broker, now = self._broker, self._broker.clock.time()
        if preparer.options.id is not None and len(calls) > 1:
            raise ConfigError("an id is for one job; enqueue these without.")
        places = STAMPS.next(len(calls))
        rows = preparer.rows(calls, places, now) if connection is None else None
        if rows is not None and broker.enqueue_rows(preparer.queue, *rows):
            return [Job(row[0], broker) for row in rows.values]
        plan = _Plan(self, broker, None)
        for (args, kwargs), place in zip(calls, places, strict=True):
            plan.put(preparer, preparer.job(args, dict(kwargs), place, now))
        return plan.enqueue(connection)

    def pattern(self, pattern: Pattern, connection: Connection | None) -> Group:
        """Enqueue a pattern, all or none."""
        for name in _OF_ONE:
            if getattr(self._options, name) is not None:
                raise ConfigError(f"{name} is for one job; give it to one of the pattern's: call(...).with_options().")
        plan = _Plan(self, self._broker, STAMPS.id(STAMPS.next()[0]))
        value = pattern.place(plan, NOTHING)
        callbacks = [(getattr(self._options, name), name.removeprefix("on_")) for name in _OF_THE_WHOLE]
        plan.follow([pair for pair in callbacks if pair[0] is not None], self._queue or DEFAULT, value)
        return Group(plan.batch or "", value, plan.enqueue(connection))

    def member(self, call: Call) -> Preparer:
        """What makes a job of a call that belongs to a pattern."""
        plain = replace(self._options, on_success=None, on_failure=None, on_stopped=None)
        return self.preparer(call.function, plain.changed(call.options), runner=call.runner)

    def callback(self, given: Any, when: str, queue: str) -> tuple[Preparer, tuple[Any, ...], dict[str, Any]]:
        """What makes a job of a callback, and the arguments that it has beside the outcome."""
        call = given if isinstance(given, Call) else Call(given)
        if isinstance(given, str):
            call = webhooks.call(given, when)
        own = getattr(getattr(call.function, "spec", None), "queue", None)
        options = JobOptions(queue=own or queue, when=when).changed(call.options)
        preparer = self.preparer(call.function, options, runner=call.runner, defaults=_OF_CALLBACKS)
        return preparer, call.args, dict(call.kwargs)


class _Plan:
    """Jobs that are enqueued together, each after those that it needs."""

    def __init__(self, enqueuer: Enqueuer, broker: Broker, batch: str | None) -> None:
        self.batch = batch
        self.members: list[Job] = []
        self._enqueuer = enqueuer
        self._broker = broker
        self._now = broker.clock.time()
        self._new: list[NewJob] = []
        self._callbacks: list[NewJob] = []  # after all members, since they may belong to any
        self._preparers: dict[tuple[int, int, Any], Preparer] = {}

    def add(self, call: Call, before: Any) -> Job:
        """Add a call of a pattern."""
        key = id(call.function), id(call.options), call.runner
        preparer = self._preparers.get(key)
        if preparer is None:
            preparer = self._preparers[key] = self._enqueuer.member(call)
        takes = before is not NOTHING and call.takes
        args = (before, *call.args) if takes else call.args
        new = preparer.job(args, dict(call.kwargs), STAMPS.next()[0], self._now, batch=self.batch)
        if before is not NOTHING and not takes:
            new = new._replace(needs=(*new.needs, *(job.id for job in leaves(before))))
        return self.put(preparer, new)

    def put(self, preparer: Preparer, new: NewJob) -> Job:
        """Add a job, and those that follow it."""
        job = Job(new.record.id, self._broker)
        self._new.append(new)
        self.members.append(job)
        self.follow(preparer.callbacks(), preparer.queue, job)
        return job

    def follow(self, callbacks: Sequence[tuple[Any, str]], queue: str, value: Any) -> None:
        """Add jobs that are told what came of `value`: a job, or lists of them."""
        for given, when in callbacks:
            preparer, args, kwargs = self._enqueuer.callback(given, when, queue)
            self._callbacks.append(preparer.job((value, *args), kwargs, STAMPS.next()[0], self._now))

    def enqueue(self, connection: Connection | None) -> list[Job]:
        """Store them all; returns the jobs that there are now, without the callbacks."""
        ids = self._broker.enqueue([*self._new, *self._callbacks], connection=connection)
        for job, id_ in zip(self.members, ids, strict=False):
            job.id = id_  # that of another one which has its key
        return self.members


def is_job(value: object) -> bool:
    """Whether an argument stands for the result of a job."""
    return isinstance(value, Job)
