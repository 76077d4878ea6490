"""What it costs to see a queue: frames, Gantt charts, graphs, monitors. Each part measures itself in its own module."""

from __future__ import annotations

from tests.bench import measure_frames, measure_gantt, measure_graph
from tests.bench.table import Row


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one try of each, with less to look at."""
    return [*measure_frames.rows(quick), *measure_gantt.rows(quick), *measure_graph.rows(quick)]
