"""What it costs to see a queue: frames, Gantt charts, monitors. Each part measures itself in a module of its own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from tests.bench.table import Row

_PARTS = ("measure_frames", "measure_gantt", "measure_monitor")


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one try of each, with less to look at."""
    found: list[Row] = []
    for part in _PARTS:
        if find_spec(f"tests.bench.{part}") is not None:
            found += import_module(f"tests.bench.{part}").rows(quick)
    return found
