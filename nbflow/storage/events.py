"""Statements about events."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from nbflow.model.records import EventRecord
from nbflow.storage import raw
from nbflow.storage.schema import events


def of_run(connection: Connection, run: str) -> list[EventRecord]:
    """What happened in a run beside its tasks, in order of time."""
    statement = select(events).where(events.c.run == run).order_by(events.c.time, events.c.id)
    return [EventRecord(*row) for row in connection.execute(statement)]


def of_kind(connection: Connection, run: str, kind: str) -> list[EventRecord]:
    """What of one kind happened in a run."""
    statement = "SELECT * FROM events WHERE run = ? AND kind = ? ORDER BY time, id"
    return [EventRecord(*row) for row in raw.one(connection, statement, (run, kind))]


def add(connection: Connection, record: EventRecord) -> None:
    """Store an event, unless it is there."""
    if connection.execute(select(events.c.id).where(events.c.id == record.id)).first() is None:
        connection.execute(insert(events).values(record._asdict()))
