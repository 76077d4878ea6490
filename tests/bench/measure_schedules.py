"""The measurements of schedules, each by name: `python -m tests.bench.measure_schedules NAME ...` prints one number."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from nbflow import settings
from nbflow.queue.queue import Queue
from nbflow.queue.scheduler import Scheduler
from nbflow.queue.scheduling import ScheduleEntry, ScheduleOptions
from nbflow.storage import opened
from nbflow.testing.clock import VirtualClock
from nbflow.values.project import value_store

FAR = datetime(2040, 1, 1, tzinfo=UTC)


def nothing() -> None:
    """What the schedules enqueue."""


def _define(count: int) -> float:
    """Schedules at all minutes of a day, from 2040 on; seconds that it took."""
    options = [ScheduleOptions(name=f"s{number}", zone="Europe/Paris", start=FAR) for number in range(count)]
    entries = [
        ScheduleEntry(f"{number % 60} {number // 60 % 24} * * *", nothing, options=each)
        for number, each in enumerate(options)
    ]
    began = time.perf_counter()
    Queue().schedule_all(entries)
    return time.perf_counter() - began


def _scheduler(clock: VirtualClock | None = None) -> Scheduler:
    return Scheduler(opened.database(), value_store(settings.current()), clock)


def define(count: str) -> float:
    """Milliseconds for each of some schedules that are defined together."""
    Queue().schedule_all([])  # opens the database
    return _define(int(count)) / int(count) * 1000


def idle(count: str, seconds: str) -> float:
    """Percent of a core that a scheduler uses while nothing is due."""
    _define(int(count))
    scheduler = _scheduler()
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    time.sleep(2)  # until it has begun
    before = time.process_time()
    time.sleep(float(seconds))
    used = time.process_time() - before
    scheduler.stop()
    thread.join()
    return used / float(seconds) * 100


def fire(count: str) -> float:
    """Milliseconds for each of some schedules that are all due."""
    _define(int(count))
    scheduler = _scheduler(VirtualClock((FAR + timedelta(days=1, minutes=1)).timestamp()))
    began = time.perf_counter()
    assert scheduler.scan() == int(count)
    return (time.perf_counter() - began) / int(count) * 1000


def catch_up(count: str) -> float:
    """Milliseconds for each of so many times of one schedule, all of which are due."""
    Queue().schedule("* * * * *", nothing, zone="Europe/Paris", start=FAR, catchup="all")
    scheduler = _scheduler(VirtualClock((FAR + timedelta(minutes=int(count) - 1)).timestamp()))
    began = time.perf_counter()
    assert scheduler.scan() == int(count)
    return (time.perf_counter() - began) / int(count) * 1000


MEASUREMENTS = {"define": define, "idle": idle, "fire": fire, "catch_up": catch_up}

if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
