"""Whether all is there that is needed to run what is started."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from nbflow.model.errors import DatabaseNewerError, StorageError
from nbflow.queue.presence import is_dead
from nbflow.storage import queues
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database

Checks = Mapping[str, Callable[[], bool]]


class Readiness(NamedTuple):
    """What was found, in the order in which it was looked at: name and "ok", or what is wrong."""

    checks: dict[str, str]

    @property
    def ready(self) -> bool:
        """Whether nothing is wrong."""
        return all(found == "ok" for found in self.checks.values())


def readiness(database: Database, alive: Checks) -> Readiness:
    """Look at the database, its tables, a worker, and what else is to be alive here, such as the scheduler."""
    checks: dict[str, str] = {}
    try:
        workers = database.retrying(_workers, write=False, patience=0.0)
        checks["database"] = "ok"
        database.check_current()
        checks["schema"] = "ok"
        checks["workers"] = "ok" if workers else "no worker is alive"
    except DatabaseNewerError:
        checks["schema"] = "the tables are of a newer nbflow"
    except StorageError:
        checks["database"] = "cannot be used"
    for name, check in alive.items():
        checks[name] = "ok" if check() else "not alive"
    return Readiness(checks)


def _workers(connection: Connection) -> int:
    now = time.time()
    return sum(not is_dead(worker, now) for worker in queues.listed(connection, ("running",)))
