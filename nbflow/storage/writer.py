"""The writer: takes records without making anybody wait, and commits them in groups.

Whatever waits when a transaction begins goes into it together. What is committed is therefore always a prefix of what
was put, only that a row put several times since the last commit is written once, as it was last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection

from nbflow.model.errors import RunActiveError, StorageError
from nbflow.model.records import (
    ArtifactRecord,
    AttemptRecord,
    CacheRecord,
    EventRecord,
    FlowVersionRecord,
    LogRecord,
    PayloadRecord,
    RunUpdate,
    TaskRecord,
)
from nbflow.storage import runs
from nbflow.storage.database import Database
from nbflow.storage.upserts import Upsert

_KEY_LENGTH: dict[type, int] = {
    TaskRecord: 2,
    PayloadRecord: 2,
    AttemptRecord: 3,
    LogRecord: 4,
    EventRecord: 1,
    ArtifactRecord: 1,
    CacheRecord: 1,
    FlowVersionRecord: 1,
    RunUpdate: 1,
}
_GROUPING = 0.01  # seconds to let records gather, unless someone waits for them
_MOST_WAITING = 200_000  # records; beyond that `put` waits, so that memory stays bounded
_LOOK = 2.0  # seconds after which an idle writer looks whether the run is still its own
LEASE = 30.0  # seconds by which each transaction extends the claim on a run


class Writer:
    """Writes records on a thread of its own."""

    def __init__(
        self,
        database: Database,
        *,
        on_error: Callable[[StorageError | RunActiveError], None],
        fence: tuple[str, str] | None = None,
    ) -> None:
        """`fence` is (run, owner): each transaction checks that it still owns the run, and renews the lease."""
        self._database = database
        self._on_error = on_error
        self._fence = fence
        self._upsert = Upsert(database.dialect)
        self._condition = threading.Condition()
        self._pending: dict[Any, Any] = {}  # by (type, key)
        self._idle = True  # the thread waits for something to do
        self._hurry = False  # someone waits for a commit
        self._closing = False
        self._begun = 0  # transactions
        self._committed = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="nbflow-writer", daemon=True)
        self._thread.start()

    def put(self, record: Any) -> None:
        """Have a record stored soon. Raises the error that stopped the writer, if one did."""
        kind = type(record)
        key = (kind, record[: _KEY_LENGTH[kind]])
        with self._condition:
            if self._error is not None:
                raise self._error.with_traceback(None)  # the one object is raised many times
            if self._closing:
                raise StorageError("The writer is closed: what is put now would be lost.")
            if len(self._pending) > _MOST_WAITING:
                self._condition.wait_for(lambda: len(self._pending) <= _MOST_WAITING or self._error is not None)
            self._pending[key] = record
            if self._idle:
                self._idle = False
                self._condition.notify_all()

    def flush(self, timeout: float | None = None) -> None:
        """Return when everything put so far is committed. Raises the error that stopped the writer, if one did."""
        with self._condition:
            target = self._begun + 1 if self._pending else self._begun
            if self._committed < target and self._error is None:
                self._hurry = True
                self._condition.notify_all()
                if not self._condition.wait_for(lambda: self._committed >= target or self._error is not None, timeout):
                    raise TimeoutError(f"The database did not take everything within {timeout:g} seconds.")
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Flush and stop."""
        try:
            self.flush()
        finally:
            with self._condition:
                self._closing = True
                self._condition.notify_all()
            self._thread.join()

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._database.retrying(partial(self._write, batch=batch))
                with self._condition:
                    self._committed = self._begun
                    self._condition.notify_all()
        except (StorageError, RunActiveError) as error:
            self._stop(error)
        except Exception as error:  # whoever waits for a commit has to learn of it
            self._stop(StorageError(f"The database writer failed: {type(error).__name__}: {error}"))

    def _stop(self, error: StorageError | RunActiveError) -> None:
        with self._condition:
            self._error = error
            self._pending.clear()
            self._condition.notify_all()
        self._on_error(error)

    def _next(self) -> dict[Any, Any] | None:
        """What is to be written next; {} when only the lease is due, None at the end."""
        with self._condition:
            self._idle = not self._pending
            due = _LOOK if self._fence is not None else None
            self._condition.wait_for(lambda: self._pending or self._closing, due)
            if not self._pending:
                if self._closing:
                    return None
            elif not self._hurry:
                self._condition.wait_for(lambda: self._hurry or self._closing, _GROUPING)
            self._idle = self._hurry = False
            batch, self._pending = self._pending, {}
            self._begun += 1
            return batch

    def _write(self, connection: Connection, batch: dict[Any, Any]) -> None:
        if self._fence is not None:
            run, owner = self._fence
            if not runs.renew(connection, run, owner, time.time() + LEASE):
                ending = next((record for (kind, _), record in batch.items() if kind is RunUpdate), None)
                if ending is not None and runs.ended_so(connection, ending):
                    return  # by this very batch: the connection was lost before the writer could learn of its commit
                raise RunActiveError(f"Run {run} was taken over or cancelled by another process; this one stops.")
        by_kind: dict[type, list[Any]] = {}
        for (kind, _), record in batch.items():
            by_kind.setdefault(kind, []).append(record)
        for update in by_kind.pop(RunUpdate, ()):
            runs.finish(connection, update)
        for kind, rows in by_kind.items():
            self._upsert(connection, kind, rows)
