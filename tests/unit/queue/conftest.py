"""A queue on each kind of database, workers in the test's process, and a file in which jobs write down what they do."""

from __future__ import annotations

import threading

import pytest

import nbflow
from nbflow import settings
from nbflow.queue.queue import Queue
from nbflow.queue.scheduler import Scheduler
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.testing.clock import VirtualClock
from nbflow.values.project import value_store
from tests.unit.queue.jobs import SideLog
from tests.unit.queue.scheduled import DAY


class Workers:
    """Workers of a test."""

    def __init__(self):
        self._running = []

    def start(self, **options):
        """Start a worker in a thread; it is stopped at the end of the test."""
        worker = self._made(**options)
        ready = threading.Event()
        thread = threading.Thread(target=worker.run, args=(lambda _: ready.set(),), daemon=True)
        thread.start()
        assert ready.wait(30)
        self._running.append((worker, thread))
        return worker

    def burst(self, **options):
        """Work off all that can be done now; how many jobs ended."""
        return self._made(burst=True, **options).run()

    def stop(self):
        """End all workers, and what they run."""
        for worker, _ in self._running:
            worker.stop(now=True)
        for _, thread in self._running:
            thread.join(30)
            assert not thread.is_alive()
        self._running.clear()

    @staticmethod
    def _made(concurrency=1, **options):
        options = WorkerOptions(concurrency=concurrency, **options)
        return Worker(opened.database(), value_store(settings.current()), options)


@pytest.fixture
def queue(db_url):
    """The default queue of a new database."""
    nbflow.configure(db=db_url)
    return Queue()


@pytest.fixture
def workers(queue):
    """Workers on the same database."""
    found = Workers()
    yield found
    found.stop()


@pytest.fixture
def log(tmp_path):
    """A file in which jobs write down when they begin and end."""
    return SideLog(tmp_path / "side.log")


@pytest.fixture
def clock():
    """A clock for schedulers, which stands at the beginning of a day far ahead."""
    return VirtualClock(DAY.timestamp())


@pytest.fixture
def scheduler(queue, clock):
    """A scheduler of the queue's database."""
    return Scheduler(opened.database(), value_store(settings.current()), clock)
