"""What a run needs on disk, opened together: database, writer and values."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from nbflow import settings as settings_module
from nbflow.model.errors import RunActiveError, StorageError
from nbflow.values.artifacts import open_store
from nbflow.values.signing import Signer, load_key
from nbflow.values.store import ValueStore

if TYPE_CHECKING:
    from nbflow.model.records import CacheRecord
    from nbflow.settings import Settings
    from nbflow.storage.database import Database

_OPEN: dict[tuple[str, bool], Database] = {}
_LOCK = threading.Lock()


def database(url: str | None = None, *, create: bool = True) -> Database:
    """The database of this URL (default: the settings'), opened once per process."""
    from nbflow.storage.database import open_database

    current = settings_module.current()
    resolved = settings_module.resolve_db(url or current.db)
    with _LOCK:
        found = _OPEN.get((resolved, create))
        if found is None or found.closed:
            found = _OPEN[resolved, create] = open_database(resolved, create=create, timeout=current.lock_timeout)
        return found


def close_all() -> None:
    """Close the databases that were opened here; they open again when they are asked for."""
    with _LOCK:
        for found in _OPEN.values():
            found.close()
        _OPEN.clear()


def value_store(settings: Settings) -> ValueStore:
    """The values of this project."""
    return ValueStore(
        open_store(settings.artifacts),
        Signer(load_key(settings.home)),
        inline_limit=settings.inline_limit,
        max_size=settings.max_value_size,
        max_inputs_size=settings.max_inputs_size,
    )


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

        with self.db.read() as connection:
            payload = tasks.payload(connection, run, seq)
        return self.values.unseal(payload.result) if payload is not None and payload.result is not None else None

    def cached(self, key: str, now: float) -> CacheRecord | None:
        """The result that an earlier run left under `key`."""
        from nbflow.storage import cache

        with self.db.read() as connection:
            return cache.lookup(connection, key, now)
