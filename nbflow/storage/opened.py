"""The databases of this process, each opened once."""

from __future__ import annotations

import threading

from nbflow import settings as settings_module
from nbflow.storage.database import Database, open_database

_OPEN: dict[str, Database] = {}
_LOCK = threading.Lock()


def database(url: str | None = None, *, create: bool = True) -> Database:
    """The database of this URL (default: the settings'), opened once per process."""
    current = settings_module.current()
    resolved = settings_module.resolve_db(url or current.db)
    with _LOCK:
        found = _OPEN.get(resolved)
        if found is None or found.closed:
            found = _OPEN[resolved] = open_database(resolved, create=create, timeout=current.lock_timeout)
        return found


def close_all() -> None:
    """Close the databases that were opened here; they open again when they are asked for."""
    with _LOCK:
        for found in _OPEN.values():
            found.close()
        _OPEN.clear()
