"""What a run needs on disk, opened together: database, writer and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nbflow.model.errors import RunActiveError, StorageError
from nbflow.model.records import ErrorRecord
from nbflow.values.project import value_store

if TYPE_CHECKING:
    from nbflow.model.jobs import SignalRecord
    from nbflow.model.records import CacheRecord
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

__all__ = ["Stores", "close_all", "database", "value_store"]


def database(url: str | None = None, *, create: bool = True) -> Database:
    """The database of this URL (default: the settings'), opened once per process."""
    from nbflow.storage import opened  # imports SQLAlchemy

    return opened.database(url, create=create)


def close_all() -> None:
    """Close the databases that were opened here; they open again when they are asked for."""
    from nbflow.storage import opened

    opened.close_all()


class Stores:
    """Database, writer and values of one live run."""

    def __init__(
        self,
        db: Database,
        values: ValueStore,
        *,
        fence: tuple[str, str],
        on_error: Callable[[StorageError | RunActiveError], None],
    ) -> None:
        from nbflow.storage.writer import Writer

        self.db = db
        self.values = values
        self.writer = Writer(db, on_error=on_error, fence=fence)

    def flush(self) -> None:
        """Return when everything put so far is on disk."""
        self.writer.flush()

    def result(self, run: str, seq: int) -> bytes | None:
        """The small result of a stored task."""
        from nbflow.storage import tasks

        payload = self.db.retrying(lambda connection: tasks.payload(connection, run, seq), write=False)
        return self.values.unseal(payload.result) if payload is not None and payload.result is not None else None

    def error(self, run: str, seq: int) -> ErrorRecord | None:
        """The error of a stored task."""
        from nbflow.storage import tasks

        payload = self.db.retrying(lambda connection: tasks.payload(connection, run, seq), write=False)
        if payload is None or payload.error is None:
            return None
        return ErrorRecord(*self.values.get(self.values.unseal_stored(payload.error)))

    def first_ready(self, run: str, seq: int, after: int) -> float | None:
        """When the first try of a task past number `after` was ready; None if it had none."""
        from nbflow.storage import attempts

        found = self.db.retrying(lambda connection: attempts.of_tasks(connection, run, [seq]), write=False)
        return min((each.queued_at for each in found if each.number > after), default=None)

    def signals(self, run: str, name: str) -> list[SignalRecord]:
        """The signals of a name that were sent to a run."""
        from nbflow.storage import signals

        return self.db.retrying(lambda connection: signals.of_run(connection, run, name), write=False)

    def cached(self, key: str, now: float) -> CacheRecord | None:
        """The result that an earlier run left under `key`."""
        from nbflow.storage import cache

        return self.db.retrying(lambda connection: cache.lookup(connection, key, now), write=False)
