"""Graphs, progress and the monitor in a real JupyterLab: alive while cells run, and still there without a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Place
from tests.browser.notebook import OpenNotebook
from tests.servers import wait_until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    # Playwright's greenlets leave a loop behind when the process ends.
    pytest.mark.filterwarnings("default"),
]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
FLOW = f"""
import threading
from nbflow import flow, step
GO, END = threading.Event(), threading.Event()

@step
def load(part):
    '''Download one part of the data.'''
    print("loading {HOSTILE}", part)
    GO.wait(60)
    return part

@step
def train(data, rate):
    END.wait(60)
    if rate > 0.2:
        raise ValueError("{HOSTILE}")
    return rate

@flow
def prepare():
    return [load(part) for part in range(2)]

@flow
def training():
    data = prepare()
    models = [train(data, rate) for rate in (0.1, 0.2, 0.3)]
    return [model for model in models[:2]]
"""
JOBS = f"""
import pathlib, time

def forever(name):
    print("begun {HOSTILE}")
    for number in range(6_000):
        time.sleep(0.02)
        print("line", number)

def quick(number):
    return number
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots are put, to be looked at."""
    folder = Path(os.environ.get("NBFLOW_TEST_PICTURES", tmp_path))
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def worker(place: Place) -> Iterator[None]:
    """A worker in the project folder."""
    (place.work / "monitor_jobs.py").write_text(JOBS)
    command = [sys.executable, "-m", "nbflow", "worker", "--concurrency", "2"]
    with (place.home / "worker.log").open("wb") as log:
        started = subprocess.Popen(command, cwd=place.work, env=place.environment, stdout=log, stderr=log)
        yield
        started.kill()
        started.wait()


def node(page: Any, label: str) -> Any:
    return page.locator(".nbflow-live").last.locator("g[data-id]").filter(has_text=label).first


def test_a_graph_is_recoloured_while_a_run_goes_on_and_stays_without_a_kernel(
    live_page: Any, place: Place, pictures: Path
) -> None:
    page = live_page
    cells = [FLOW, "run = training.submit(executor='threads')\nrun.graph()", "GO.set()", "END.set(); run.wait()", ""]
    notebook = OpenNotebook(page, place.url, place.work / "graph.ipynb", cells)
    notebook.run_next()
    notebook.run_next()
    page.wait_for_selector(".nbflow-live g[data-state=running]")
    notebook.wait_for_runs(2)
    notebook.run_next()
    page.wait_for_selector(".nbflow-live g[data-state=succeeded]")
    node(page, "load").click()
    panel = page.locator(".nbflow-live .panel")
    panel.locator("dt", has_text="worker").wait_for()
    assert "Download one part of the data." in panel.inner_text()
    assert f"loading {HOSTILE}" in panel.inner_text()
    notebook.run_next()
    page.wait_for_selector(".nbflow-live g[data-state=failed]")
    node(page, "train#3").click()
    panel.locator("details.error").wait_for()
    notebook.wait_for_runs(4)
    notebook.picture(pictures, "graph")
    page.locator(".nbflow-live [data-fold=open] .nb-f").first.click()
    page.wait_for_selector(".nbflow-live [data-fold=closed]")
    _still_there(notebook, "train#3", "✗")


def _still_there(notebook: OpenNotebook, *texts: str) -> None:
    """The saved notebook shows its picture to somebody who has no kernel, and is small."""
    saved = notebook.save()
    outputs = [output for cell in saved.cells for output in cell.get("outputs", ())]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "widgets" not in saved.metadata
    assert "application/vnd.jupyter.widget-view+json" not in kinds
    assert all(len(str(output)) < 100_000 for output in outputs)
    kept = "".join(str(output.get("data", {})) for output in outputs)
    assert [text for text in texts if text not in kept] == []
    page = notebook.page = notebook.page.context.browser.new_page()  # JupyterLab is not at ease without a kernel
    page.route("**/api/sessions*", lambda route: route.abort())
    notebook.open()
    still = page.locator(".jp-OutputArea-output img[src^='data:image/svg+xml'], .jp-OutputArea-output [data-nbflow]")
    still.first.wait_for()
    assert still.first.bounding_box()["height"] > 50
    assert page.locator(".nbflow-live").count() == 0
    assert "Error displaying widget" not in page.locator(".jp-Notebook").inner_text()
    page.close()


MONITOR = """
import sys
sys.path.insert(0, ".")
from monitor_jobs import forever, quick
from nbflow.queue.queue import Queue
Queue("mail").create()
jobs = [Queue().enqueue(forever, name) for name in ("one", "two")]
Queue("mail").enqueue_many(quick, [(number,) for number in range(20)])
%load_ext nbflow
"""
BUSY = "import time\nfor _ in range(4_000):\n    time.sleep(0.02)\n    if jobs[0].finished and jobs[1].finished: break"


def test_the_monitor_lives_and_cancels_real_jobs_while_a_cell_is_busy(
    live_page: Any, place: Place, worker: None, pictures: Path
) -> None:
    page = live_page
    cells = [MONITOR, "%flow monitor", BUSY, "[str(job.state) for job in jobs]", ""]
    notebook = OpenNotebook(page, place.url, place.work / "monitor.ipynb", cells)
    for _ in range(3):
        notebook.run_next()
    view = page.locator(".nbflow-live").first
    running = view.locator("tbody tr.pick", has_text="forever")
    running.nth(1).wait_for()
    wait_until(lambda: notebook.busy)
    running.first.click()
    log = view.locator("pre.tail", has_text="line 20")
    log.wait_for()  # it is followed, although the kernel is busy
    assert f"begun {HOSTILE}" in log.inner_text()
    assert notebook.busy
    pause = view.locator("tr", has_text="mail").get_by_role("button", name="pause")
    pause.click()
    view.locator(".pill.paused").wait_for()
    notebook.picture(pictures, "monitor")
    cancel = running.first.get_by_role("button")
    cancel.click()
    cancel.click()
    view.locator(".say", has_text="is being ended").wait_for()
    assert notebook.busy
    running.nth(1).wait_for(state="detached")
    _cancel_by_command(place)
    running.first.wait_for(state="detached")
    notebook.wait_for_runs(3)
    notebook.run_next()
    notebook.wait_for_runs(4)
    assert "['cancelled', 'cancelled']" in page.locator(".jp-Notebook").inner_text()
    _still_there(notebook, "mail")


def _cancel_by_command(place: Place) -> None:
    """Cancel what runs from a terminal."""

    def nbflow(*words: str) -> str:
        command = [sys.executable, "-m", "nbflow", *words]
        return subprocess.run(
            command, cwd=place.work, env=place.environment, capture_output=True, text=True, check=True
        ).stdout

    listed = nbflow("jobs", "--state", "running", "--json")
    (job,) = [each["id"] for each in json.loads(listed)]
    nbflow("cancel", job)


CHOSEN = """
from nbflow import flow, step

