"""What a task on Dask costs, with nbflow and without. Each measurement is a fresh process in an empty project."""

from __future__ import annotations

import functools

from tests.bench.engine import median_of
from tests.bench.table import Row

_median = functools.partial(median_of, "tests.bench.measure_dask")
WORDS = {"own": "processes of its own", "address": "a cluster at an address"}
MOST = 1.3  # times the cost of a task with distributed alone


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one run of each."""
    times = 1 if quick else 3
    out: list[Row] = []
    for shape, count in (("fan", 2000), ("chain", 500)):
        bare = _median(times, "bare", shape, str(count))
        for cluster, words in WORDS.items():
            name = "fan-out" if shape == "fan" else "chain"
            what = f"{name} of {count:,} tasks, {words}, each; floor: distributed alone, nothing stored"
            out.append(Row(what, _median(times, "flow", cluster, shape, str(count)), "ms", MOST * bare, bare))
    out.append(Row("a run of one task, warm", _median(times, "warm"), "ms"))
    out.append(Row("the first run, which starts two processes", _median(times, "cold"), "ms"))
    return out
