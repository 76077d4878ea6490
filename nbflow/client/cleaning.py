"""Removing what is not needed any more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbflow import settings
from nbflow.engine import stores
from nbflow.model.errors import SignatureError
from nbflow.values.blobs import GRACE

if TYPE_CHECKING:
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore


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

    database, now = stores.database(db, create=False), time.time()
    values = stores.value_store(settings.current(), database.url)

    def look(connection: Any) -> Plan:
        runs = sweeper.older_than(connection, before) if before is not None else []
        return Plan(runs, cache.count_expired(connection, now))

    out = database.retrying(look, write=False)
    unused, _ = _unused(database, values, out.runs, now)
    out.artifacts, out.size = list(unused), sum(unused.values())
    return out


def carry_out(given: Plan, *, db: str | None = None) -> None:
    """Remove what a plan names, except for artifacts that have come into use since."""
    from nbflow.storage import cache, sweeper

    database, now = stores.database(db, create=False), time.time()
    values = stores.value_store(settings.current(), database.url)

    def remove(connection: Any) -> None:
        sweeper.delete_runs(connection, given.runs)
        cache.expire(connection, now)

    database.retrying(remove)
    unused, before = _unused(database, values, (), now)
    for name in given.artifacts:
        if name in unused:
            values.artifacts.delete(name, before)
    sweeper.vacuum(database)


def _unused(
    database: Database, values: ValueStore, without_runs: Sequence[str], now: float
) -> tuple[dict[str, int], float]:
    """Size of each artifact that nothing refers to, by name, and the time before which such ones were written."""
    from nbflow.queue.calls import stored_in
    from nbflow.storage import runs, sweeper

    def look(connection: Any) -> tuple[set[str], float]:
        used = sweeper.referenced(connection, without_runs=without_runs)
        for blob in sweeper.packed(connection, without_runs=without_runs):
            try:
                stored = values.unseal_stored(blob)
            except SignatureError:
                continue  # of another deployment, whose artifacts are not ours to judge
            if stored.uri is not None:
                used.add(stored.uri)
        for payload in sweeper.calls(connection):
            try:
                used.update(stored.uri for stored in stored_in(payload, values) if stored.uri is not None)
            except SignatureError:
                continue
        # The arguments of a task that waits are known to its run alone until the task has ended.
        return used, min(now, runs.oldest_live(connection, now)) - GRACE

    # Listed before the database is read: what has come into use since is referred to, or too young.
    listed = values.artifacts.names()
    used, before = database.retrying(look, write=False)
    return {name: size for name, size, modified in listed if name not in used and modified < before}, before
