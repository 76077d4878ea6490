"""The measurements, each by name: `python -m tests.bench.measure NAME ...` prints one number."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbflow import flow, step

WORKERS = 2


@step
def increment(x: int) -> int:
    """A task that does nothing to speak of."""
    return x + 1


@step(cache=True)
def remembered(x: int) -> int:
    """The same, cached."""
    return x + 1


@step
def total(values: list[int]) -> int:
    """The join of a fan-out."""
    return sum(values)


@flow
def chain_of(count: int) -> int:
    """Each task needs the one before."""
    x = 0
    for _ in range(count):
        x = increment(x)
    return x


@flow
def fan_of(count: int) -> int:
    """Independent tasks and one join."""
    return total([increment(n) for n in range(count)])


@flow
def cached_fan(count: int) -> int:
    """The same with cached steps."""
    return total([remembered(n) for n in range(count)])


@step
def make_array(size: int) -> Any:
    """An array of `size` bytes."""
    import numpy as np

    return np.ones(size // 8)


@step
def read_array(array: Any) -> float:
    """When the array was there, and proof that it is the right one."""
    now = time.time()
    assert array[0] == array[-1] == 1.0
    return now


@flow
def pass_array(size: int) -> float:
    """From one step to the next."""
    return read_array(make_array(size))


def tasks(made: Any, executor: str, count: str) -> float:
    """Milliseconds per task; the executor is warm."""
    made.run(4, executor=executor, workers=WORKERS)
    began = time.perf_counter()
    made.run(int(count), executor=executor, workers=WORKERS).result()
    return (time.perf_counter() - began) / int(count) * 1000


def chain(executor: str, count: str) -> float:
    """A chain."""
    return tasks(chain_of, executor, count)


def fan(executor: str, count: str) -> float:
    """A fan-out."""
    return tasks(fan_of, executor, count)


def memory(count: str) -> float:
    """Megabytes by which a fan-out on threads raises the peak of a process that has run a small one."""
    fan_of.run(4, executor="threads", workers=WORKERS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fan_of.run(int(count), executor="threads", workers=WORKERS)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def array(executor: str) -> float:
    """Milliseconds from the end of the step that made the array to the first line of the one that reads it."""
    run = pass_array.run(2**30, executor=executor, workers=WORKERS)
    finished = run["make_array"].record.finished_at
    assert finished is not None
    return (run.result() - finished) * 1000


def first() -> float:
    """Milliseconds from the start of a process to the first line of its first step."""
    code = (
        "import time\nfrom nbflow import flow, step\n@step\ndef now(): return time.time()\n"
        "@flow\ndef one(): return now()\nprint(one())"
    )
    began = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return (float(done.stdout) - began) * 1000


def import_() -> float:
    """Milliseconds of `import nbflow`."""
    code = "import time; began = time.perf_counter(); import nbflow; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) * 1000


def cached() -> float:
    """Milliseconds per task of a second run whose tasks are all cached."""
    cached_fan.run(1000)
    began = time.perf_counter()
    cached_fan.run(1000)
    return time.perf_counter() - began


def notebook(executor: str) -> float:
    """Milliseconds of a notebook of 50 cells that do nothing to speak of, executed notebook included."""
    import nbformat

    cells = [nbformat.v4.new_code_cell(f"x{n} = {n}\nx{n}") for n in range(50)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), "fifty.ipynb")
    began = time.perf_counter()
    if executor == "nbclient":
        from nbclient import NotebookClient

        NotebookClient(nbformat.read("fifty.ipynb", 4)).execute()
    else:
        from nbflow import from_notebook

        from_notebook("fifty.ipynb").run(executor=executor).save_notebook("executed.ipynb")
    return (time.perf_counter() - began) * 1000


def floor(name: str) -> float:
    """Milliseconds of the same without nbflow: a thread pool's tasks, SQLite's rows."""
    if name.startswith("pool"):
        return _pool(name)
    connection = sqlite3.connect("floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, payload BLOB)")
    group = 100 if name == "rows" else 1
    count = 20_000 if name == "rows" else 1000
    began = time.perf_counter()
    for start in range(0, count, group):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t (payload) VALUES (?)", [(b"x" * 200,)] * min(group, count - start))
        connection.execute("COMMIT")
    return (time.perf_counter() - began) / count * 1000


def _pool(name: str) -> float:
    count = 5000
    with ThreadPoolExecutor(WORKERS) as pool:
        began = time.perf_counter()
        if name == "pool_chain":
            x = 0
            for _ in range(count):
                x = pool.submit(increment, x).result()
        else:
            futures = [pool.submit(increment, n) for n in range(count)]
            sum(future.result() for future in futures)
        return (time.perf_counter() - began) / count * 1000


MEASUREMENTS = {
    "chain": chain,
    "fan": fan,
    "memory": memory,
    "array": array,
    "first": first,
    "import": import_,
    "cached": cached,
    "notebook": notebook,
    "floor": floor,
}

if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
