"""The same flow on every executor: nothing of it is changed, where it runs is said from outside."""

from __future__ import annotations

import shutil

import nbformat
import pytest

from nbflow import configure
from tests.acceptance import worker_flows
from tests.acceptance.conftest import Project
from tests.acceptance.workers import ROOT
from tests.notebooks.test_equal import NOTEBOOKS, check, outputs, printed_warnings, shared

__all__ = ["printed_warnings", "shared"]
pytestmark = pytest.mark.timeout(300)
EXECUTORS = ("serial", "threads", "processes", "queue", "dask")
NUMBERS = [1, 2, 3]
CHOSEN = [("sqlite", "shop"), ("postgresql", "shop"), ("sqlite", "randomness"), ("postgresql", "groupby_merge")]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("way", ["environment", "configure", "call"])
def test_a_flow_gives_the_same_wherever_it_is_told_to_run(start_worker, db_url, monkeypatch, executor, way):
    if executor == "queue":
        start_worker("-c", "2")
    monkeypatch.setenv("NBFLOW_DB", db_url)
    if way == "environment":
        monkeypatch.setenv("NBFLOW_EXECUTOR", executor)
    elif way == "configure":
        configure(executor=executor)
    run = worker_flows.squares.run(NUMBERS, **({"executor": executor} if way == "call" else {}))
    assert run.record.executor == executor
    assert run.result() == worker_flows.squares.plain(NUMBERS)
    assert {str(task.state) for task in run.tasks() if task.name != "fails"} == {"succeeded"}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> list[object]:
    """What the quickstart notebook shows where nothing is said about executors."""
    return executed(Project(tmp_path_factory.mktemp("here")))


def executed(project: Project, *options: str) -> list[object]:
    """Run the notebook by the command line; what its cells show."""
    shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", project.folder)
    done = project.run("run", "quickstart.ipynb", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[object] = outputs(nbformat.read(project.folder / "quickstart.executed.ipynb", 4))
    return found


@pytest.mark.parametrize(
    ("db_url", "executor"), [("sqlite", "dask"), ("sqlite", "queue"), ("postgresql", "queue")], indirect=["db_url"]
)
def test_the_quickstart_notebook_runs_elsewhere_by_one_option(
    project, start_worker, db_url, monkeypatch, executor, quickstart
):
    monkeypatch.setenv("NBFLOW_DB", db_url)
    if executor == "queue":
        start_worker("-c", "2")
    assert executed(project, "--executor", executor) == quickstart


@pytest.mark.parametrize(("db_url", "name"), CHOSEN, indirect=["db_url"])
def test_annotated_notebooks_on_the_queue_show_and_leave_what_notebooks_do(
    name, start_worker, db_url, tmp_path, shared
):
    start_worker("-c", "2")
    (path,) = [path for path in NOTEBOOKS if path.stem == name]
    check(path, "queue", tmp_path, shared, db_url)
