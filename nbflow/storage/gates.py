"""Statements about gates: limits, the jobs that wait in front of them, and the starts that rates count."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.jobs import GateRecord, GateStartRecord, GateWaitRecord
from nbflow.storage import raw
from nbflow.storage.schema import gate_starts, gate_waits, gates


def define(connection: Connection, name: str, capacity: int, period: float | None) -> None:
    """Create a gate, or give it other limits."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(gates).values(name=name, capacity=capacity, period=period, held=0)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"capacity": capacity, "period": period})
    )


def get(connection: Connection, names: Sequence[str]) -> dict[str, GateRecord]:
    """Gates by name, each for this transaction alone, locked in the order of their names."""
    statement = select(gates).where(gates.c.name.in_(sorted(names))).order_by(gates.c.name).with_for_update()
    return {row[0]: GateRecord(*row) for row in connection.execute(statement)}


def hold(connection: Connection, name: str, change: int) -> None:
    """Take (1) or give back (-1) places of a gate."""
    held = gates.c.held + change
    if connection.dialect.name == "postgresql":
        held = func.greatest(held, 0)
    else:
        held = func.max(held, 0)
    connection.execute(update(gates).where(gates.c.name == name).values(held=held))


def wait(connection: Connection, rows: Sequence[GateWaitRecord]) -> None:
    """Let a job wait in front of gates."""
    statement = "INSERT INTO gate_waits (gate, priority, place, job) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    raw.many(connection, statement, rows)


def leave(connection: Connection, job: str) -> None:
    """Let a job wait in front of no gate any more."""
    connection.execute(delete(gate_waits).where(gate_waits.c.job == job))


def next_waits(
    connection: Connection, gate: str, most: int, after: GateWaitRecord | None = None
) -> list[GateWaitRecord]:
    """Those who wait in front of a gate, in order."""
    statement = select(gate_waits).where(gate_waits.c.gate == gate)
    if after is not None:
        statement = statement.where(
            (gate_waits.c.priority > after.priority)
            | and_(gate_waits.c.priority == after.priority, gate_waits.c.place > after.place)
        )
    rows = connection.execute(statement.order_by(gate_waits.c.priority, gate_waits.c.place).limit(most))
    return [GateWaitRecord(*row) for row in rows]


def count_start(connection: Connection, start: GateStartRecord) -> None:
    """Count a start against a rate."""
    statement = "INSERT INTO gate_starts (gate, job, time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    raw.one(connection, statement, start)


def forget_starts(connection: Connection, gate: str, until: float) -> int:
    """Forget the starts up to a time; returns how many."""
    return connection.execute(
        delete(gate_starts).where(and_(gate_starts.c.gate == gate, gate_starts.c.time <= until))
    ).rowcount


def first_start(connection: Connection, gate: str) -> float | None:
    """The earliest start that is still counted."""
    return connection.execute(select(func.min(gate_starts.c.time)).where(gate_starts.c.gate == gate)).scalar()


def wake_at(connection: Connection, gate: str, time: float | None) -> None:
    """Set when the next place of a rate becomes free."""
    connection.execute(update(gates).where(gates.c.name == gate).values(wake_at=time))


def due(connection: Connection, now: float) -> list[str]:
    """Rate gates that have a place free again."""
    return [row[0] for row in raw.one(connection, "SELECT name FROM gates WHERE wake_at <= ? ORDER BY name", (now,))]


def next_due(connection: Connection) -> float | None:
    """When the next place of any rate becomes free."""
    found = raw.one(connection, "SELECT min(wake_at) FROM gates").scalar()
    return float(found) if found is not None else None


def waiting_for(connection: Connection, job: str) -> list[str]:
    """The gates in front of which a job waits."""
    return list(connection.execute(select(gate_waits.c.gate).where(gate_waits.c.job == job)).scalars())
