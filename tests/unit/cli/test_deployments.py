"""The commands around a deployment, from its start to where a value came from."""

from __future__ import annotations

import json

import nbformat
import pytest

import nbflow
from nbflow import settings
from nbflow.deploying.promoting import promote
from nbflow.model.errors import ConfigError, ParameterError, RunNotFoundError
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.values.project import value_store
from tests.unit.cli.test_triggers import told


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A deployment of a notebook with a parameter."""
    monkeypatch.chdir(tmp_path)
    nbflow.configure(db=f"sqlite:///{tmp_path / 'nbflow.db'}")
    node = nbformat.v4.new_notebook()
    cells = {"parameters": "rate = 2", "step:load": "rows = [1, 2]", "step:sum": "total = sum(rows) * rate"}
    node.cells = [nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}) for tag, source in cells.items()]
    nbformat.write(node, "book.ipynb")
    return promote("book.ipynb", check=False)


def work():
    options = WorkerOptions(concurrency=1, burst=True)
    Worker(opened.database(), value_store(settings.current()), options).run()


def test_a_run_is_shown_while_it_waits_and_after_it_with_its_cause(book):
    run = json.loads(told("trigger", "book", "-p", "rate=3", "--json"))["run"]
    waiting = told("show", run)
    assert "has not begun: its job is ready" in waiting
    assert json.loads(told("show", run, "--json"))["state"] == "ready"
    assert "Run" in told("why", f"run-{run}") or "ready" in told("why", f"run-{run}")
    work()
    assert "version 1 of deployment book, started by hand" in told("show", run)
    shown = json.loads(told("show", run, "--json"))
    assert (shown["deployment"], shown["version"], shown["state"]) == ("book", 1, "succeeded")
    assert book.runs()[0].values["total"] == 9


def test_a_run_that_is_nowhere_is_told(book):
    with pytest.raises(RunNotFoundError, match="There is no run 'nothing'"):
        told("show", "nothing")


@pytest.mark.parametrize(
    ("text", "problem"), [("rates=3", "Did you mean 'rate'"), ("rate=x", "is an int"), ("rate", "NAME=VALUE")]
)
def test_parameters_of_a_start_are_checked_like_those_of_events(book, text, problem):
    with pytest.raises(ParameterError, match=problem):
        told("trigger", "book", "-p", text)


def test_where_a_value_came_from_is_told_with_version_and_run(book):
    book.trigger()
    work()
    text = told("lineage", "last", "total")
    assert "version 1 of deployment book" in text
    assert [line.split()[:2] for line in text.splitlines()[2:]] == [
        ["input", "parameters"], ["input", "load"], ["source", "sum"],
    ]  # fmt: skip
    rows = json.loads(told("lineage", "last", "total", "--json"))
    assert {(row["deployment"], row["version"]) for row in rows} == {("book", "1")}


def test_what_is_kept_is_told_and_changed(book):
    assert told("keep", "book") == "Of the runs of book, all are kept.\n"
    assert "the last 10 and of these those of 1.5 days" in told("keep", "book", "--runs", "10", "--days", "1.5")
    assert json.loads(told("deployments", "--json"))[0]["keep"] == {"runs": 10, "days": 1.5}
    assert "all are kept" in told("keep", "book", "--all")
    with pytest.raises(ConfigError, match="goes with neither"):
        told("keep", "book", "--all", "--runs", "3")


def test_a_paused_deployment_is_told(book):
    told("pause", "book")
    assert json.loads(told("deployments", "--json"))[0]["paused"] is True
    assert "paused" in told("deployments")
    told("resume", "book")
    assert json.loads(told("deployments", "--json"))[0]["paused"] is False
