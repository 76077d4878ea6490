"""What graphs and the monitor cost: `python -m tests.bench.measure_graph NAME ...` prints one number."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nbflow.client.monitor import Monitor
from nbflow.model.records import AttemptRecord, RunRecord, TaskRecord
from nbflow.storage import opened
from nbflow.views.graph import Node, Picture
from tests.bench.table import Row

ROOT = Path(__file__).parents[2]
_NODES = 200
_OF_A_RUN = 1_000  # tasks of each past run
_PAST = 100_000.0  # seconds


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: a tenth of the tasks, looked at for a shorter time."""
    tasks, seconds = ("100000", "10") if quick else ("1000000", "60")
    found = [
        Row(f"graph of 200 nodes, laid out: {shape}", _measure("graph", shape), "ms", 10)
        for shape in ("layers", "clusters", "pipelines")
    ]
    busy = _measure("monitor", tasks, seconds)
    return [*found, Row(f"monitor on a busy database of {int(tasks):,} tasks, each second", busy, "% of a core", 5)]


def _measure(name: str, *arguments: str) -> float:
    with tempfile.TemporaryDirectory(prefix="nbflow-bench-") as folder:
        (Path(folder) / ".nbflow").mkdir()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBFLOW_HOME": folder}
        command = [sys.executable, "-m", "tests.bench.measure_graph", name, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {arguments}: {done.stderr}")
    value: float = json.loads(done.stdout.splitlines()[-1])
    print(f"{name} {' '.join(arguments)}: {value:.4g}", file=sys.stderr)
    return value


# --- graphs ------------------------------------------------------------------------------------------------------


def _node(number: int, needs: Sequence[int], prefix: str = "") -> Node:
    upstream = tuple(f"{prefix}{need}" for need in needs)
    return Node(f"{prefix}{number}", f"step{number}", "succeeded", "12 ms", upstream=upstream)


def _layers() -> list[Node]:
    """Ten steps side by side, each of which needs two of those before it."""
    draw = random.Random(1)
    above = [range(max(0, number // 10 * 10 - 10), number // 10 * 10) for number in range(_NODES)]
    return [_node(number, draw.sample(above[number], 2) if above[number] else ()) for number in range(_NODES)]


def _clusters() -> list[Node]:
    """Ten sub-flows of nineteen steps, one after the other."""
    draw = random.Random(1)
    return [
        Node(
            f"g{group}", f"group{group}", "running", upstream=(f"g{group - 1}",),
            inside=tuple(_node(n, [draw.randrange(n)] if n else [], f"{group}.") for n in range(19)),
        )
        for group in range(10)
    ]  # fmt: skip


def _pipelines() -> list[Node]:
    """One step, 66 chains of three that need it, and one that needs them all."""
    chains = [_node(n, [0 if (n - 1) % 3 == 0 else n - 1]) for n in range(1, _NODES - 1)]
    return [_node(0, ()), *chains, _node(_NODES - 1, range(3, _NODES - 1, 3))]


SHAPES: dict[str, Callable[[], list[Node]]] = {"layers": _layers, "clusters": _clusters, "pipelines": _pipelines}


def graph(shape: str) -> float:
    """Milliseconds from 200 nodes to their SVG; the median of many."""
    nodes = SHAPES[shape]()
    times = []
    for _ in range(31):
        began = time.perf_counter()
        Picture(nodes).svg()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


# --- the monitor -------------------------------------------------------------------------------------------------


def monitor(count: str, seconds: str) -> float:
    """Percent of a core that a monitor takes which looks each second, while another process goes on with a run.

    Half of the tasks are of past runs, half of the one that goes on.
    """
    path = opened.database().file
    opened.close_all()
    assert path is not None
    _fill(path, int(count))
    watched = Monitor()
    watched.sample()
    ended = threading.Event()
    weigher = threading.Thread(target=_weigh, args=(watched, ended))
    writer = subprocess.Popen([sys.executable, "-m", "tests.bench.measure_graph", "write", str(path), count, seconds])
    weigher.start()
    before, began = time.process_time(), time.monotonic()
    while (passed := time.monotonic() - began) < float(seconds):
        watched._open().sample()
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began - passed)))
    used = time.process_time() - before
    ended.set()
    weigher.join()
    writer.wait()
    return used / passed * 100


def _weigh(watched: Monitor, ended: threading.Event) -> None:
    while not ended.wait(1.0):
        watched._open().weigh()


def write(path: str, count: str, seconds: str) -> float:
    """Go on with a run as an engine does: a hundred tasks a second begin and end."""
    connection = sqlite3.connect(path, timeout=30)
    seq, until = int(count) // 4, time.monotonic() + float(seconds)
    while time.monotonic() < until:
        for _ in range(10):
            seq += 1
            connection.execute("UPDATE tasks SET state = 'succeeded' WHERE run = 'live' AND seq = ?", (seq,))
            connection.execute("UPDATE tasks SET state = 'running' WHERE run = 'live' AND seq = ?", (seq + 20,))
            _insert(connection, "attempts", AttemptRecord, [_attempt("live", seq, time.time())])
        connection.commit()
        time.sleep(0.1)
    return seq


def _fill(path: Path, count: int) -> None:
    now = time.time()
    past = [f"r{number:08}" for number in range(count // 2 // _OF_A_RUN)]
    connection = sqlite3.connect(path)
    _insert(connection, "runs", RunRecord, (_run(run, now - _PAST + number, 50.0) for number, run in enumerate(past)))
    _insert(connection, "runs", RunRecord, [_run("live", now - 10, None)])
    for run in past:
        _insert(connection, "tasks", TaskRecord, (_task(run, n, "succeeded", now) for n in range(1, _OF_A_RUN + 1)))
        _insert(connection, "attempts", AttemptRecord, (_attempt(run, n, now) for n in range(1, _OF_A_RUN + 1)))
    _insert(connection, "tasks", TaskRecord, _going_on(count // 2, now))
    connection.commit()
    connection.close()


def _going_on(count: int, now: float) -> Iterator[tuple[object, ...]]:
    for seq in range(1, count + 1):
        state = "succeeded" if seq <= count // 2 else "running" if seq <= count // 2 + 20 else "pending"
        yield _task("live", seq, state, now)


def _insert(connection: sqlite3.Connection, table: str, record: type, values: object) -> None:
    names = record._fields  # type: ignore[attr-defined]
    marks = ", ".join("?" * len(names))
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)  # type: ignore[arg-type]


def _run(id: str, began: float, took: float | None) -> tuple[object, ...]:
    filled = dict.fromkeys(RunRecord._fields) | {
        "id": id, "flow": f"flow{hash(id) % 20}", "state": "running" if took is None else "succeeded",
        "executor": "threads", "parameters": "{}", "tags": "[]", "cwd": "/", "host": "here", "created_at": began,
        "started_at": began, "finished_at": None if took is None else began + took,
    }  # fmt: skip
    return tuple(filled.values())


def _task(run: str, seq: int, state: str, now: float) -> tuple[object, ...]:
    filled = dict.fromkeys(TaskRecord._fields) | {
        "run": run, "seq": seq, "key": f"step{seq % 9}#{seq}", "name": f"step{seq % 9}", "kind": "step",
        "state": state, "position": seq, "upstream": "[]", "code_digest": "0" * 32, "input_digest": "1" * 32,
        "tags": "", "created_at": now - _PAST, "ready_at": now - _PAST, "started_at": now - _PAST,
        "finished_at": now - _PAST + 1 if state == "succeeded" else None, "attempts": 1, "result_digest": "2" * 32,
        "result_size": 100, "result_type": "builtins.int",
    }  # fmt: skip
    return tuple(filled.values())


def _attempt(run: str, seq: int, now: float) -> tuple[object, ...]:
    filled = dict.fromkeys(AttemptRecord._fields) | {
        "run": run, "seq": seq, "number": 1, "state": "succeeded", "queued_at": now - 2, "started_at": now - 1,
        "finished_at": now, "worker": "threads-1", "pid": 1, "cpu_seconds": 0.1, "peak_memory": 100_000_000,
    }  # fmt: skip
    return tuple(filled.values())


MEASUREMENTS = {"graph": graph, "monitor": monitor, "write": write}

if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]](*sys.argv[2:])))
