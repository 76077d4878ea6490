"""Being a worker until somebody says otherwise: signals, and beginning anew after what a worker cannot survive."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nbflow.model.errors import (
    DatabaseCorruptError,
    DatabaseMissingError,
    DatabaseNewerError,
    DatabaseReadOnlyError,
    StorageError,
)
from nbflow.queue.lease import LostError
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.running.stopping import on_signals
from nbflow.storage.database import Database
from nbflow.values.store import ValueStore

_log = logging.getLogger("nbflow")
_HOPELESS = (DatabaseCorruptError, DatabaseMissingError, DatabaseNewerError, DatabaseReadOnlyError)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds until it is tried again
_SLICE = 0.1  # seconds; waiting is cut into such, since a signal's handler cannot end a wait
_WELL = 60.0  # seconds without trouble after which the pauses are short again


class Halt:
    """Whether a worker was asked to stop, and how urgently."""

    def __init__(self) -> None:
        self.times = 0
        self._worker: Worker | None = None

    def ask(self) -> None:
        """Ask once more: the first time it ends after what runs, then it gives that back. Fit for signal handlers."""
        self.times += 1
        if self._worker is not None:
            self._worker.stop(now=self.times > 1)

    def follow(self, worker: Worker) -> None:
        """Let `worker` be the one that is asked."""
        self._worker = worker
        if self.times:
            worker.stop(now=self.times > 1)

    def wait(self, seconds: float) -> None:
        """Wait for so long, or until somebody asks."""
        until = time.monotonic() + seconds
        while not self.times and time.monotonic() < until:
            time.sleep(_SLICE)


def work(
    database: Database,
    values: ValueStore,
    options: WorkerOptions,
    *,
    ready: Callable[[Worker], None] = lambda _: None,
    halt: Halt | None = None,
) -> int:
    """Be a worker until a signal, or `halt`, says otherwise; returns how many jobs ended.

    A worker that others gave up begins anew, and so does one whose database cannot be used for a while. `ready` is
    called each time that one can be seen by others. Raises ConfigError, and StorageError for what waiting cannot mend.
    """
    done, pause = 0, _FIRST_PAUSE
    halt = halt or Halt()
    with on_signals(halt.ask):
        while True:
            worker = Worker(database, values, options)
            halt.follow(worker)
            began = time.monotonic()
            try:
                return done + worker.run(ready)
            except LostError as error:
                _log.warning("%s It begins anew.", error)
            except _HOPELESS:
                raise
            except StorageError as error:
                pause = _FIRST_PAUSE if time.monotonic() - began > _WELL else pause
                _log.error("%s The worker gave up its jobs and begins anew in %g seconds.", error, pause)
                halt.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            done += worker.done
            if halt.times:
                return done
