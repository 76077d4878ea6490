"""What the engine costs. Each measurement is a fresh process in an empty project."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.table import Row

ROOT = Path(__file__).parents[2]
EXECUTORS = ("serial", "threads", "processes")


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one run of each and no more than 10,000 tasks."""
    times = 1 if quick else 3
    floors = {name: _median(times, "floor", name) for name in ("pool_chain", "pool_fan", "rows", "row")}
    print(f"floors in ms: {floors}", file=sys.stderr)
    out: list[Row] = []
    for shape in ("chain", "fan"):
        for executor in EXECUTORS:
            out += _tasks(shape, executor, times, quick=quick, floor=floors[f"pool_{shape}"])
    out += _memory(times, quick=quick)
    for executor in ("threads", "processes"):
        out.append(
            Row(f"1 GB array from step to step, {executor}: to the reader", _median(times, "array", executor), "ms", 50)
        )
    out.append(Row("process start to first step", _median(times, "first"), "ms"))
    out.append(Row("import nbflow", _median(times, "import"), "ms", 150))
    out.append(Row("cached re-run of 1,000 tasks, each", _median(times, "cached"), "ms"))
    nbclient = _median(times, "notebook", "nbclient")
    for executor in ("serial", "processes"):
        out.append(Row(f"notebook of 50 cells, {executor}", _median(times, "notebook", executor), "ms", 300, nbclient))
    out.append(Row("one synced commit (raw SQLite)", floors["row"], "ms"))
    out.append(Row("a row in a synced batch of 100 (raw SQLite)", floors["rows"], "ms"))
    return out


def _tasks(shape: str, executor: str, times: int, *, quick: bool, floor: float) -> list[Row]:
    budget = 0.10 if executor != "processes" else None
    counts = [1_000, 10_000]
    if not quick and executor != "processes":
        counts.append(100_000)
    found = {count: _median(times if count < 100_000 else 1, shape, executor, str(count)) for count in counts}
    out = [
        Row(f"{_words(shape)}, {executor}, {count:,} tasks, each", ms, "ms", budget, floor)
        for count, ms in found.items()
    ]
    if 100_000 in found:
        out.append(
            Row(
                f"{_words(shape)}, {executor}: cost at 100,000 to that at 1,000", found[100_000] / found[1_000], "", 1.3
            )
        )
    return out


def _words(shape: str) -> str:
    return "fan-out" if shape == "fan" else shape


def _memory(times: int, *, quick: bool) -> list[Row]:
    out = [Row("memory of a fan-out of 10,000, above the start", _median(times, "memory", "10000"), "MB", 60)]
    if not quick:
        out.append(Row("memory of a fan-out of 100,000, above the start", _median(1, "memory", "100000"), "MB"))
    return out


def _median(times: int, *arguments: str) -> float:
    return median_of("tests.bench.measure", times, *arguments)


def median_of(module: str, times: int, *arguments: str) -> float:
    """The median of a measurement of `module`, taken a number of times."""
    return statistics.median(_once(module, arguments) for _ in range(times))


def _once(module: str, arguments: tuple[str, ...]) -> float:
    """One measurement in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="nbflow-bench-") as folder:
        (Path(folder) / ".nbflow").mkdir()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBFLOW_HOME": f"{folder}/home", "NBFLOW_ECHO": "false"}
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr}")
    value: float = json.loads(done.stdout.splitlines()[-1])
    print(f"{' '.join(arguments)}: {value:.4g}", file=sys.stderr)
    return value
