"""Statements about gates: limits, the lines of jobs that wait in front of them, and the starts that rates count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.jobs import GateLineRecord, GateRecord, GateStartRecord, GateWaitRecord
from nbflow.storage import raw
from nbflow.storage.schema import gate_lines, gate_starts, gates

_LOCK = 7_226_338  # of PostgreSQL's advisory locks
_PAUSED = ""  # where the lines of a paused queue stand

# As `queues.everything` has them.
_BY_QUEUE = (
    "queues.priority IS NULL, queues.priority, gate_lines.queue = 'default', "
    "CASE WHEN queues.priority IS NULL THEN queues.created_at ELSE 0 END, gate_lines.queue"
)


def lock(connection: Connection) -> None:
    """Let nobody else pass gates, or leave them, until the transaction ends.

    One lock for all: jobs pass any combination of gates, so that locks of single ones would be taken in all orders.
    """
    if connection.dialect.name == "postgresql":
        raw.one(connection, "SELECT pg_advisory_xact_lock(?)", (_LOCK,))


# --- gates -----------------------------------------------------------------------------------------------------------


def define(connection: Connection, name: str, capacity: int, period: float | None) -> bool:
    """Create a gate, or give it other limits; whether more may pass than before."""
    row = raw.one(connection, "SELECT capacity, period FROM gates WHERE name = ?", (name,)).first()
    if row is None:
        statement = "INSERT INTO gates (name, capacity, period, held) VALUES (?, ?, ?, 0) ON CONFLICT (name) DO NOTHING"
        raw.one(connection, statement, (name, capacity, period))
        return False
    if tuple(row) == (capacity, period):
        return False
    wake_at = 0.0 if period is not None else None  # its starts are to be looked through again
    connection.execute(
        update(gates).where(gates.c.name == name).values(capacity=capacity, period=period, wake_at=wake_at)
    )
    return bool(capacity > row[0])


def get(connection: Connection, names: Sequence[str]) -> dict[str, GateRecord]:
    """Gates by name."""
    rows = raw.one(connection, f"SELECT * FROM gates WHERE name IN ({raw.marks(len(names))})", names) if names else ()
    return {row[0]: GateRecord._make(row) for row in rows}


def hold(connection: Connection, changes: Mapping[str, int]) -> None:
    """Take (above 0) or give back (below 0) places of gates."""
    rows = [(change, change, name) for name, change in sorted(changes.items()) if change]
    raw.many(
        connection,
        "UPDATE gates SET held = CASE WHEN held + ? < 0 THEN 0 ELSE held + ? END WHERE name = ?",
        rows,
    )


# --- lines -----------------------------------------------------------------------------------------------------------


def line(connection: Connection, name: str) -> GateLineRecord | None:
    """A line, if anybody stands in it."""
    row = raw.one(connection, "SELECT * FROM gate_lines WHERE line = ?", (name,)).first()
    return GateLineRecord._make(row) if row is not None else None


def stand(connection: Connection, record: GateLineRecord) -> None:
    """Form a line, or have it stand elsewhere or behind another first job."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = record._asdict()
    changes = {name: values[name] for name in ("gate", "priority", "place")}
    connection.execute(insert(gate_lines).values(values).on_conflict_do_update(index_elements=["line"], set_=changes))


def break_up(connection: Connection, name: str) -> None:
    """Forget a line in which nobody stands any more."""
    connection.execute(delete(gate_lines).where(gate_lines.c.line == name))


def next_line(connection: Connection, gate: str) -> GateLineRecord | None:
    """The line at a gate whose first job is the next to pass: by the priority of queues, then by its own and place."""
    statement = (
        "SELECT gate_lines.* FROM gate_lines LEFT JOIN queues ON queues.name = gate_lines.queue "
        f"WHERE gate_lines.gate = ? ORDER BY {_BY_QUEUE}, gate_lines.priority, gate_lines.place LIMIT 1"
    )
    row = raw.one(connection, statement, (gate,)).first()
    return GateLineRecord._make(row) if row is not None else None


def lines_of(connection: Connection, queue: str) -> list[GateLineRecord]:
    """The lines of a queue, the next to pass first."""
    statement = "SELECT * FROM gate_lines WHERE queue = ? ORDER BY priority, place"
    return [GateLineRecord._make(row) for row in raw.one(connection, statement, (queue,))]


def wait(connection: Connection, rows: Sequence[GateWaitRecord]) -> None:
    """Let jobs wait in lines."""
    statement = "INSERT INTO gate_waits (line, priority, place, job) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    raw.many(connection, statement, [tuple(row) for row in rows])


def leave(connection: Connection, jobs: Sequence[str]) -> None:
    """Let jobs wait no more."""
    raw.many(connection, "DELETE FROM gate_waits WHERE job = ?", [(job,) for job in jobs])


def wait_of(connection: Connection, job: str) -> GateWaitRecord | None:
    """Where a job waits."""
    row = raw.one(connection, "SELECT * FROM gate_waits WHERE job = ?", (job,)).first()
    return GateWaitRecord._make(row) if row is not None else None


def first(connection: Connection, name: str) -> GateWaitRecord | None:
    """Who is the first in a line."""
    statement = "SELECT * FROM gate_waits WHERE line = ? ORDER BY priority, place LIMIT 1"
    row = raw.one(connection, statement, (name,)).first()
    return GateWaitRecord._make(row) if row is not None else None


def waiting(connection: Connection, name: str) -> list[GateWaitRecord]:
    """Who stands in a line, in order."""
    statement = "SELECT * FROM gate_waits WHERE line = ? ORDER BY priority, place"
    return [GateWaitRecord._make(row) for row in raw.one(connection, statement, (name,))]


# --- rates -----------------------------------------------------------------------------------------------------------


def count_start(connection: Connection, start: GateStartRecord) -> bool:
    """Count a start against a rate; False if that very start is counted."""
    statement = "INSERT INTO gate_starts (gate, job, time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1"
    return bool(raw.one(connection, statement, tuple(start)))


def forget_starts(connection: Connection, gate: str, until: float) -> int:
    """Forget the starts up to a time; returns how many."""
    statement = delete(gate_starts).where(gate_starts.c.gate == gate, gate_starts.c.time <= until)
    return connection.execute(statement).rowcount


def first_start(connection: Connection, gate: str) -> float | None:
    """The earliest start that is still counted."""
    found = raw.one(connection, "SELECT min(time) FROM gate_starts WHERE gate = ?", (gate,)).scalar()
    return float(found) if found is not None else None


def wake_at(connection: Connection, gate: str, time: float | None) -> None:
    """Set when the next place of a rate becomes free."""
    raw.one(connection, "UPDATE gates SET wake_at = ? WHERE name = ?", (time, gate))


def due(connection: Connection, now: float) -> list[str]:
    """Rates that have a place free again."""
    return [row[0] for row in raw.one(connection, "SELECT name FROM gates WHERE wake_at <= ? ORDER BY name", (now,))]


def next_due(connection: Connection) -> float | None:
    """When the next place of any rate becomes free."""
    found = raw.one(connection, "SELECT min(wake_at) FROM gates").scalar()
    return float(found) if found is not None else None
