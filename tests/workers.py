"""Workers of the queue in the test's own process: their children are kept warm from test to test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbflow import settings
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.values.project import value_store


@contextmanager
def running_worker(db: str | None = None, **options: Any) -> Iterator[Worker]:
    """A worker on the settings' database, or `db`; stopped at the end, with what it still runs given back."""
    chosen = WorkerOptions(**{"concurrency": 2, **options})
    worker = Worker(opened.database(db), value_store(settings.current(), db), chosen)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            worker.run()
        except BaseException as error:  # shown to the test below
            failed.append(error)

    thread = threading.Thread(target=work, name="test-worker")
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        worker.stop(now=True)
        thread.join()
    if failed:
        raise failed[0]
