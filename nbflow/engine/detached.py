"""Runs that nobody waits in: the flow function itself is a job, and any worker may go on with it.

The job is named after the run. While the run waits for long it is suspended: the job has no place on any worker then,
and is woken by the end of a task, by a time, or by a signal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbflow import settings as settings_module
from nbflow.engine import leftovers, new_runs, stores
from nbflow.engine import session as session_module
from nbflow.engine.session import RunOptions
from nbflow.engine.suspending import Suspended
from nbflow.engine.versions import run_update
from nbflow.model.errors import (
    CodecError,
    DatabaseLockedError,
    DatabaseUnreachableError,
    DiskFullError,
    FlowNotFoundError,
    RunActiveError,
    StepTimeoutError,
    StorageError,
    UnpicklableError,
)
from nbflow.model.names import run_job
from nbflow.model.ports import Again, Inputs
from nbflow.model.states import State
from nbflow.running.attempt import RunAgain, error_record
from nbflow.values.secrets import references

if TYPE_CHECKING:
    from nbflow.model.jobs import JobRecord
    from nbflow.model.records import FlowVersionRecord, RunRecord
    from nbflow.model.specs import FlowSpec
    from nbflow.storage.database import Database

_Opened = tuple[session_module.Session, tuple[Any, ...], dict[str, Any]]  # with the arguments of the flow function
_LOSSES = 1_000  # workers may die under a run as often as they like
_BUSY = 2.0  # seconds after which a run is tried again that another process has, or whose database was away
# What keeps a run from going on for now only.
_PASSING = (RunActiveError, DatabaseUnreachableError, DatabaseLockedError, DiskFullError)


def job_of(run: str) -> str:
    """The id of the job that executes a run."""
    return run_job(run)


def submit(spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], options: RunOptions) -> str:
    """Store a new run and put it on the queue; returns its id. Raises UnpicklableError if it cannot travel."""
    from nbflow.queue.broker import Broker, NewJob
    from nbflow.storage import bells

    record, version = _waiting_run(spec, args, kwargs, options)
    database = stores.database(options.db)
    broker = Broker(database, stores.value_store(settings_module.current(), database.url))
    job = _job(record.id, spec, broker.values)
    with bells.ringing(database, bells.JOBS) as connection:
        new_runs.create(connection, record, version, options.on_parent_end)
        broker.add(connection, [NewJob(job)])
    return record.id


def _waiting_run(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], options: RunOptions
) -> tuple[RunRecord, FlowVersionRecord]:
    """A run that nobody executes yet, and the version of its flow, as records."""
    record, version = _new_run(spec, args, kwargs, options)
    nobody: dict[str, Any] = dict.fromkeys(("owner", "owner_pid", "lease_until", "started_at"))
    return record._replace(state=State.READY.value, **nobody), version


def _new_run(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], options: RunOptions
) -> tuple[RunRecord, FlowVersionRecord]:
    record, version = new_runs.new_record(spec, args, kwargs, options)
    if record.inputs is None or version.code is None:
        _explain(spec, args, kwargs)
    return record, version


def _explain(spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise what keeps a flow or its arguments from being stored."""
    values = stores.value_store(settings_module.current())
    try:
        values.put((args, kwargs), f"the arguments of flow {spec.name!r}")
        values.put(spec, f"the code of flow {spec.name!r}")
    except CodecError as error:
        raise UnpicklableError(f"flow {spec.name!r} cannot go to a worker: {error}") from error


def _job(run: str, spec: FlowSpec, values: Any) -> JobRecord:
    from nbflow.model.jobs import JobRecord
    from nbflow.queue.broker import STAMPS
    from nbflow.queue.calls import Packer

    now = time.time()
    payload = Packer(values, lambda _: False).of(advance).seal(Inputs((run,)))
    filled: dict[str, Any] = dict.fromkeys(JobRecord._fields) | {
        "id": job_of(run), "queue": settings_module.current().queue, "priority": 0, "place": STAMPS.next()[0],
        "state": "ready",
        "name": spec.name, "kind": "flow", "run": run, "seq": 0, "payload": payload,
        "policy": json.dumps(policy(spec)), "waiting": 0, "attempt": 0, "marks": 0, "enqueued_at": now,
        "ready_at": now, "tags": "", "success_ttl": 3_600.0, "failure_ttl": 86_400.0,
    }  # fmt: skip
    return JobRecord(**filled)


