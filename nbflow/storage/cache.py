"""Statements about results that serve several runs."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, func, or_, select

from nbflow.model.records import CacheRecord
from nbflow.storage.schema import cache


def lookup(connection: Connection, key: str, now: float) -> CacheRecord | None:
    """The result stored under `key`, unless there is none or it has expired."""
    fresh = or_(cache.c.expires_at.is_(None), cache.c.expires_at > now)
    row = connection.execute(select(cache).where(and_(cache.c.key == key, fresh))).first()
    return CacheRecord(*row) if row is not None else None


def count_expired(connection: Connection, now: float) -> int:
    """How many entries have expired."""
    return connection.execute(select(func.count()).where(cache.c.expires_at <= now)).scalar_one()


def expire(connection: Connection, now: float) -> int:
    """Remove what has expired; returns how many."""
    return connection.execute(delete(cache).where(cache.c.expires_at <= now)).rowcount