@step
def double(x):
    return 2 * x

@flow
def doubling(numbers=3):
    return [double(x) for x in range(numbers)]

doubling.run(numbers=4)
"""


def test_a_run_is_chosen_and_run_again_with_its_parameters(live_page: Any, place: Place, pictures: Path) -> None:
    page = live_page
    cells = [CHOSEN, "import nbflow\nmonitor = nbflow.QueueClient().monitor()\nmonitor", "monitor.stop()", ""]
    notebook = OpenNotebook(page, place.url, place.work / "again.ipynb", cells)
    notebook.run_next()
    notebook.run_next()
    view = page.locator(".nbflow-live").first
    rows = view.locator("tbody tr.pick", has_text="doubling")
    rows.first.click()
    view.locator(".graph svg g[data-state=succeeded]").first.wait_for()
    view.get_by_role("tab", name="Gantt").click()
    view.locator("canvas").first.wait_for()
    notebook.picture(pictures, "chosen")
    rows.first.get_by_role("button", name="run again").click()
    view.locator(".say", has_text="has begun, with the parameters of").wait_for()
    rows.nth(1).wait_for()
    rows.first.locator("td:nth-child(5)", has_text="4").wait_for()  # its steps, once they have succeeded
    notebook.run_next()
    view.locator(".news", has_text="stopped").wait_for()


PROGRESS = """
import threading
from nbflow import flow, step
GO = threading.Event()

@step
def wait(number):
    GO.wait(60)

@flow
def waiting():
    return [wait(number) for number in range(30)]

run = waiting.submit(executor="threads")
"""


def test_a_run_has_one_progress_bar_below_the_cell_that_began_it(live_page: Any, place: Place) -> None:
    page = live_page
    notebook = OpenNotebook(page, place.url, place.work / "progress.ipynb", [PROGRESS, "GO.set()\nrun.wait()", ""])
    notebook.run_next()
    shown = page.locator(".jp-OutputArea-output details")
    shown.wait_for()
    notebook.run_next()
    notebook.wait_for_runs(2)
    shown.locator("summary", has_text="30 tasks").wait_for()
    first = page.locator(".jp-CodeCell").first.locator(".jp-OutputArea-output details")
    assert (shown.count(), first.count()) == (1, 1)
