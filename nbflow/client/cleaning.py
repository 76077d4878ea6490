"""Removing what is not needed any more."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from nbflow import settings
from nbflow.engine import stores
from nbflow.model.errors import SignatureError

_GRACE = 3600.0  # seconds for which a new artifact is kept though nothing refers to it: its run may still go on


@dataclass
class Plan:
    """What would be removed."""

    runs: list[str] = field(default_factory=list)  # ids
    expired: int = 0  # cache entries
    artifacts: list[str] = field(default_factory=list)  # names
    size: int = 0  # bytes of the artifacts


def plan(before: float | None, *, db: str | None = None) -> Plan:
    """What is not needed: runs that ended before a time (seconds since 1970), expired entries, unused artifacts."""
    from nbflow.storage import cache, sweeper

    database, values, now = stores.database(db, create=False), stores.value_store(settings.current()), time.time()
    out = Plan()
    with database.read() as connection:
        out.runs = sweeper.older_than(connection, before) if before is not None else []
        out.expired = cache.count_expired(connection, now)
        used = sweeper.referenced(connection, without_runs=out.runs)
        for blob in sweeper.packed(connection, without_runs=out.runs):
            try:
                stored = values.unseal_stored(blob)
            except SignatureError:
                continue  # of another deployment, whose artifacts are not ours to judge
            if stored.uri is not None:
                used.add(stored.uri)
    for name, size, modified in values.artifacts.names():
        if name not in used and modified < now - _GRACE:
            out.artifacts.append(name)
            out.size += size
    return out


def carry_out(given: Plan, *, db: str | None = None) -> None:
    """Remove what a plan names."""
    from nbflow.storage import cache, sweeper

    database = stores.database(db, create=False)
    with database.write() as connection:
        sweeper.delete_runs(connection, given.runs)
        cache.expire(connection, time.time())
    store = stores.value_store(settings.current()).artifacts
    for name in given.artifacts:
        store.delete(name)
    sweeper.vacuum(database)