def policy(spec: FlowSpec) -> dict[str, float]:
    """What a worker has to know of the job of a run."""
    found: dict[str, float] = {"losses": _LOSSES}
    if spec.decision_timeout is not None:
        found["heartbeat"] = spec.decision_timeout  # it gives a sign of life whenever it waits, or has waited
    return found


def begin(spec: FlowSpec, kwargs: dict[str, Any], options: RunOptions) -> bool:
    """Store a new run with the id of `options`, and go on with it as far as it comes: what a job does that is its own.

    Returns whether it has succeeded. Raises UnpicklableError if it could not go on elsewhere.
    """
    assert options.id is not None
    record, version = _new_run(spec, (), kwargs, options)
    database = stores.database(None, create=False)
    fresh = version if options.version is None else None  # else it is stored already
    database.retrying(lambda connection: new_runs.create(connection, record, fresh, options.on_parent_end))
    suspends = replace(options, suspend_after=settings_module.current().suspend_after, echo=False)
    return _go_on(database, record.id, lambda: (session_module.Session(record, spec, suspends, ()), (), kwargs))


def advance(run: str) -> None:
    """Go on with a run, as far as it comes: what its job calls, in the child of a worker."""
    options = RunOptions(suspend_after=settings_module.current().suspend_after, echo=False)
    _go_on(stores.database(None, create=False), run, lambda: session_module.resume(run, options))


def _go_on(database: Database, run: str, opened: Callable[[], _Opened]) -> bool:
    """Execute a run until it ends or is suspended; returns whether it has succeeded, as far as that is stored.

    Raises RunAgain if somebody has to go on with it.
    """
    references.PLACE.set(references.FLOW)  # what is called is a flow function, though a job calls it
    try:
        live, args, kwargs = opened()
        outcome = live.execute(args, kwargs)
    except _PASSING as error:
        _try_later(database, run, error)
        return False
    except StepTimeoutError as error:  # a decision that takes too long, before the flow function was reached
        _give_up(database, run, error, State.TIMED_OUT)
        raise
    except (FlowNotFoundError, CodecError) as error:
        _give_up(database, run, error)
        raise
    if isinstance(outcome.error, Suspended):
        left = outcome.error
        raise RunAgain(Again(left.until, left.wakes if left.wakes is not None else -1, ends=left.ends))
    if isinstance(live.unrecorded, _PASSING):
        _try_later(database, run, live.unrecorded)
    elif live.unrecorded is not None:
        _give_up(database, run, live.unrecorded)
        raise live.unrecorded
    return live.unrecorded is None and outcome.state is State.SUCCEEDED


def _try_later(database: Database, run: str, error: Exception) -> None:
    """Raise RunAgain, unless the run is over: somebody has cancelled it."""
    with suppress(StorageError):
        if _finished(database, run):
            return
    raise RunAgain(Again(time.time() + _BUSY, None), error) from None


def _finished(database: Database, run: str) -> bool:
    from nbflow.storage import runs

    found = database.retrying(lambda connection: runs.get(connection, run), write=False)
    return State(found.state).finished


def _give_up(database: Database, run: str, error: Exception, state: State = State.FAILED) -> None:
    """Store how a run ended whose code or arguments cannot be had, or not in time."""
    from nbflow.storage import runs

    values = stores.value_store(settings_module.current(), database.url)
    update = run_update(run, state, time.time(), values, value=None, error=error_record(error))
    database.retrying(lambda connection: runs.finish(connection, update))
    leftovers.settle_children(database, run)


def cancel(database: Database, run: str, reason: str) -> None:
    """End a run of any process with all its jobs."""
    leftovers.cancel(database, run, reason)


def waits(database: Database, run: str) -> bool:
    """Whether a run is on the queue: somebody will go on with it."""
    from nbflow.storage import jobs

    states = database.retrying(lambda connection: jobs.states(connection, [job_of(run)]), write=False)
    return any(not State(state).finished for state in states.values())


def trouble(database: Database, run: str) -> str:
    """Why no worker goes on with a run that is not finished; "" if that is not known."""
    from nbflow.storage import jobs

    found = database.retrying(lambda connection: jobs.get(connection, [job_of(run)]), write=False).get(job_of(run))
    return (found.error_message or "") if found is not None else ""
