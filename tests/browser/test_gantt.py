"""Gantt charts in a real JupyterLab: alive while a run goes on, switched, zoomed, pointed at, clicked, kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Place
from tests.browser.notebook import OpenNotebook

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    # Playwright's greenlets leave a loop behind when the process ends.
    pytest.mark.filterwarnings("default"),
]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
FRAME = f"""
import pandas as pd
from nbflow.views.gantt import gantt
begin = pd.Timestamp("2026-05-28 20:26:40", tz="UTC")
rows = []
for number in range(24):
    worker, place = number % 4, number // 4
    start = begin + pd.Timedelta(seconds=3.0 * place + 0.3 * worker)
    rows.append(dict(run="run-1", flow="training", seq=number + 1, task=f"{{['fetch', 'train'][worker % 2]}}#{{place}}",
        step=["fetch", "train"][worker % 2], attempt=1, state="failed" if number == 9 else "succeeded", queue="default",
        worker=f"worker-{{worker + 1}}", queued_at=start - pd.Timedelta(seconds=1), started_at=start,
        finished_at=start + pd.Timedelta(seconds=2.5), error="ValueError: {HOSTILE}" if number == 9 else None))
frame = pd.DataFrame(rows)
chart = gantt(frame, title="{HOSTILE}", tz="UTC", handle=lambda row: ("task", row["seq"]))
chart
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots are put, to be looked at."""
    folder = Path(os.environ.get("NBFLOW_TEST_PICTURES", tmp_path))
    folder.mkdir(exist_ok=True)
    return folder


class Shown:
    """A chart that is shown in a page. Places are those of the lanes, whatever is above them."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.host = page.locator(".nbflow-live").last
        self.canvas = self.host.locator("canvas")
        self.canvas.wait_for(timeout=90_000)
        self.host.locator(".gantt").scroll_into_view_if_needed()

    def tell(self, what: str) -> Any:
        """What an expression about `chart` is in the page."""
        return self.host.evaluate(f"host => {{ const chart = host.gantt; return {what}; }}")

    def wait(self, what: str) -> None:
        """Return when an expression about `chart` is true."""
        self.page.wait_for_function(
            "() => { const chart = [...document.querySelectorAll('.nbflow-live')].pop()?.gantt;"
            f"return chart && {what}; }}"
        )

    def at(self, row: int) -> tuple[float, float]:
        """The middle of the bar of a row, on the page."""
        found = self.host.evaluate(
            """(host, row) => {
                const chart = host.gantt, { painter, area } = chart.picture, times = chart.rows.times(row, chart.now);
                const { tracks, trackOf, shown } = chart.layout, track = tracks[trackOf[row]];
                const lane = shown.indexOf(track.lane);
                const x = area.left + painter.x((times.runStart + times.runEnd) / 2) / painter.ratio;
                const place = track.lane.tracks.indexOf(track) * chart.trackHeight + chart.trackHeight / 3;
                return [x, 26 + chart.tops[lane] + chart.pad + place - chart.scrolled];
            }""",
            row,
        )
        box = self.canvas.bounding_box()
        return box["x"] + found[0], box["y"] + found[1]

    @property
    def tip(self) -> str:
        """What is said about the bar under the pointer; "" if nothing is."""
        box = self.host.locator(".tip")
        return str(box.inner_text()) if box.is_visible() else ""


def opened(page: Any, place: Place, name: str, *cells: str) -> tuple[OpenNotebook, Shown]:
    notebook = OpenNotebook(page, place.url, place.work / f"{name}.ipynb", [*cells, ""])
    notebook.run_next()
    notebook.wait_for_runs(1)
    return notebook, Shown(page)


