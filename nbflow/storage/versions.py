"""Statements about the versions of flows."""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.records import FlowVersionRecord
from nbflow.storage.schema import flow_versions


def add(connection: Connection, record: FlowVersionRecord) -> None:
    """Store a version, unless it is there."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(flow_versions).values(record._asdict()).on_conflict_do_nothing())


def get(connection: Connection, version: str) -> FlowVersionRecord | None:
    """The version of this id."""
    row = connection.execute(select(flow_versions).where(flow_versions.c.id == version)).first()
    return FlowVersionRecord(*row) if row is not None else None
