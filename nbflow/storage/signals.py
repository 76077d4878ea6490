"""Statements about what is sent to runs from outside."""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, insert, select

from nbflow.model.jobs import SignalRecord
from nbflow.storage.schema import runs, signals


def send(connection: Connection, record: SignalRecord) -> bool:
    """Store a signal, its number set to the next one; False if its key was sent before."""
    # The run's row serialises those who send to it; SQLite has one writer at a time anyway.
    connection.execute(select(runs.c.id).where(runs.c.id == record.run).with_for_update())
    if record.key is not None:
        same = and_(signals.c.run == record.run, signals.c.key == record.key)
        if connection.execute(select(signals.c.number).where(same)).first() is not None:
            return False
    last = connection.execute(select(func.max(signals.c.number)).where(signals.c.run == record.run)).scalar() or 0
    connection.execute(insert(signals).values(record._replace(number=last + 1)._asdict()))
    return True


def of_run(connection: Connection, run: str, name: str) -> list[SignalRecord]:
    """The signals of a name that were sent to a run, in order."""
    statement = select(signals).where(and_(signals.c.run == run, signals.c.name == name)).order_by(signals.c.number)
    return [SignalRecord._make(row) for row in connection.execute(statement)]
