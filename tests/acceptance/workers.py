"""Real workers for tests: started, signalled and ended by them."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import IO

from nbflow.model.jobs import JobRecord, WorkerRecord
from nbflow.queue.job import Job
from nbflow.storage import opened, queues
from tests.commands import CommandProcess
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
_READY = re.compile(r"worker (\w+) is ready")


class WorkerProcess:
    """`nbflow worker`, or `nbflow up`, in a process of its own."""

    def __init__(self, db: str, *options: str, command: str = "worker") -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        out, err = os.pipe(), os.pipe()
        arguments = [command, "--db", db, *options]
        self.process = CommandProcess(arguments, Path.cwd(), environment, out=out[1], err=err[1])
        self.lines: list[str] = []  # what it printed so far
        self.log: list[str] = []
        pairs = []
        for (reading, writing), lines in ((out, self.lines), (err, self.log)):
            os.close(writing)
            pairs.append((open(reading), lines))
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in pairs]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str], lines: list[str]) -> None:
        with stream:
            lines.extend(line.rstrip("\n") for line in stream)

    def ready(self, times: int = 1) -> WorkerProcess:
        """Wait until it said so many times that it is ready."""
        wait_until(lambda: len(self.ids) >= times or self.process.poll() is not None)
        assert len(self.ids) >= times, self.log
        return self

    @property
    def ids(self) -> list[str]:
        """The ids under which it worked so far."""
        return [match[1] for line in list(self.lines) if (match := _READY.match(line))]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the parent alone."""
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(30)

    def kill(self) -> None:
        """End it at once, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:  # its children have the other ends too
            reader.join(5)


def words(log: Path) -> list[list[str]]:
    """The lines of a log, in words."""
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def row(db: str, worker: str) -> WorkerRecord:
    """A worker's row."""
    with opened.database(db).read() as connection:
        found = queues.listed(connection, ("running", "draining", "stopped", "lost"))
    return next(record for record in found if record.id == worker)


def wait_for(job: Job, *states: str) -> JobRecord:
    """Wait until a job is in one of some states."""
    wait_until(lambda: str(job.state) in states)
    return job.record


def alive(pid: int) -> bool:
    """Whether a process runs, and is not only waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")
