from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import pytest

import nbflow
from nbflow.queue.firing import timetable
from nbflow.queue.queue import Queue
from nbflow.queue.schedule import Schedule
from nbflow.storage import jobs, opened
from nbflow.storage import schedules as stored
from tests.commands import CommandProcess
from tests.servers import PostgresServer, wait_until

ROOT = Path(__file__).parents[2]
SCHEDULERS = 3
KILLS = 10
BEATS, BACKLOGS = 12, 4  # schedules that are due all the time, and such as were not served for long
MISSED = 500  # times that are due at once in each backlog


def work() -> None:
    """What the schedules enqueue; nobody runs it."""


class Schedulers:
    """`nbflow scheduler`, several times, each killed at any instant and followed by another."""

    def __init__(self, db: str, chance: random.Random, server: PostgresServer | None) -> None:
        self._db = db
        self._chance = chance
        self._server = server
        self._processes = [self._start() for _ in range(SCHEDULERS)]

    def _start(self) -> tuple[CommandProcess, TextIO]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        reading, writing = os.pipe()
        process = CommandProcess(["scheduler", "--db", self._db], Path.cwd(), environment, out=writing)
        os.close(writing)
        return process, open(reading)

    def kill_one(self) -> None:
        """Kill one that is ready, at whatever it is doing, and start another; sometimes stop one, or cut all off."""
        position = self._chance.randrange(SCHEDULERS)
        process, said = self._processes[position]
        said.readline()  # it is ready
        time.sleep(self._chance.random() * 0.2)
        other, _ = self._processes[position - 1]
        if self._chance.random() < 0.3:
            other.send_signal(signal.SIGSTOP)
            time.sleep(self._chance.random() * 0.5)
            other.send_signal(signal.SIGCONT)
        if self._server is not None and self._chance.random() < 0.3:
            self._server.end_sessions()
        process.kill()
        process.wait()
        said.close()
        self._processes[position] = self._start()

    def end(self) -> list[int]:
        """Ask them to end; their exit statuses."""
        for process, said in self._processes:
            said.readline()
            process.send_signal(signal.SIGTERM)
        statuses = [process.wait(30) for process, _ in self._processes]
        for _, said in self._processes:
            said.close()
        return statuses


def define(end: datetime) -> list[Schedule]:
    """The schedules, with the times of the backlogs due already."""
    queue, now = Queue(), time.time()
    found = [queue.every(0.5, work, name=f"beat {n}", end=end, catchup="all", jitter=n) for n in range(BEATS)]
    for number in range(BACKLOGS):
        overlap = ("allow", "wait")[number % 2]
        schedule = queue.every(1, work, name=f"backlog {number}", end=end, catchup="all", overlap=overlap)
        with opened.database().write() as connection:
            begin = round(now) - MISSED
            assert stored.change(connection, schedule.name, start_at=float(begin), next_at=float(begin))
        found.append(schedule)
    return found


def fired(schedule: Schedule) -> list[float]:
    return [each.logical_time.timestamp() for each in reversed(schedule.history(100_000))]


@pytest.mark.timeout(280)
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_every_time_fires_exactly_once_whichever_schedulers_are_killed(
    db_url: str, seed: int, request: pytest.FixtureRequest
) -> None:
    nbflow.configure(db=db_url)
    server = request.getfixturevalue("postgres_server") if db_url.startswith("postgresql") else None
    schedules = define(datetime.now(UTC) + timedelta(seconds=20))
    running = Schedulers(db_url, random.Random(seed), server)
    for _ in range(KILLS):
        running.kill_one()
    wait_until(lambda: all(schedule.record.next_at is None for schedule in schedules), 120)
    assert running.end() == [0] * SCHEDULERS
    with opened.database().read() as connection:
        waiting = [*jobs.waiting(connection, "default"), *jobs.delayed(connection, "default")]
    enqueued = Counter((job.schedule, job.logical_time) for job in waiting)
    assert set(enqueued.values()) == {1}
    for schedule in schedules:
        record = schedule.record
        assert record.start_at is not None
        expected = list(timetable(record).between(record.start_at, record.end_at or 0.0))
        assert fired(schedule) == expected
        assert sorted(at for name, at in enqueued if name == schedule.name) == expected
    assert len(enqueued) > BACKLOGS * MISSED
