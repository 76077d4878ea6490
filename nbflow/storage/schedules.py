"""Statements about schedules and their firings.

Whoever writes a firing locks the schedule first, and there can be one row for each logical time: so nothing fires
twice, whoever tries at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, update

from nbflow.model.jobs import FiringRecord, ScheduleRecord
from nbflow.storage import raw
from nbflow.storage.schema import firings, schedules
from nbflow.storage.upserts import storable

_AT_ONCE = 500  # values in one statement
_CHANGES = [f"{name} = excluded.{name}" for name in ScheduleRecord._fields if name not in ("name", "revision")]
_PUT = (
    f"INSERT INTO schedules ({', '.join(ScheduleRecord._fields)}) VALUES ({raw.marks(len(ScheduleRecord._fields))}) "
    f"ON CONFLICT (name) DO UPDATE SET {', '.join(_CHANGES)}, revision = schedules.revision + 1"
)


def get(connection: Connection, name: str, *, lock: bool = False) -> ScheduleRecord | None:
    """The schedule of this name; with `lock` nobody else fires or changes it until the transaction ends."""
    statement = select(schedules).where(schedules.c.name == name)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return ScheduleRecord._make(row) if row is not None else None


def named(connection: Connection, names: Sequence[str], *, lock: bool = False) -> dict[str, ScheduleRecord]:
    """Some schedules by name; those that there are not are left out."""
    found: dict[str, ScheduleRecord] = {}
    for part in _parts(sorted(names)):
        end = raw.for_update(connection) if lock else ""
        statement = f"SELECT * FROM schedules WHERE name IN ({raw.marks(len(part))}) ORDER BY name{end}"
        found.update({row[0]: ScheduleRecord._make(row) for row in raw.one(connection, statement, tuple(part))})
    return found


def listed(connection: Connection, queue: str | None = None) -> list[ScheduleRecord]:
    """All schedules, or those of a queue, by name."""
    statement = select(schedules).order_by(schedules.c.name)
    if queue is not None:
        statement = statement.where(schedules.c.queue == queue)
    return [ScheduleRecord._make(row) for row in connection.execute(statement)]


def put(connection: Connection, records: Sequence[ScheduleRecord]) -> None:
    """Store schedules, each in the place of the one of its name."""
    raw.many(connection, _PUT, [tuple([storable(value) for value in record]) for record in records])


def change(connection: Connection, name: str, revision: int | None = None, **values: Any) -> bool:
    """Change columns of a schedule, if it is of this revision (None: of any); whether it did."""
    statement = update(schedules).where(schedules.c.name == name)
    if revision is not None:
        statement = statement.where(schedules.c.revision == revision)
    values = {column: storable(value) for column, value in values.items()}
    return connection.execute(statement.values(**values, revision=schedules.c.revision + 1)).rowcount == 1


def remove(connection: Connection, name: str) -> bool:
    """Remove a schedule and the record of its firings; whether there was one."""
    found = connection.execute(delete(schedules).where(schedules.c.name == name)).rowcount == 1
    connection.execute(delete(firings).where(firings.c.schedule == name))
    return found


def due(connection: Connection, now: float, most: int) -> list[ScheduleRecord]:
    """Schedules that have a time to fire, the longest overdue first."""
    statement = "SELECT * FROM schedules WHERE paused = 0 AND next_at <= ? ORDER BY next_at LIMIT ?"
    return [ScheduleRecord._make(row) for row in raw.one(connection, statement, (now, most))]


def next_time(connection: Connection) -> float | None:
    """When the next of all schedules is due."""
    found = raw.one(connection, "SELECT min(next_at) FROM schedules WHERE paused = 0").scalar()
    return float(found) if found is not None else None


def lock(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Keep some schedules for this transaction; their revisions by name. Those that others keep are left out."""
    found: dict[str, int] = {}
    for part in _parts(sorted(names)):
        statement = (
            f"SELECT name, revision FROM schedules WHERE name IN ({raw.marks(len(part))}) "
            f"ORDER BY name{raw.for_update(connection, skip_locked=True)}"
        )
        found.update({row[0]: row[1] for row in raw.one(connection, statement, tuple(part))})
    return found


def advance(connection: Connection, rows: Sequence[tuple[float | None, float, str]]) -> None:
    """Store (next time, latest time that was dealt with, name) of schedules."""
    raw.many(connection, "UPDATE schedules SET next_at = ?, last_at = ?, revision = revision + 1 WHERE name = ?", rows)


def fired(connection: Connection, pairs: Iterable[tuple[str, float]]) -> dict[tuple[str, float], FiringRecord]:
    """Those of some (schedule, logical time) that there is a firing of."""
    found = {}
    for part in _parts(list(pairs), _AT_ONCE // 2):
        values = tuple([value for pair in part for value in pair])
        marks = ", ".join(["(?, ?)"] * len(part))
        statement = f"SELECT * FROM firings WHERE (schedule, logical_time) IN (VALUES {marks})"
        if connection.dialect.name == "postgresql":  # which takes a bare parameter for a text
            statement = statement.replace("(?, ?)", "(?::text, ?::float8)", 1)
        for row in raw.one(connection, statement, values):
            record = FiringRecord._make(row)
            found[record.schedule, record.logical_time] = record
    return found


def record(connection: Connection, rows: Sequence[FiringRecord]) -> None:
    """Store firings. Fails, and the transaction with it, if there is one of a logical time already."""
    names = ", ".join(FiringRecord._fields)
    raw.many(connection, f"INSERT INTO firings ({names}) VALUES ({raw.marks(len(FiringRecord._fields))})", rows)


def forget(connection: Connection, pairs: Sequence[tuple[str, float]]) -> None:
    """Remove the firings of some (schedule, logical time)."""
    raw.many(connection, "DELETE FROM firings WHERE schedule = ? AND logical_time = ?", pairs)


def forget_before(connection: Connection, time: float, most: int) -> int:
    """Remove up to `most` firings that were dealt with before a time; returns how many."""
    statement = select(firings.c.schedule, firings.c.logical_time).where(firings.c.fired_at < time).limit(most)
    rows = [(row[0], row[1]) for row in connection.execute(statement)]
    forget(connection, rows)
    return len(rows)


def history(connection: Connection, name: str, limit: int, before: float | None = None) -> list[FiringRecord]:
    """Firings of a schedule, those of the latest logical times first."""
    statement = select(firings).where(firings.c.schedule == name).order_by(firings.c.logical_time.desc()).limit(limit)
    if before is not None:
        statement = statement.where(firings.c.logical_time < before)
    return [FiringRecord._make(row) for row in connection.execute(statement)]


def unfinished(connection: Connection, names: Sequence[str], most: int) -> dict[str, list[str]]:
    """Jobs of some schedules that have not finished, by schedule; of each the latest `most`, in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        statement = "SELECT id FROM jobs WHERE schedule = ? AND schedule IS NOT NULL AND finished_at IS NULL"
        rows = raw.one(connection, f"{statement} ORDER BY id DESC LIMIT ?", (name, most))
        found[name] = [row[0] for row in rows][::-1]
    return found


def _parts(rows: Sequence[Any], size: int = _AT_ONCE) -> Iterable[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
