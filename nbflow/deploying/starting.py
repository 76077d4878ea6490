"""Starting a run of a deployment: the job that a schedule, a trigger or a person puts on the queue.

The job is the run's own: it is named after it, lasts until the run has ended, and ends as that does. So what is said of
jobs holds for runs too: overlap, history, callbacks. While the run waits the job is suspended and takes no place on any
worker. Begun again, after its worker died, it meets the run that it began.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow import settings as settings_module
from nbflow.deploying import apart, versions
from nbflow.deploying.environments import drift
from nbflow.deploying.environments.capturing import Captured
from nbflow.engine import detached, session, stores
from nbflow.engine.session import Origin, RunOptions
from nbflow.model.errors import DeploymentError, RunFailedError
from nbflow.model.events import WARNING
from nbflow.model.names import run_job
from nbflow.model.records import EventRecord
from nbflow.model.states import State
from nbflow.queue import templates
from nbflow.queue.broker import STAMPS
from nbflow.queue.queue import Queue
from nbflow.running import surroundings
from nbflow.running.context import current
from nbflow.storage import deployments, events, runs
from nbflow.storage import versions as flow_versions

if TYPE_CHECKING:
    from nbflow.model.deployments import DeploymentVersionRecord
    from nbflow.model.records import FlowVersionRecord, RunRecord
    from nbflow.model.specs import FlowSpec
    from nbflow.queue.broker import Broker, NewJob
    from nbflow.running.context import AttemptContext
    from nbflow.storage.connection import Connection
    from nbflow.storage.database import Database

LOGICAL_TIME = "logical_time"  # the parameter that is given the time which is meant, if a flow has one
RUN_POLICY = {"losses": 1_000}  # workers may die under a run as often as they like
_WORDS = {State.FAILED: "failed", State.TIMED_OUT: "timed out", State.CANCELLED: "was cancelled"}


class Pinned(NamedTuple):
    """What a run of a deployment runs."""

    run: RunRecord | None  # None: it has not begun
    version: DeploymentVersionRecord
    flow: FlowVersionRecord
    options: dict[str, Any]  # of the version


def start_job(
    broker: Broker, version: DeploymentVersionRecord, parameters: Mapping[str, Any], number: int | None = None
) -> NewJob:
    """The job of a new run, to be put on the queue: `broker.add(connection, [job])`. The run's id is `job.record.run`.

    `parameters`: beside those of the version. `number`: of the version that it is to run; None: the one that counts
    when it begins.
    """
    handle = Queue(json.loads(version.options)["queue"])
    preparer = handle._enqueuer(broker).preparer(start)
    found = preparer.job((version.deployment, dict(parameters), number), {}, STAMPS.next()[0], broker.clock.time())
    policy = {**json.loads(found.record.policy or "{}"), **RUN_POLICY}
    record = found.record._replace(policy=json.dumps(policy), name=version.deployment)
    return templates.as_run(found._replace(record=record))


def start(deployment: str, parameters: Mapping[str, Any] | None = None, version: int | None = None) -> str:
    """Execute a run of a deployment, begun or not; returns its id. To be called by the run's job.

    `parameters`: beside those of the version. `version`: its number; default: the one that counts when it begins.
    Raises RunFailedError if the run does not succeed.
    """
    attempt = current()
    if attempt is None or attempt.job is None or not attempt.job.startswith(run_job("")):
        raise DeploymentError("start() is for the jobs of deployments; use Deployment(name).trigger().")
    run = attempt.job.removeprefix(run_job(""))
    database = stores.database(None, create=False)
    pinned = _pinned(database, run, deployment, version)
    if pinned is not None:
        surroundings.go_to(pinned.version.root)
        if pinned.run is None:
            if not pinned.options["isolated"]:
                _tell_drift(database, run, pinned.version)
            if _begin(attempt, run, pinned, parameters or {}):
                return run
        else:
            _go_on(run, pinned)
    return _outcome(run, deployment, database.retrying(lambda connection: runs.look_up(connection, run), write=False))


def with_time(spec: FlowSpec, given: dict[str, Any], logical: datetime | None) -> dict[str, Any]:
    """The parameters, with the time that is meant if the flow has one for it: ISO 8601, or a datetime if it says so."""
    if logical is None or LOGICAL_TIME in given:
        return given
    for parameter in spec.parameters:
        if parameter.name == LOGICAL_TIME:
            is_time = "datetime" in parameter.annotation
            return {**given, LOGICAL_TIME: logical if is_time else logical.isoformat()}
    return given


def _begin(attempt: AttemptContext, run: str, pinned: Pinned, parameters: Mapping[str, Any]) -> bool:
    """Execute a new run; whether it is known to have succeeded."""
    record, options = pinned.version, pinned.options
    values = stores.value_store(settings_module.current())
    logical = attempt.logical_time
    origin = Origin(record.deployment, record.number, logical.timestamp() if logical is not None else None)
    given = {**json.loads(record.parameters), **parameters}
    if options["process"] == versions.APART:
        apart.run(apart.Order(run, record, origin, given), stores.database(None), values)
        return False
    spec = versions.stored_spec(pinned.flow, values)
    given = with_time(spec, given, logical)
    run_options = RunOptions(
        id=run, executor=options["executor"] or "queue", workers=options["workers"], tags=tuple(options["tags"]),
        origin=origin, version=pinned.flow, echo=False,
    )  # fmt: skip
    if run_options.executor == "queue":
        return detached.begin(spec, given, run_options)
    session.begin(spec, (), given, run_options).execute((), given)
    return False


def _go_on(run: str, pinned: Pinned) -> None:
    """Execute a run that was begun, and suspended since, or lost its process."""
    if pinned.options["process"] == versions.APART:
        order = apart.Order(run, pinned.version, None, None)
        apart.run(order, stores.database(None), stores.value_store(settings_module.current()))
    elif pinned.options["executor"] in (None, "queue"):
        detached.advance(run)
    else:
        live, args, kwargs = session.resume(run, RunOptions(echo=False))
        live.execute(args, kwargs)


def _tell_drift(database: Database, run: str, record: DeploymentVersionRecord) -> None:
    """Put on record how the packages of this process differ from those that a version was promoted with."""
    found = _drift(record.environment)
    if found:
        data = json.dumps({"message": f"The packages here are not those that it was promoted with: {found}"})
        event = EventRecord(uuid.uuid4().hex, run, time.time(), WARNING, None, data)
        database.retrying(lambda connection: events.add(connection, event))


@functools.lru_cache(maxsize=256)
def _drift(environment: str) -> str:
    """How this process differs from surroundings that were captured, in words; its packages stay as they are."""
    return drift.told(drift.drift(Captured.from_json(environment)))


def _pinned(database: Database, run: str, name: str, number: int | None) -> Pinned | None:
    """What a run is to run; None if it has ended."""

    def look(connection: Connection) -> tuple[Any, Any, Any, int | None]:
        known = runs.look_up(connection, run)
        wanted = known.deployment_version if known is not None else number
        found = deployments.version(connection, name, wanted)
        return known, found, flow_versions.get(connection, found.flow_version) if found is not None else None, wanted

    known, record, flow, wanted = database.retrying(look, write=False)
    if known is not None and State(known.state).finished:
        return None
    if record is None or flow is None:
        which = f"version {wanted} of deployment {name!r}" if wanted is not None else f"deployment {name!r}"
        raise DeploymentError(f"There is no {which} any more.")
    return Pinned(known, record, flow, json.loads(record.options))


def _outcome(run: str, deployment: str, record: RunRecord | None) -> str:
    state = State(record.state) if record is not None else State.FAILED
    if record is not None and state is State.SUCCEEDED:
        return run
    error = f": {(record.error_type or '').rpartition('.')[2]}: {record.error_message}" if record is not None else ""
    raise RunFailedError(
        f"Run {run} of deployment {deployment!r} {_WORDS.get(state, f'is {state.value}')}{error}", run=run
    )