def test_lanes_fold_and_switch_and_states_are_hidden(live_page: Any, place: Place, pictures: Path) -> None:
    notebook, chart = opened(live_page, place, "lanes", FRAME)
    assert chart.tell("chart.layout.shown.map((lane) => lane.name)") == [f"worker-{n}" for n in (1, 2, 3, 4)]
    notebook.picture(pictures, "gantt")
    chart.host.locator("select").select_option("step")
    assert chart.tell("chart.layout.shown.map((lane) => [lane.name, lane.tracks.length])") == [
        ["fetch", 2],
        ["train", 2],
    ]
    before = chart.tell("chart.tall")
    box = chart.canvas.bounding_box()
    live_page.mouse.click(box["x"] + 30, box["y"] + 50)
    assert chart.tell("[...chart.folded]") == ["fetch"]
    assert chart.tell("chart.tall") < before
    notebook.picture(pictures, "gantt-steps")
    chart.host.get_by_role("button", name="Fold").click()
    assert chart.tell("[...chart.folded].sort()") == ["fetch", "train"]
    chart.host.get_by_role("button", name="failed").click()
    assert chart.tell("chart.hidden.size") == 1


def test_it_zooms_by_wheel_by_drag_and_by_keys(live_page: Any, place: Place) -> None:
    _, chart = opened(live_page, place, "zoom", FRAME)
    span = "chart.window().end - chart.window().begin"
    whole = chart.tell(span)
    live_page.mouse.move(*chart.at(4))
    live_page.keyboard.down("Control")
    live_page.mouse.wheel(0, -300)
    live_page.keyboard.up("Control")
    chart.wait(f"{span} < {whole * 0.8}")
    chart.host.get_by_role("button", name="All").click()
    chart.wait("chart.view === null")
    box, left = chart.canvas.bounding_box(), chart.tell("chart.picture.area.left")
    live_page.mouse.move(box["x"] + left + 100, box["y"] + 10)
    live_page.mouse.down()
    live_page.mouse.move(box["x"] + left + 200, box["y"] + 12, steps=4)
    live_page.mouse.up()
    chart.wait(f"{span} < {whole * 0.3}")
    live_page.mouse.dblclick(box["x"] + left + 5, box["y"] + 10)
    chart.wait("chart.view === null")
    chart.host.locator(".scroller").press("+")
    chart.wait(f"{span} < {whole * 0.8}")
    begin = chart.tell("chart.window().begin")
    chart.host.locator(".scroller").press("ArrowRight")
    chart.wait(f"chart.window().begin > {begin}")
    chart.host.locator(".scroller").press("0")
    chart.wait("chart.view === null")


def test_the_pointer_is_told_all_about_a_bar_and_a_click_gives_the_task_to_python(
    live_page: Any, place: Place, pictures: Path
) -> None:
    show = "print('selected', chart.selected)"
    notebook, chart = opened(live_page, place, "hover", FRAME, show)
    row = chart.tell("[...chart.rows.texts.error].findIndex(Boolean)")
    live_page.mouse.move(*chart.at(row))
    for text in (
        "train#2",
        "failed",
        "Ran",
        "2.5 s",
        "Waited",
        "1.0 s",
        "worker-2",
        f"ValueError: {HOSTILE}",
        "20:26:46.300",
    ):
        assert text in chart.tip
    live_page.screenshot(path=str(pictures / "gantt-hover.png"))
    live_page.mouse.click(*chart.at(row))
    chart.wait(f"chart.selected === {row}")
    notebook.run_next()
    notebook.wait_for_runs(2)
    assert "selected ('task', 10)" in live_page.locator(".jp-Notebook").inner_text()


def test_a_saved_notebook_shows_the_picture_without_a_kernel_and_to_those_who_do_not_trust_it(
    chromium: Any, place: Place, pictures: Path
) -> None:
    # JupyterLab itself stumbles when it gets no kernel, hence not `live_page`.
    live_page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    notebook, _ = opened(live_page, place, "kept", FRAME)
    saved = notebook.save()
    (output,) = saved.cells[0].outputs
    assert set(output["data"]) >= {"text/html", "image/svg+xml", "text/plain"}
    assert "application/vnd.jupyter.widget-view+json" not in output["data"]
    assert len(str(output)) < 100_000
    assert "widgets" not in saved.metadata
    live_page.route("**/api/sessions*", lambda route: route.abort())
    notebook.open()
    seen(live_page)
    live_page.add_style_tag(content=".jp-Dialog { display: none !important }")  # that there is no kernel
    notebook.picture(pictures, "gantt-kept", of=".jp-OutputArea-output img")
    stranger = place.work / "stranger.ipynb"
    stranger.write_text(notebook.path.read_text().replace("begin =", "begin  ="))  # its signature is of another text
    notebook.path = stranger
    notebook.open()
    seen(live_page)
    assert live_page.locator(".jp-OutputArea-output style").count() == 0
    live_page.close()


