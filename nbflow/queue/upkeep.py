"""Upkeep of the queue: what nobody wants any more is removed, a part at a time."""

from __future__ import annotations

from nbflow.storage import job_links, jobs, queues, sweeper
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database

_AT_ONCE = 2_000  # jobs in one transaction, so that nobody waits long for the database
_WORKERS = 86_400.0  # seconds that a worker that has gone is remembered


def sweep(database: Database, now: float) -> int:
    """Remove finished jobs whose time is over, with their tries and output; returns how many."""

    def part(connection: Connection) -> int:
        found = jobs.kept_until(connection, now, _AT_ONCE)
        wanted = job_links.needed_by_unfinished(connection, found) if found else set()
        gone = [job for job in found if job not in wanted]
        sweeper.delete_of_jobs(connection, gone)
        jobs.delete(connection, gone)
        if len(gone) < _AT_ONCE:
            job_links.expire_keys(connection, now)
            job_links.forget_revocations(connection, now)
            queues.forget_workers(connection, now - _WORKERS)
        return len(gone)

    removed = 0
    while (count := database.retrying(part)) == _AT_ONCE:
        removed += count
    return removed + count
