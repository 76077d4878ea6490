"""Statements about what binds jobs: needs, unique keys, revocations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, insert, or_, select

from nbflow.model.jobs import KeyRecord, NeedRecord, RevocationRecord
from nbflow.storage import raw
from nbflow.storage.schema import job_keys, job_needs, jobs, revocations


class NeedResult(NamedTuple):
    """How a job ended that another one needs."""

    job: str
    state: str | None  # None: it is gone
    error_type: str | None

    @property
    def stopped(self) -> bool:
        """Whether somebody cancelled it, or what it needed itself."""
        cancelled = (self.error_type or "").endswith("TaskCancelledError")
        return self.state == "cancelled" or (self.state == "skipped" and cancelled)


def need(connection: Connection, rows: Sequence[NeedRecord]) -> None:
    """Let jobs wait for others."""
    raw.many(connection, "INSERT INTO job_needs (job, position, needs) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)


def needed_by(connection: Connection, job: str) -> list[str]:
    """The jobs that wait for a job, each as often as it needs it."""
    return list(connection.execute(select(job_needs.c.job).where(job_needs.c.needs == job)).scalars())


def needs_of(connection: Connection, job: str) -> list[NeedRecord]:
    """What a job waits for, or waited for."""
    statement = select(job_needs).where(job_needs.c.job == job).order_by(job_needs.c.position)
    return [NeedRecord(*row) for row in connection.execute(statement)]


def needed_results(connection: Connection, job: str) -> list[NeedResult]:
    """How those ended that a job needs, in order."""
    statement = (
        "SELECT job_needs.needs, jobs.state, jobs.error_type FROM job_needs "
        "LEFT JOIN jobs ON jobs.id = job_needs.needs WHERE job_needs.job = ? ORDER BY job_needs.position"
    )
    return [NeedResult(*row) for row in raw.one(connection, statement, (job,))]


def needed_by_unfinished(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that a job needs which has not finished."""
    statement = (
        select(job_needs.c.needs)
        .select_from(job_needs.join(jobs, jobs.c.id == job_needs.c.job))
        .where(and_(job_needs.c.needs.in_(ids), jobs.c.finished_at.is_(None)))
    )
    return set(connection.execute(statement).scalars())


def forget_needs(connection: Connection, ids: Sequence[str]) -> None:
    """Remove what jobs needed."""
    connection.execute(delete(job_needs).where(job_needs.c.job.in_(ids)))


def take_key(connection: Connection, record: KeyRecord) -> bool:
    """Give a unique key to a job, unless another one holds it; whether it did."""
    statement = "INSERT INTO job_keys (key, job, until) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING 1"
    return bool(raw.one(connection, statement, tuple(record)))


def key(connection: Connection, name: str) -> KeyRecord | None:
    """Who holds a unique key; nobody takes it over until the transaction ends."""
    statement = f"SELECT * FROM job_keys WHERE key = ?{raw.for_update(connection)}"
    row = raw.one(connection, statement, (name,)).first()
    return KeyRecord._make(row) if row is not None else None


def drop_key(connection: Connection, name: str, job: str, now: float | None = None) -> None:
    """Free a unique key if `job` holds it; with `now` only if its window has ended or it has none."""
    conditions = [job_keys.c.key == name, job_keys.c.job == job]
    if now is not None:
        conditions.append(or_(job_keys.c.until.is_(None), job_keys.c.until <= now))
    connection.execute(delete(job_keys).where(and_(*conditions)))


def expire_keys(connection: Connection, now: float) -> None:
    """Free the keys whose window has ended."""
    connection.execute(delete(job_keys).where(job_keys.c.until <= now))


def revoke(connection: Connection, record: RevocationRecord) -> None:
    """Keep jobs from beginning."""
    connection.execute(delete(revocations).where(revocations.c.target == record.target))
    connection.execute(insert(revocations).values(record._asdict()))


def restore(connection: Connection, target: str) -> bool:
    """Take a revocation back; whether there was one."""
    return connection.execute(delete(revocations).where(revocations.c.target == target)).rowcount > 0


def forget_revocations(connection: Connection, now: float) -> None:
    """Remove the revocations whose time is over."""
    connection.execute(delete(revocations).where(revocations.c.until <= now))


def revoked(connection: Connection) -> dict[str, RevocationRecord]:
    """All revocations by target."""
    return {row[0]: RevocationRecord._make(row) for row in raw.one(connection, "SELECT * FROM revocations")}
