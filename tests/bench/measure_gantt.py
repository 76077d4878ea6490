"""What a Gantt chart costs in JupyterLab in Chromium: `python -m tests.bench.measure_gantt` prints the rows."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.table import Row, text
from tests.browser import lab
from tests.browser.notebook import OpenNotebook

# Short tasks on eight workers, one after the other, as `QueueClient.attempts` gives them.
FRAME = """
import time
import numpy as np, pandas as pd
from nbflow.views.gantt import gantt

def attempts(count, workers=8):
    draw = np.random.default_rng(1)
    each, size = count // workers, count // workers * workers
    length, pause = draw.gamma(2, 0.02, (workers, each)), draw.exponential(0.004, (workers, each))
    start = np.cumsum(length + pause, axis=1) - length
    order = np.argsort(start.ravel(), kind="stable")
    worker = np.repeat(np.arange(workers), each)[order]
    begin = np.datetime64("2026-05-28T20:26:40", "us").astype("int64")
    micros = lambda seconds: (begin + seconds.ravel()[order] * 1e6).astype("int64")
    moment = lambda seconds: pd.Series(micros(seconds).view("M8[us]")).dt.tz_localize("UTC")
    category = lambda codes, names: pd.Categorical.from_codes(codes.astype("int8"), names)
    return pd.DataFrame({
        "run": category(np.zeros(size), ["run-1"]),
        "flow": category(np.zeros(size), ["training"]),
        "seq": np.arange(1, size + 1),
        "task": pd.Series([f"train#{n}" for n in range(1, size + 1)], dtype="str"),
        "step": category(draw.integers(0, 6, size), ["fetch", "clean", "train", "evaluate", "plot", "send"]),
        "attempt": np.ones(size, "int64"),
        "state": category(draw.choice(3, size, p=[0.98, 0.015, 0.005]), ["succeeded", "failed", "timed_out"]),
        "queue": category(worker % 2, ["default", "gpu"]),
        "worker": category(worker, [f"worker-{n}" for n in range(workers)]),
        "queued_at": moment(start - 0.5),
        "started_at": moment(start),
        "finished_at": moment(start + length),
        "error_type": category(np.full(size, -1), ["ValueError"]),
        "error": pd.Series([None] * size, dtype="str"),
    })
"""
SHOW = """
frame = attempts({count})
began = time.time()
chart = gantt(frame)
display(chart)
print("began", repr(began), "done", repr(time.time()))
"""
CHANGE = """
for number in range({times}):
    chart.update(frame.iloc[number * 500 : number * 500 + 500])
    chart.update(frame.iloc[:1000].assign(seq=frame["seq"].iloc[:1000] + {count} + number * 1000,
        started_at=frame["started_at"].iloc[-1] + pd.to_timedelta(np.arange(1000) * 0.01 + number, unit="s"),
        finished_at=frame["started_at"].iloc[-1] + pd.to_timedelta(np.arange(1000) * 0.01 + number + 0.05, unit="s")))
    time.sleep(0.3)
"""
# Seconds that a picture takes when the reader zooms: from the change to the frame after the one in which it is drawn.
ZOOM = """
async host => {
    const chart = host.gantt, frame = () => new Promise(requestAnimationFrame), taken = [], drawn = [];
    for (let number = 0; number < 24; number++) {
        await frame();
        const began = performance.now();
        chart.zoom(number % 12 < 8 ? 0.6 : 2.5, 0.3 + 0.02 * number);
        await frame();
        await frame();
        taken.push(performance.now() - began);
        drawn.push(chart.drawn);
    }
    chart.fit();
    return { taken, drawn };
}
"""


def rows(quick: bool) -> list[Row]:
    """All rows; `quick`: a tenth of the bars, shown once."""
    many, times = (100_000, 1) if quick else (1_000_000, 3)
    found: list[Row] = []
    with _notebook([FRAME, *[SHOW.format(count=3_000)] * (times + 1), *[SHOW.format(count=many)] * times,
                    CHANGE.format(times=5, count=many), ""]) as notebook:  # fmt: skip
        notebook.run_next()
        notebook.wait_for_runs(1)
        small = [_first_picture(notebook, number + 2) for number in range(times + 1)][1:]  # the first loads the program
        found.append(Row("Gantt of 3,000 bars, first picture on a warm kernel", statistics.median(small), "s", 0.5))
        large = [_first_picture(notebook, number + times + 3) for number in range(times)]
        found.append(Row(f"Gantt of {many:,} bars, first picture", statistics.median(large), "s", 1.0))
        found += _zoomed(notebook, many)
        found.append(_updated(notebook, 2 * times + 3, many))
    return found


def _first_picture(notebook: OpenNotebook, runs: int) -> float:
    """Seconds from the call in the kernel to the end of the first frame that shows the chart."""
    before = notebook.page.locator(".nbflow-live").count()
    notebook.run_next()
    notebook.page.wait_for_function(
        f"() => [...document.querySelectorAll('.nbflow-live')].filter((host) => host.gantt?.painted).length > {before}",
        timeout=120_000,
    )
    notebook.wait_for_runs(runs)
    seen = notebook.page.locator(".nbflow-live").last.evaluate("host => host.gantt.firstSeen")
    printed = notebook.page.locator(".jp-OutputArea-output", has_text="began").last.inner_text().split()
    _say(f"first picture: kernel {float(printed[3]) - float(printed[1]):.3f} s, seen {seen - float(printed[1]):.3f} s")
    return float(seen) - float(printed[1])


def _zoomed(notebook: OpenNotebook, count: int) -> list[Row]:
    told = notebook.page.locator(".nbflow-live").last.evaluate(ZOOM)
    _say(f"zoom: drawn in {max(told['drawn']):.1f} ms at most, on screen in {max(told['taken']):.1f} ms at most")
    return [Row(f"Gantt of {count:,} bars, zoomed: the picture is redrawn, p95", _p95(told["drawn"]), "ms", 50)]


def _updated(notebook: OpenNotebook, runs: int, count: int) -> Row:
    host = notebook.page.locator(".nbflow-live").last
    host.evaluate("host => { host.gantt.data.took = []; }")
    notebook.run_next()
    notebook.wait_for_runs(runs)
    notebook.page.wait_for_function(
        "() => [...document.querySelectorAll('.nbflow-live')].pop().gantt.data.took.length >= 10"
    )
    taken = host.evaluate("host => host.gantt.data.took")
    _say(f"updates: {', '.join(f'{each:.2f}' for each in taken)} ms")
    # Every other one brings 1,000 new rows; the very first makes room for them, which it does once in a while.
    return Row(
        f"Gantt of {count:,} bars: 1,000 new rows in the browser, median", statistics.median(taken[1::2]), "ms", 5
    )


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def _say(what: str) -> None:
    print(what, file=sys.stderr)


@contextmanager
def _notebook(cells: list[str]) -> Iterator[OpenNotebook]:
    from playwright.sync_api import sync_playwright

    program = lab.chromium()
    if program is None:
        raise RuntimeError("A browser is measured, and there is no Chromium on this machine.")
    with tempfile.TemporaryDirectory(prefix="nbflow-bench-") as folder:
        work, home = Path(folder) / "work", Path(folder) / "home"
        (work / ".nbflow").mkdir(parents=True)
        home.mkdir()
        with lab.jupyter_lab(work, home) as url, sync_playwright() as playwright:
            browser: Any = playwright.chromium.launch(executable_path=program, args=list(lab.FLAGS))
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            yield OpenNotebook(page, url, work / "gantt.ipynb", cells)
            browser.close()


if __name__ == "__main__":
    print(text(rows("--quick" in sys.argv)))
