"""The tables. Each has the columns of its record in `nbflow.model.records`, in the same order.

Indexes exist only where a query needs one, since tasks are written by the ten thousand.
"""

from __future__ import annotations

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
)

from nbflow.model import records

VERSION = "0001"  # the newest of the migrations

metadata = MetaData()

version_table = Table(
    "alembic_version",  # Alembic's own name and form
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

_TYPES: dict[type, Any] = {str: Text, int: BigInteger, float: Float(53), bytes: LargeBinary}


def _table(name: str, record: type, *key: str) -> Table:
    columns = []
    for field, annotation in get_type_hints(record).items():
        kinds = get_args(annotation) or (annotation,)
        column_type = String(64) if field in key and kinds[0] is str else _TYPES[kinds[0]]
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

Index("runs_by_time", runs.c.created_at)
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
