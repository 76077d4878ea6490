"""Statements about events."""

from __future__ import annotations

from sqlalchemy import Connection, select

from nbflow.model.records import EventRecord
from nbflow.storage.schema import events


def of_run(connection: Connection, run: str) -> list[EventRecord]:
    """What happened in a run beside its tasks, in order of time."""
    statement = select(events).where(events.c.run == run).order_by(events.c.time, events.c.id)
    return [EventRecord(*row) for row in connection.execute(statement)]
