"""What notebooks cost as flows. Each measurement is a fresh process in an empty project."""

from __future__ import annotations

import functools

from tests.bench.engine import median_of
from tests.bench.table import Row

_median = functools.partial(median_of, "tests.bench.measure_cells")


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: one run of each, on less."""
    times = 1 if quick else 3
    work = 0.5 if quick else 2.0
    size = "0.1" if quick else "1"
    return [*_branches(times, work), *_analysis(times), *_serial(times, work), *_frames(times, size)]


def _branches(times: int, work: float) -> list[Row]:
    loops = str(round(_median(times, "loops", str(work))))
    nbclient = _median(times, "run", "nbclient", "branches", loops)
    measured = _median(times, "run", "processes", "branches", loops)
    half = nbclient / 2
    what = f"12 cells, 4 branches of {work:g} s, 2 processes; floor: half of nbclient's time"
    return [Row(what, measured, "s", 1.15 * half, half)]


def _analysis(times: int) -> list[Row]:
    return [Row("analysis and plan of 200 cells", _median(times, "analysis", "long"), "ms", 500)]


def _serial(times: int, work: float) -> list[Row]:
    found = []
    loops = str(round(_median(times, "loops", str(work))))
    for name, arguments in (("chain", [loops]), ("trivial", [])):
        nbclient = _median(times, "run", "nbclient", name, *arguments)
        what = f"20 cells in a chain, {work:g} s" if name == "chain" else "50 cells that do nothing"
        for executor in ("processes", "serial"):
            measured = _median(times, "run", executor, name, *arguments)
            found.append(Row(f"{what}, {executor}; floor: nbclient", measured, "s", 1.05 * nbclient + 0.3, nbclient))
    return found


def _frames(times: int, size: str) -> list[Row]:
    digest = _median(times, "raw_digest", size)
    handed = _median(times, "hand_over", "processes", size)
    pickled = _median(times, "hand_over", "pickle", size)
    plain = _median(times, "recording", "plain", size, "0.2")
    recorded = _median(times, "recording", "recorded", size, "0.2")
    return [
        Row(
            f"fingerprint of a frame of {size} GB; floor: xxh3 alone", _median(times, "look", size), "ms", None, digest
        ),
        Row(f"frame of {size} GB to the next step, processes; floor: a pickle file", handed, "ms", None, pickled),
        Row(f"cell on a frame of {size} GB, recorded; floor: not recorded", recorded, "ms", 1.05 * plain + 20, plain),
    ]
