"""Statements about queues and the workers that serve them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from nbflow.model.jobs import QueueRecord, WorkerRecord
from nbflow.storage import raw
from nbflow.storage.schema import queues, workers


def add(connection: Connection, record: QueueRecord) -> bool:
    """Create a queue, unless there is one of its name; whether it did."""
    columns = ", ".join(QueueRecord._fields)
    statement = f"INSERT INTO queues ({columns}) VALUES ({raw.marks(len(record))}) ON CONFLICT DO NOTHING RETURNING 1"
    return bool(raw.one(connection, statement, tuple(record)))


def change(connection: Connection, name: str, **values: Any) -> bool:
    """Change columns of a queue; whether there is one of this name."""
    return connection.execute(update(queues).where(queues.c.name == name).values(**values)).rowcount == 1


def remove(connection: Connection, name: str) -> None:
    """Forget a queue."""
    connection.execute(delete(queues).where(queues.c.name == name))


def everything(connection: Connection) -> list[QueueRecord]:
    """All queues in the order in which they are served: by priority, those without one last, "default" after all."""
    found = [QueueRecord._make(row) for row in raw.one(connection, "SELECT * FROM queues")]
    return sorted(found, key=_order)


def _order(queue: QueueRecord) -> tuple[bool, int, bool, float, str]:
    unnumbered = queue.priority is None
    return (unnumbered, queue.priority or 0, queue.name == "default", queue.created_at if unnumbered else 0, queue.name)


def get(connection: Connection, name: str) -> QueueRecord | None:
    """The queue of this name."""
    row = raw.one(connection, "SELECT * FROM queues WHERE name = ?", (name,)).first()
    return QueueRecord._make(row) if row is not None else None


def is_paused(connection: Connection, name: str) -> bool:
    """Whether a queue hands out nothing."""
    return bool(raw.one(connection, "SELECT paused FROM queues WHERE name = ?", (name,)).scalar())


def register(connection: Connection, record: WorkerRecord) -> None:
    """Store a new worker."""
    connection.execute(insert(workers).values(record._asdict()))


def renew(connection: Connection, worker: str, now: float, until: float, **values: Any) -> bool:
    """Extend the lease of a worker that still has one; False if it was given up as lost."""
    alive = workers.c.state.in_(("running", "draining"))
    statement = update(workers).where(workers.c.id == worker, alive)
    return connection.execute(statement.values(seen_at=now, lease_until=until, **values)).rowcount == 1


def holds_lease(connection: Connection, worker: str) -> bool:
    """Whether a worker has not been given up as lost; it cannot be, until the transaction ends."""
    share = " FOR SHARE" if connection.dialect.name == "postgresql" else ""
    statement = f"SELECT state FROM workers WHERE id = ?{share}"
    return raw.one(connection, statement, (worker,)).scalar() in ("running", "draining")


def leave(connection: Connection, worker: str, state: str, now: float) -> None:
    """Store that a worker has ended ("stopped"), or counts as dead ("lost")."""
    values = {"state": state, "seen_at": now} if state == "stopped" else {"state": state}
    connection.execute(update(workers).where(workers.c.id == worker).values(**values, busy=0))


def listed(connection: Connection, states: Sequence[str] = ("running", "draining")) -> list[WorkerRecord]:
    """Workers in these states, the oldest first."""
    statement = select(workers).where(workers.c.state.in_(states)).order_by(workers.c.started_at, workers.c.id)
    return [WorkerRecord._make(row) for row in connection.execute(statement)]


def lock_worker(connection: Connection, worker: str) -> WorkerRecord | None:
    """A worker's row for this transaction alone; None if somebody else has it, or it is not running any more."""
    statement = (
        f"SELECT * FROM workers WHERE id = ? AND state IN ('running', 'draining')"
        f"{raw.for_update(connection, skip_locked=True)}"
    )
    row = raw.one(connection, statement, (worker,)).first()
    return WorkerRecord._make(row) if row is not None else None


def forget_workers(connection: Connection, before: float) -> None:
    """Remove workers that ended before a time."""
    gone = workers.c.state.in_(("stopped", "lost"))
    connection.execute(delete(workers).where(gone, workers.c.seen_at < before))
