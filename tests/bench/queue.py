"""What the queue costs, on SQLite and PostgreSQL. Each measurement is a fresh process in an empty project."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.databases import on_each
from tests.bench.table import Row

ROOT = Path(__file__).parents[2]
_BUDGETS = {"SQLite": 1 / 6.0, "PostgreSQL": 1 / 4.0}  # ms for each job that is drained


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one run of each, of fewer jobs."""
    times = 1 if quick else 3
    floor = _median(times, "raw", "", "20000")
    found = on_each(lambda name, new: _of(name, new, times, quick=quick, floor=floor))
    if importlib.util.find_spec("huey") is not None:
        found.append(Row("Huey on SQLite: drained, each", _median(times, "huey", "", "5000"), "ms"))
    return found


def _of(name: str, database: Any, times: int, *, quick: bool, floor: float) -> list[Row]:
    count = "10000" if quick else "30000"
    out = [
        Row(f"{name}: enqueued in batches, each", _median(times, "enqueue", database, count), "ms", 0.02),
        Row(f"{name}: drained by 2 children, results stored, each",
            _median(times, "drain", database, count, key="ms"), "ms", _BUDGETS[name], floor),
    ]  # fmt: skip
    idle = _measure("pick_up", database(), "40" if quick else "200", "0.1")
    out.append(Row(f"{name}: picked up by an idle worker, p95", idle["p95"], "ms", 10))
    out.append(Row(f"{name}: idle worker with its children", idle["cpu"], "% of a core", 1))
    if not quick:
        rested = _measure("pick_up", database(), "3", "60")
        out.append(Row(f"{name}: picked up after a minute of idleness, the slowest of 3", rested["p95"], "ms", 10))
        few = _median(times, "drain", database, "10000", "10000", key="ms")
        many = _measure("drain", database(), "10000", "1000000")["ms"]
        out.append(Row(f"{name}: cost with 1,000,000 waiting to that with 10,000", many / few, "", 1.2))
        sizes = _measure("memory", database(), "100000")
        out.append(Row(f"{name}: memory after 100,000 jobs to that after 10,000", sizes["late"] / sizes["early"], ""))
    return out


def _median(times: int, name: str, database: Any, *arguments: str, key: str | None = None) -> float:
    found = []
    for _ in range(times):
        value = _measure(name, database() if callable(database) else database, *arguments)
        found.append(value[key] if key is not None else value)
    return statistics.median(found)


def _measure(name: str, database: str, *arguments: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ".nbflow").mkdir()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBFLOW_HOME": folder}
        if database:
            environment["NBFLOW_DB"] = database
        command = [sys.executable, "-m", "tests.bench.measure_queue", name, database, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} {arguments}: {done.stderr}")
        print(f"{name} {' '.join(arguments)}: {done.stdout.strip()}", file=sys.stderr)
        return json.loads(done.stdout.splitlines()[-1])
