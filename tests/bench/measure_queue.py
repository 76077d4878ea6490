"""Measurements of the queue, each by name: `python -m tests.bench.measure_queue NAME DB ...` prints JSON."""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import psutil

from nbflow import Queue, configure, settings
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.values.project import value_store

CHILDREN = 2


def nothing() -> None:
    """A job that does nothing."""


def when() -> float:
    """When the job began."""
    return time.time()


def enqueue(count: str) -> float:
    """Milliseconds for each of `count` jobs, in batches."""
    number = int(count)
    Queue().enqueue(nothing)
    began = time.perf_counter()
    Queue().enqueue_many(nothing, [()] * number)
    return (time.perf_counter() - began) / number * 1000


def drain(count: str, waiting: str = "0") -> dict[str, float]:
    """Milliseconds for each of `count` jobs, of which results are stored, and memory; with more that go on waiting."""
    number, more = int(count), int(waiting)
    Queue().enqueue_many(nothing, [()] * (number + more))
    worker = _worker(burst=not more)
    marks: list[tuple[float, int]] = []
    done = threading.Event()
    threading.Thread(target=_watch, args=(worker, number, marks, done), daemon=True).start()
    worker.run()
    done.set()
    # From the tenth on: starting the children is measured elsewhere.
    begun = next(mark for mark in marks if mark[1] >= number // 10)
    ended = next((mark for mark in marks if mark[1] >= number), marks[-1])
    return {"ms": (ended[0] - begun[0]) / (ended[1] - begun[1]) * 1000}


def _watch(worker: Worker, number: int, marks: list[tuple[float, int]], done: threading.Event) -> None:
    while not done.wait(0.01):
        marks.append((time.perf_counter(), worker.done))
        if worker.done >= number:
            worker.stop()


def memory(count: str) -> dict[str, float]:
    """Megabytes of a worker and of its largest child after a tenth of `count` jobs, and after all."""
    number = int(count)
    Queue().enqueue_many(nothing, [()] * number)
    worker = _worker(burst=True)
    found: dict[str, float] = {}

    def look() -> None:
        while worker.done < number // 10:
            time.sleep(0.01)
        found["early"] = _megabytes()
        while worker.done < number * 0.98:
            time.sleep(0.01)
        found["late"] = _megabytes()

    thread = threading.Thread(target=look)
    thread.start()
    worker.run()
    thread.join()
    return found


def _megabytes() -> float:
    me = psutil.Process()
    sizes = [process.memory_info().rss for process in [me, *me.children()]]
    return (sizes[0] + max(sizes[1:], default=0)) / 2**20


def pick_up(samples: str, pause: str) -> dict[str, float]:
    """Milliseconds from the call of enqueue() to the beginning of the job on an idle worker, and its idle CPU."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow", "worker", "--concurrency", str(CHILDREN)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()  # it is ready
    queue, chance = Queue(), random.Random(1)
    for _ in range(2 * CHILDREN):  # both children are there
        queue.enqueue(when).result(timeout=60)
    waits = []
    for _ in range(int(samples)):
        time.sleep(float(pause) * chance.uniform(0.5, 1.5))
        began = time.time()
        waits.append((queue.enqueue(when).result(timeout=60) - began) * 1000)
    idle = _idle_cpu(psutil.Process(process.pid), 20.0)
    process.terminate()
    process.wait()
    waits.sort()
    return {"p50": statistics.median(waits), "p95": waits[int(len(waits) * 0.95)], "cpu": idle}


def _idle_cpu(process: psutil.Process, seconds: float) -> float:
    """Percent of a core that a process and its children use while nothing happens."""
    time.sleep(2.0)
    every = [process, *process.children()]
    before = sum(sum(each.cpu_times()[:2]) for each in every)
    time.sleep(seconds)
    return (sum(sum(each.cpu_times()[:2]) for each in every) - before) / seconds * 100


def raw(count: str) -> float:
    """Milliseconds for a claim and a finish in bare SQLite, 100 of each in a synced transaction."""
    number = int(count)
    connection = sqlite3.connect("raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT, payload BLOB, result BLOB)")
    connection.execute("CREATE INDEX ready ON jobs (id) WHERE state = 'ready'")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO jobs VALUES (?, 'ready', ?, NULL)", [(n, b"x" * 150) for n in range(number)])
    connection.execute("COMMIT")
    began = time.perf_counter()
    for _ in range(0, number, 100):
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(
            "UPDATE jobs SET state = 'running' WHERE id IN (SELECT id FROM jobs WHERE state = 'ready' LIMIT 100) "
            "RETURNING id, payload"
        ).fetchall()
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("UPDATE jobs SET state = 'done', result = ? WHERE id = ?", [(b"y", r[0]) for r in rows])
        connection.execute("COMMIT")
    return (time.perf_counter() - began) / number * 1000


def huey(count: str) -> float:
    """Milliseconds for each job of Huey on SQLite, with as many worker processes."""
    from tests.bench import huey_app

    number = int(count)
    for _ in range(number):
        huey_app.nothing()
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "tests.bench.huey_app.huey", "-k", "process"]
    process = subprocess.Popen([*command, "-w", str(CHILDREN), "-q"], stderr=subprocess.DEVNULL)
    while huey_app.huey.storage.queue_size() > number * 0.9:
        time.sleep(0.01)
    began, left = time.perf_counter(), huey_app.huey.storage.queue_size()
    while huey_app.huey.storage.queue_size() > 0:
        time.sleep(0.01)
    elapsed = time.perf_counter() - began
    process.terminate()
    process.wait()
    return elapsed / left * 1000


def _worker(**options: Any) -> Worker:
    chosen = WorkerOptions(concurrency=CHILDREN, **options)
    return Worker(opened.database(), value_store(settings.current()), chosen)


def main() -> None:
    """Print one measurement."""
    name, db, *arguments = sys.argv[1:]
    if db:
        configure(db=db)
    functions: dict[str, Any] = {
        "enqueue": enqueue, "drain": drain, "memory": memory, "pick_up": pick_up, "raw": raw, "huey": huey,
    }  # fmt: skip
    print(json.dumps(functions[name](*arguments)))


if __name__ == "__main__":
    main()
