"""The tables. Each has the columns of its record in `nbflow.model.records`, in the same order.

Indexes exist only where a query needs one, since tasks are written by the ten thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from nbflow.model import deployments as deploying
from nbflow.model import jobs as queueing
from nbflow.model import records

VERSION = "0003"  # the newest of the migrations

metadata = MetaData()

version_table = Table(
    "alembic_version",  # Alembic's own name and form
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

_TYPES: dict[type, Any] = {str: Text, int: BigInteger, float: Float(53), bytes: LargeBinary}


_ID, _NAME = 64, 255  # characters of keys: of ids, and of what people name, with what is put before it


def _table(
    name: str, record: type, *key: str, width: int = _ID, widths: Mapping[str, int] = MappingProxyType({})
) -> Table:
    columns = []
    for field, annotation in get_type_hints(record).items():
        kinds = get_args(annotation) or (annotation,)
        column_type = String(widths.get(field, width)) if field in key and kinds[0] is str else _TYPES[kinds[0]]
        columns.append(
            Column(field, column_type, primary_key=field in key, nullable=len(kinds) > 1, autoincrement=False)
        )
    return Table(name, metadata, *columns)


flow_versions = _table("flow_versions", records.FlowVersionRecord, "id")
runs = _table("runs", records.RunRecord, "id")
tasks = _table("tasks", records.TaskRecord, "run", "seq")
payloads = _table("payloads", records.PayloadRecord, "run", "seq")
attempts = _table("attempts", records.AttemptRecord, "run", "seq", "number")
logs = _table("logs", records.LogRecord, "run", "seq", "attempt", "number")
events = _table("events", records.EventRecord, "id")
artifacts = _table("artifacts", records.ArtifactRecord, "uri")
cache = _table("cache", records.CacheRecord, "key")

jobs = _table("jobs", queueing.JobRecord, "id")
job_needs = _table("job_needs", queueing.NeedRecord, "job", "position")
gates = _table("gates", queueing.GateRecord, "name", width=_NAME)
gate_lines = _table("gate_lines", queueing.GateLineRecord, "line")
gate_waits = _table("gate_waits", queueing.GateWaitRecord, "line", "priority", "place", "job")
gate_starts = _table("gate_starts", queueing.GateStartRecord, "gate", "job", "time", width=_NAME)
job_keys = _table("job_keys", queueing.KeyRecord, "key", width=_NAME)
revocations = _table("revocations", queueing.RevocationRecord, "target", width=_NAME)
queues = _table("queues", queueing.QueueRecord, "name", width=_NAME)
workers = _table("workers", queueing.WorkerRecord, "id")
schedules = _table("schedules", queueing.ScheduleRecord, "name", width=_NAME)
firings = _table("firings", queueing.FiringRecord, "schedule", "logical_time", width=_NAME)
signals = _table("signals", queueing.SignalRecord, "run", "number")

deployments = _table("deployments", deploying.DeploymentRecord, "name")
deployment_versions = _table("deployment_versions", deploying.DeploymentVersionRecord, "deployment", "number")
triggers = _table("triggers", deploying.TriggerRecord, "deployment", "name")
trigger_firings = _table("trigger_firings", deploying.TriggerFiringRecord, "deployment", "key", widths={"key": _NAME})
mailings = _table("mailings", deploying.MailingRecord, "key", width=_NAME)
alerts = _table("alerts", deploying.AlertRecord, "name")
incidents = _table("incidents", deploying.IncidentRecord, "alert", "id", widths={"id": _NAME})


def _partial(name: str, condition: str, *columns: Column[Any]) -> None:
    Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


# Partial, so that a job is in the index of what it is now and in no other; conditions are repeated word for word by
# the statements that use them.
_partial("jobs_ready", "state = 'ready'", jobs.c.queue, jobs.c.priority, jobs.c.place)
_partial("jobs_due", "state = 'pending' AND due_at IS NOT NULL", jobs.c.due_at)
_partial("jobs_running", "state = 'running'", jobs.c.worker)
_partial("jobs_kept", "keep_until IS NOT NULL", jobs.c.keep_until)
_partial("jobs_expiring", "expires_at IS NOT NULL AND finished_at IS NULL", jobs.c.expires_at)
_partial("jobs_of_run", "run IS NOT NULL", jobs.c.run, jobs.c.state)
_partial("jobs_of_batch", "batch IS NOT NULL", jobs.c.batch)
_partial("jobs_of_schedule", "schedule IS NOT NULL AND finished_at IS NULL", jobs.c.schedule)
Index("needs_by_needed", job_needs.c.needs)
Index("lines_by_gate", gate_lines.c.gate)
Index("lines_by_queue", gate_lines.c.queue)
Index("waits_by_job", gate_waits.c.job)
Index("starts_by_time", gate_starts.c.gate, gate_starts.c.time)
_partial("schedules_by_time", "paused = 0", schedules.c.next_at)
Index("firings_by_time", firings.c.fired_at)
Index("runs_by_time", runs.c.created_at)
_partial("runs_of_deployment", "deployment IS NOT NULL", runs.c.deployment, runs.c.created_at)
_partial("runs_untold", "told IS NULL AND finished_at IS NOT NULL", runs.c.finished_at)
Index("triggers_by_topic", triggers.c.kind, triggers.c.topic)
_partial("triggers_by_time", "next_at IS NOT NULL", triggers.c.next_at)
Index("trigger_firings_by_time", trigger_firings.c.at)
Index("trigger_firings_by_job", trigger_firings.c.job)
_partial("trigger_firings_waiting", "waits = 1", trigger_firings.c.deployment)
Index("events_by_run", events.c.run)

BY_RECORD: dict[type, Table] = {
    records.FlowVersionRecord: flow_versions,
    records.TaskRecord: tasks,
    records.PayloadRecord: payloads,
    records.AttemptRecord: attempts,
    records.LogRecord: logs,
    records.EventRecord: events,
    records.ArtifactRecord: artifacts,
    records.CacheRecord: cache,
}
