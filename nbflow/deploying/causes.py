"""Why a run was started: what its code, and whoever looks at it, can ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from nbflow.engine import stores
from nbflow.engine.frames import FRAME
from nbflow.model.errors import RunNotFoundError
from nbflow.model.names import run_job
from nbflow.running import context
from nbflow.storage import jobs, runs
from nbflow.storage import triggers as stored
from nbflow.storage.connection import Connection


class StartedBy(NamedTuple):
    """Why a run was started."""

    run: str
    deployment: str | None  # None: it was started by hand, without one
    version: int | None  # number of the deployment's version
    kind: str  # "manual", "schedule", "event", "flow", "file", "table" or "webhook"
    trigger: str | None  # name of the trigger, or of the schedule
    key: str | None  # of the event, such as "event/sales/42"; it starts a deployment once
    logical_time: datetime | None  # what the run stands for, in UTC; of a flow that is followed: that of its run


def started_by(run: str | None = None, *, db: str | None = None) -> StartedBy:
    """Why a run was started; inside of a step or a flow function, its own run.

    Needs the database: `db`, or that of the settings, as on workers. Raises RunNotFoundError, also outside of runs.
    """
    wanted = run or _current()
    if wanted is None:
        raise RunNotFoundError("This is no part of a run; name one: started_by(run).")
    database = stores.database(db, create=False)
    return database.retrying(lambda connection: _look(connection, wanted), write=False)


def _current() -> str | None:
    frame, attempt = FRAME.get(), context.current()
    if frame is not None:
        return frame.engine.run
    return attempt.run if attempt is not None else None


def _look(connection: Connection, run: str) -> StartedBy:
    record = runs.find(connection, run)
    at = datetime.fromtimestamp(record.logical_time, UTC) if record.logical_time is not None else None
    job = run_job(record.id)
    firing = stored.of_job(connection, job)
    kind, trigger, key = "manual", None, None
    if firing is not None:
        kind, trigger, key = firing.key.partition("/")[0], firing.trigger, firing.key
    else:
        found = jobs.get(connection, [job]).get(job)
        if found is not None and found.schedule is not None:
            kind, trigger = "schedule", found.schedule
    return StartedBy(record.id, record.deployment, record.deployment_version, kind, trigger, key, at)
