"""Statements about the versions of flows."""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.records import FlowVersionRecord
from nbflow.storage import raw
from nbflow.storage.schema import flow_versions

_NEW = (
    f"INSERT INTO flow_versions ({', '.join(FlowVersionRecord._fields)}) "
    f"VALUES ({raw.marks(len(FlowVersionRecord._fields))}) ON CONFLICT DO NOTHING"
)


def add(connection: Connection, record: FlowVersionRecord) -> None:
    """Store a version, unless it is there."""
    raw.one(connection, _NEW, record)


def register(connection: Connection, record: FlowVersionRecord) -> None:
    """Store a version as the latest of its flow, also if it was stored before."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(flow_versions).values(record._asdict())
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"created_at": record.created_at}))


def latest(connection: Connection, flow: str, kind: str) -> FlowVersionRecord | None:
    """The version of a flow of this kind that was stored last."""
    found = history(connection, flow, kind, 1)
    return found[0] if found else None


def history(connection: Connection, flow: str, kind: str, limit: int | None = None) -> list[FlowVersionRecord]:
    """The versions of a flow of this kind, the latest first."""
    columns = flow_versions.c
    asked = select(flow_versions).where(columns.flow == flow, columns.kind == kind)
    rows = connection.execute(asked.order_by(columns.created_at.desc()).limit(limit))
    return [FlowVersionRecord(*row) for row in rows]


def get(connection: Connection, version: str) -> FlowVersionRecord | None:
    """The version of this id."""
    row = raw.one(connection, "SELECT * FROM flow_versions WHERE id = ?", (version,)).first()
    return FlowVersionRecord(*row) if row is not None else None
