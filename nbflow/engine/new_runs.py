"""New runs as records, and who started them."""

from __future__ import annotations

import json
import os
import secrets
import socket
import uuid
from typing import TYPE_CHECKING, Any

from nbflow import settings as settings_module
from nbflow.engine import leftovers, stores
from nbflow.engine.frames import FRAME
from nbflow.engine.versions import input_bytes, parameter_texts, version_record
from nbflow.executors import registry
from nbflow.model import names
from nbflow.model.errors import RunNotFoundError, TaskCancelledError
from nbflow.model.records import RunRecord
from nbflow.model.states import State
from nbflow.running import context
from nbflow.running.clock import SystemClock

if TYPE_CHECKING:
    from nbflow.engine.session import RunOptions
    from nbflow.model.ports import Clock
    from nbflow.model.records import FlowVersionRecord
    from nbflow.model.specs import FlowSpec
    from nbflow.storage.connection import Connection

LEASE = 30.0  # seconds after which a run whose process cannot be asked counts as abandoned


def new_record(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], options: RunOptions
) -> tuple[RunRecord, FlowVersionRecord]:
    """A new run that this process is to execute, and the version of its flow, as records."""
    settings = settings_module.current()
    clock = options.clock or SystemClock()
    executor = registry.check_name(options.executor or spec.executor or settings.executor)
    values = stores.value_store(settings, options.db)
    now = clock.time()
    parent, seq = _parent()
    version = options.version or version_record(spec, values, now)
    owner, started = this_process()
    origin = options.origin
    record = RunRecord(
        id=options.id or new_id(clock),
        flow=spec.name,
        version=version.id,
        state=State.RUNNING.value,
        executor=executor,
        workers=options.workers or spec.workers or settings.workers,
        parameters=parameter_texts(spec, args, kwargs),
        inputs=input_bytes(values, args, kwargs),
        tags=json.dumps([*spec.tags, *options.tags]),
        parent_run=parent,
        parent_seq=seq,
        cwd=os.getcwd(),
        host=socket.gethostname(),
        created_at=now,
        started_at=now,
        finished_at=None,
        owner=owner,
        owner_pid=os.getpid(),
        owner_started=started,
        lease_until=now + LEASE,
        **dict.fromkeys(("result_digest", "result_size", "result_type", "result", "result_uri")),
        **dict.fromkeys(("error_type", "error_message", "error")),
        deployment=origin.deployment if origin is not None else None,
        deployment_version=origin.version if origin is not None else None,
        logical_time=origin.logical_time if origin is not None else None,
    )
    return record, version


def create(connection: Connection, record: RunRecord, version: FlowVersionRecord | None, on_parent_end: str) -> None:
    """Store a new run, and the version of its flow if one is given.

    Raises TaskCancelledError if it is to end with a run that has ended already.
    """
    from nbflow.storage import events, runs

    child = leftovers.child_record(record, on_parent_end)
    if child is not None and runs.over(connection, [child.run]):
        raise TaskCancelledError(
            f"Run {child.run}, which starts this one of flow {record.flow!r}, has ended; with "
            f"on_parent_end={on_parent_end!r} it is not begun."
        )
    runs.create(connection, record, version)
    if child is not None:
        events.add(connection, child)


def new_id(clock: Clock) -> str:
    """An id for a new run."""
    return names.run_id(clock.time(), secrets.randbits(30))


def exists(run: str, db: str | None) -> bool:
    """Whether there is a run of this id."""
    from nbflow.storage import runs

    try:
        stores.database(db).retrying(lambda connection: runs.get(connection, run), write=False)
    except RunNotFoundError:
        return False
    return True


def _parent() -> tuple[str | None, int | None]:
    """The run whose flow function or step starts a run here, if one does, and the number of its task."""
    frame, outer = FRAME.get(), context.current()
    if frame is not None:
        return frame.engine.run, frame.parent.seq if frame.parent is not None else None
    return (outer.run, outer.seq) if outer is not None else (None, None)


def this_process() -> tuple[str, float]:
    """A new token for a run that this process executes, and when the process began (seconds since 1970)."""
    import psutil

    return uuid.uuid4().hex, psutil.Process().create_time()
