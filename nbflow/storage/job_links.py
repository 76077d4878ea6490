"""Statements about what binds jobs: needs, unique keys, revocations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.jobs import KeyRecord, NeedRecord, RevocationRecord
from nbflow.storage import raw
from nbflow.storage.schema import job_keys, job_needs, jobs, revocations


def need(connection: Connection, rows: Sequence[NeedRecord]) -> None:
    """Let jobs wait for others."""
    raw.many(connection, "INSERT INTO job_needs (job, position, needs) VALUES (?, ?, ?)", rows)


def needed_by(connection: Connection, job: str) -> list[str]:
    """The jobs that wait for a job, each as often as it needs it."""
    return list(connection.execute(select(job_needs.c.job).where(job_needs.c.needs == job)).scalars())


def needs_of(connection: Connection, job: str) -> list[NeedRecord]:
    """What a job waits for, or waited for."""
    statement = select(job_needs).where(job_needs.c.job == job).order_by(job_needs.c.position)
    return [NeedRecord(*row) for row in connection.execute(statement)]


def needed_results(connection: Connection, job: str) -> list[tuple[int, str, str | None]]:
    """(position, id, state) of what a job needs; the state is None of a job that is gone."""
    statement = (
        select(job_needs.c.position, job_needs.c.needs, jobs.c.state)
        .select_from(job_needs.outerjoin(jobs, jobs.c.id == job_needs.c.needs))
        .where(job_needs.c.job == job)
        .order_by(job_needs.c.position)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]


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
    insert_ = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert_(job_keys).values(record._asdict()).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def key(connection: Connection, name: str) -> KeyRecord | None:
    """Who holds a unique key."""
    row = connection.execute(select(job_keys).where(job_keys.c.key == name).with_for_update()).first()
    return KeyRecord(*row) if row is not None else None


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


def revoked(connection: Connection) -> dict[str, RevocationRecord]:
    """All revocations by target."""
    return {row[0]: RevocationRecord._make(row) for row in raw.one(connection, "SELECT * FROM revocations")}
