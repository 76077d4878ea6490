"""Reading a million tasks as frames; each measurement is a fresh process."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.table import Row

ROOT = Path(__file__).parents[2]
PER_RUN = 10_000  # tasks of a run
PLOTTED = ("step", "state", "worker", "queued_at", "started_at", "finished_at")
OF_TASKS = ("run", "step", "state", "ready_at", "started_at", "finished_at")
_STEPS = ("fetch", "clean", "train", "evaluate", "report", "split", "merge", "plot", "store", "notify")
_BEGAN = 1_780_000_000.0


def rows(quick: bool = False) -> list[Row]:
    """All rows; `quick`: one try of each, with a tenth of the tasks."""
    count, times = (100_000, 1) if quick else (1_000_000, 5)
    named = f"{count:,}"
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "nbflow.db")
        fill(file, count)
        tasks = _measure("frame", file, str(times), "tasks")
        return [
            Row(f"{named} tasks as a DataFrame, all columns", tasks["seconds"], "s", 0.7, _floor(file, times, "all")),
            Row(f"{named} tasks, plotted columns", _measure("frame", file, str(times), "tasks", *OF_TASKS)["seconds"],
                "s", 0.4, _floor(file, times, "plotted")),
            Row(f"{named} tries, plotted columns", _measure("frame", file, str(times), "attempts", *PLOTTED)["seconds"],
                "s"),
            Row(f"{named} tries, all columns", _measure("frame", file, str(times), "attempts")["seconds"], "s"),
            Row(f"{named} tasks, plotted columns fetched as objects", _floor(file, times, "objects"), "s"),
            Row(f"one run of {PER_RUN:,} tasks out of {named}", _measure("run", file, str(times))["seconds"] * 1000,
                "ms"),
            Row(f"memory for {named} tasks, all columns", tasks["megabytes"], "MB"),
        ]  # fmt: skip


def fill(file: str, count: int) -> None:
    """Make a database with `count` tasks, each tried once, in runs of 10,000; made by SQL, as that takes seconds."""
    from nbflow.storage.database import open_database

    open_database(f"sqlite:///{file}").close()
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN")
    steps = "".join(name.ljust(8) for name in _STEPS)
    name = f"trim(substr('{steps}', i % {len(_STEPS)} * 8 + 1, 8))"
    connection.execute(
        f"""
        CREATE TEMP TABLE n AS
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
        SELECT i, printf('6fc4%08x', i / {PER_RUN}) AS run, i % {PER_RUN} + 1 AS seq, {name} AS name,
               {_BEGAN} + i * 0.05 + (i * 7919 % 1000) / 12345.0 AS ready, (i * 104729 % 1000) / 4321.0 AS wait,
               (i * 1299709 % 1000) / 1234.0 AS took,
               CASE WHEN i * 31 % 100 = 7 THEN 'failed' ELSE 'succeeded' END AS state
        FROM n
        """
    )
    connection.execute(
        """
        INSERT INTO tasks (run, seq, key, name, kind, state, position, upstream, code_digest, input_digest, tags,
                           created_at, ready_at, started_at, finished_at, attempts, result_digest, result_size,
                           result_type, error_type, error_message)
        SELECT run, seq, name || '#' || (seq / 10 + 1), name, 'step', state, seq, '[' || max(seq - 10, 1) || ']',
               printf('%032x', i % 10), printf('%032x', i), '', ready - 0.01, ready, ready + wait, ready + wait + took,
               1, CASE state WHEN 'failed' THEN NULL ELSE printf('%032x', i * 3) END, 100 + i % 4000, 'int',
               CASE state WHEN 'failed' THEN 'builtins.ValueError' END, CASE state WHEN 'failed' THEN 'no' END
        FROM n
        """
    )
    connection.execute(
        """
        INSERT INTO attempts (run, seq, number, state, queued_at, started_at, finished_at, worker, pid, cpu_seconds,
                              peak_memory)
        SELECT run, seq, 1, state, ready, ready + wait, ready + wait + took, 'threads-' || (i % 8), 4000, took, 60000000
        FROM n
        """
    )
    connection.execute(
        """
        INSERT INTO runs (id, flow, state, executor, parameters, tags, cwd, host, created_at, started_at, finished_at)
        SELECT run, 'training', 'succeeded', 'threads', '{}', '[]', '.', 'here', min(ready), min(ready),
               max(ready) + 1 FROM n GROUP BY run
        """
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def frame(file: str, times: str, what: str, *columns: str) -> dict[str, float]:
    """Seconds for a frame from a client that has read one before, and megabytes that the process grew by at most."""
    from nbflow.client.queue_client import QueueClient

    client = QueueClient(file)
    client.runs(columns=["run"])
    import pandas  # noqa: F401 - which takes longer than reading

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wanted: dict[str, Any] = {"columns": columns} if columns else {}
    seconds = [_timed(lambda: getattr(client, what)(**wanted)) for _ in range(int(times))]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": statistics.median(seconds), "megabytes": grown}


def run(file: str, times: str) -> dict[str, float]:
    """Seconds for the tries of one run."""
    from nbflow.client.queue_client import QueueClient

    client = QueueClient(file)
    chosen = client.runs(columns=["run"]).run.iloc[-1]
    return {"seconds": statistics.median(_timed(lambda: client.attempts(run=chosen)) for _ in range(int(times)))}


def floor(file: str, times: str, what: str) -> dict[str, float]:
    """Seconds in which SQLite itself looks at the same columns, in one thread, and hands out nothing to speak of."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    plotted = ("run", "name", "state", "ready_at", "started_at", "finished_at")
    every = (*plotted, "seq", "key", "kind", "created_at", "attempts", "result_size", "result_type", "error_type")
    if what == "objects":
        statement = f"SELECT {', '.join(plotted)} FROM tasks"
    else:
        statement = f"SELECT {', '.join(f'max({name})' for name in (every if what == 'all' else plotted))} FROM tasks"
    seconds = [_timed(lambda: connection.execute(statement).fetchall()) for _ in range(int(times))]
    return {"seconds": statistics.median(seconds)}


def _timed(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _floor(file: str, times: int, what: str) -> float:
    return _measure("floor", file, str(times), what)["seconds"]


def _measure(name: str, *arguments: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBFLOW_HOME": folder}
        command = [sys.executable, "-m", "tests.bench.measure_frames", name, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {arguments}: {done.stderr}")
    print(f"{name} {' '.join(arguments[1:])}: {done.stdout.strip()}", file=sys.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print one measurement."""
    name, *arguments = sys.argv[1:]
    functions: dict[str, Any] = {"frame": frame, "run": run, "floor": floor}
    print(json.dumps(functions[name](*arguments)))


if __name__ == "__main__":
    main()
