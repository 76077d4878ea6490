"""What schedules and deployments cost, on SQLite and PostgreSQL. Each is measured in a fresh process and project."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.databases import on_each
from tests.bench.table import Row

ROOT = Path(__file__).parents[2]
COUNT = "10000"
_SCHEDULES, _DEPLOYMENTS = "measure_schedules", "measure_deployments"


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one run of each, and idleness for a shorter time."""
    return on_each(lambda name, new: _of(name, new, quick=quick))


def _of(name: str, database: Callable[[], str], *, quick: bool) -> list[Row]:
    times, seconds = (1, "10") if quick else (3, "60")
    none = _median(1, "idle", database, "0", seconds)
    return [
        Row(f"{name}: 10,000 schedules defined together, each", _median(times, "define", database, COUNT), "ms"),
        Row(f"{name}: scheduler with 10,000 schedules, none due", _median(1, "idle", database, COUNT, seconds),
            "% of a core", 1, none),
        Row(f"{name}: 10,000 schedules due at once: fired, each", _median(times, "fire", database, COUNT), "ms"),
        Row(f"{name}: 10,000 missed times of one schedule: caught up with, each",
            _median(times, "catch_up", database, COUNT), "ms"),
        *_of_deployments(name, database, quick=quick),
    ]  # fmt: skip


def _of_deployments(name: str, database: Callable[[], str], *, quick: bool) -> list[Row]:
    count, span, seconds = ("1000", "6", "10") if quick else (COUNT, "60", "60")
    part = int(count)
    return [
        Row(f"{name}: a notebook of 50 cells promoted, its check left out", _median(1 if quick else 3, "promotion",
            database, of=_DEPLOYMENTS), "s", 1),
        Row(f"{name}: scheduler with {part:,} deployments, none due", _median(1, "idle", database, count, seconds,
            of=_DEPLOYMENTS), "% of a core", 1),
        Row(f"{name}: {part:,} deployments due within {span} s: from their time to the start of the run, p95",
            _median(1, "lag", database, count, span, of=_DEPLOYMENTS), "s", 2),
    ]  # fmt: skip


def _median(times: int, name: str, database: Callable[[], str], *arguments: str, of: str = _SCHEDULES) -> float:
    return statistics.median(_measure(of, name, database(), *arguments) for _ in range(times))


def _measure(module: str, name: str, database: str, *arguments: str) -> float:
    with tempfile.TemporaryDirectory(prefix="nbflow-bench-") as folder:
        (Path(folder) / ".nbflow").mkdir()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBFLOW_HOME": folder}
        if database:
            environment["NBFLOW_DB"] = database
        command = [sys.executable, "-m", f"tests.bench.{module}", name, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} {arguments}: {done.stderr}")
    value: float = json.loads(done.stdout.splitlines()[-1])
    print(f"{name} {database.partition(':')[0] or 'sqlite'} {' '.join(arguments)}: {value:.4g}", file=sys.stderr)
    return value
