"""`nbflow run --detach`: the command ends, workers do the rest, and the notebook can be had later."""

from __future__ import annotations

import json

import nbformat
import pytest

from nbflow.client.run import Run

CELLS = ["data = list(range(4))", "total = sum(data)\nprint('total', total)", "total * 2"]
FLOWS = """
from nbflow import flow, step

@step
def double(x):
    return 2 * x

@flow
def doubled(x: int = 1):
    return double(x)
"""


@pytest.fixture
def there(project, db_url, monkeypatch):
    """A project on the database, and with its settings."""
    monkeypatch.setenv("NBFLOW_DB", db_url)
    monkeypatch.chdir(project.folder)
    project.write("flows.py", FLOWS)
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    project.write("sums.ipynb", nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    return project


@pytest.mark.timeout(150)
def test_a_detached_notebook_is_executed_by_workers_and_written_later(there, start_worker):
    run = there.run("run", "sums.ipynb", "--detach").stdout.strip()
    assert there.run("show", run, "--json").returncode == 0
    start_worker("--concurrency", "2").ready()
    assert Run(run).wait(60).state == "succeeded"
    assert there.run("show", run, "--out", "done.ipynb").returncode == 0
    outputs = [cell.outputs for cell in nbformat.read(there.folder / "done.ipynb", 4).cells]
    assert [found[0].get("text") or found[0]["data"]["text/plain"] for found in outputs if found] == ["total 6\n", "12"]


@pytest.mark.timeout(150)
def test_a_detached_flow_of_a_module_takes_parameters(there, start_worker):
    told = there.json("run", "flows.py:doubled", "-p", "x=21", "--detach")
    assert (told["flow"], told["state"]) == ("doubled", "ready")
    start_worker("--concurrency", "1").ready()
    assert Run(told["run"]).result(60) == 42


def test_it_says_if_nobody_is_there_to_do_it(there):
    done = there.run("run", "flows.py:doubled", "--detach")
    assert done.returncode == 0
    assert "no worker is running; start one: nbflow worker" in done.stderr


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--executor", "threads"), "--executor threads"), (("--out", "later.ipynb"), "nbflow show RUN --out")],
)
def test_what_contradicts_it_is_refused_before_anything_is_stored(there, options, word):
    done = there.run("run", "sums.ipynb", "--detach", *options)
    assert done.returncode == 2
    assert word in done.stderr
    assert json.loads(there.run("runs", "--json").stdout) == []