def seen(page: Any) -> None:
    """There is one picture that stands still, and nothing that tries to live."""
    images = page.locator(".jp-OutputArea-output img")
    images.first.wait_for()
    assert images.count() == 1
    assert images.first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 900
    assert page.locator(".nbflow-live").count() == 0
    assert "Error displaying widget" not in page.locator(".jp-Notebook").inner_text()


QUICKSTART = """
import nbflow
run = nbflow.from_notebook("quickstart.ipynb").submit(executor="threads", folds=3)
chart = run.gantt()
chart
"""


def test_the_chart_of_the_quickstart_appears_and_grows_while_the_run_goes_on(
    live_page: Any, place: Place, pictures: Path
) -> None:
    shutil.copy(NOTEBOOKS / "quickstart.ipynb", place.work / "quickstart.ipynb")
    notebook, chart = opened(live_page, place, "growing", QUICKSTART, "run.wait()")
    chart.wait("chart.rows.openCount > 0 && chart.data.live()")
    end = chart.tell("chart.window().end")
    chart.wait(f"chart.window().end > {end}")
    notebook.picture(pictures, "gantt-growing")
    notebook.run_next()
    notebook.wait_for_runs(2)
    chart.wait("!chart.data.told.live && chart.rows.openCount === 0 && chart.rows.count >= 9")
    names = chart.tell("[...new Set([...Array(chart.rows.count).keys()].map((row) => chart.rows.text('step', row)))]")
    assert {"load", "prepare", "logistic", "forest", "boosting", "neighbours", "compare", "choose", "plot"} <= set(
        names
    )
    assert chart.tell("chart.path.length") >= 4
    notebook.picture(pictures, "gantt-quickstart")
    live_page.wait_for_function(
        """() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.toJSON()
              .some(output => (output.data?.['text/plain'] ?? '').includes('plot'))
              || window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.toJSON()
              .some(output => JSON.stringify(output.data ?? {}).includes('✓ succeeded'))"""
    )


MANY = """
import numpy as np, pandas as pd
from nbflow.views.gantt import gantt
count, workers = 200_000, 6
draw = np.random.default_rng(1)
length = draw.gamma(2, 0.02, (workers, count // workers))
start = np.cumsum(length + 0.002, axis=1) - length
begin = pd.Timestamp("2026-05-28 20:26:40", tz="UTC")
moment = lambda seconds: begin + pd.to_timedelta(seconds.ravel(), unit="s")
frame = pd.DataFrame({
    "task": [f"train#{n}" for n in range(start.size)],
    "worker": np.repeat([f"worker-{n}" for n in range(workers)], count // workers),
    "state": draw.choice(["succeeded", "failed"], start.size, p=[0.999, 0.001]),
    "queued_at": moment(start - 0.5), "started_at": moment(start), "finished_at": moment(start + length),
    "error": None,
})
chart = gantt(frame, tz="UTC")
chart
"""


def test_many_bars_look_the_same_and_tell_what_is_in_a_pixel(live_page: Any, place: Place, pictures: Path) -> None:
    notebook, chart = opened(live_page, place, "many", MANY)
    assert chart.tell("chart.rows.count") == 199_998
    live_page.mouse.move(*chart.at(5000))
    assert "bars here" in chart.tip
    notebook.picture(pictures, "gantt-many")
    live_page.mouse.dblclick(*chart.at(5000))
    chart.tell("chart.show(chart.rows.columns.at[5000] - 1, chart.rows.columns.at[5000] + 1)")
    chart.wait("chart.window().end - chart.window().begin < 3")
    live_page.mouse.move(*chart.at(5001))
    live_page.mouse.move(*chart.at(5000))
    live_page.wait_for_function(
        "() => document.querySelector('.nbflow-live').shadowRoot.querySelector('.tip').innerText.includes('train#')"
    )
    notebook.picture(pictures, "gantt-many-zoomed")
