"""A worker's lease: the right to its jobs, for as long as it is renewed in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from nbflow.model.errors import DatabaseNewerError, QueueError
from nbflow.model.jobs import WorkerRecord
from nbflow.queue import presence
from nbflow.running.pool import ProcessPool
from nbflow.storage import jobs, queues
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database

_log = logging.getLogger("nbflow")


class LostError(QueueError):
    """A worker found that it counts as dead."""


class Lease:
    """One worker's lease. When it cannot be renewed in time the children are ended: soon others will run their jobs."""

    def __init__(self, database: Database, pool: ProcessPool, worker: str, seconds: float) -> None:
        self.pause = min(presence.RENEW, seconds / 4)  # seconds between two renewals
        self._database = database
        self._pool = pool
        self._worker = worker
        self._seconds = seconds
        self._until = 0.0  # 0: there is none
        self._children: list[int] = []  # as the database has them
        self.outdated: DatabaseNewerError | None = None  # told once a newer nbflow has changed the tables

    def begin(self, record: WorkerRecord) -> None:
        """Store the worker, and watch over its lease from now on."""
        self._until = record.seen_at + self._seconds
        with self._database.write() as connection:
            queues.register(connection, record._replace(lease_until=self._until))
        threading.Thread(target=self._guard, name="nbflow-lease", daemon=True).start()

    def is_outdated(self) -> bool:
        """Whether there are children of which the database does not know."""
        return self._pool.pids() != self._children

    def renew(self, now: float, knows: Callable[[str], bool], **changes: Any) -> None:
        """Renew it, and store the children and other `changes` of the worker's row. Raises LostError.

        Jobs that the database says this worker has, and that it does not know, go back: they were claimed by a
        transaction of which nobody could tell whether it was committed.
        """
        self._check_schema()
        until = now + self._seconds
        pids = self._pool.pids()
        children = presence.children_of(pids)

        def act(connection: Connection) -> bool:
            if not queues.renew(connection, self._worker, now, until, children=children, **changes):
                return False
            strays = [record for record in jobs.running_of(connection, [self._worker]) if not knows(record.id)]
            for record in strays:
                presence.give_back(connection, record, now, lost=False)
            return True

        if not self._database.retrying(act):
            raise LostError("Others have taken over the jobs of this worker.")
        self._until, self._children = until, pids
        self._pool.keep_until(until)

    def _check_schema(self) -> None:
        if self.outdated is None:
            try:
                self._database.check_current()
            except DatabaseNewerError as error:
                _log.error("%s The worker ends after what runs.", error)
                self.outdated = error

    def give_up(self, connection: Connection, done: int) -> None:
        """Store that the worker has ended after so many jobs; what it still has goes back."""
        now = time.time()
        for record in jobs.running_of(connection, [self._worker]):
            presence.give_back(connection, record, now, lost=False)
        queues.renew(connection, self._worker, now, now, done=done)
        queues.leave(connection, self._worker, "stopped", now)

    def close(self) -> None:
        """Watch no more."""
        self._until = 0.0

    def _guard(self) -> None:
        while until := self._until:
            left = until - presence.MARGIN - time.time()
            if left <= 0:
                self._pool.kill()
                left = presence.MARGIN
            time.sleep(min(left, 1.0))
