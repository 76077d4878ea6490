"""`nbflow why`: the words of the client, on the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from nbflow import Queue, errors
from nbflow.cli.main import app
from nbflow.storage import opened
from tests.unit.client.histories import BEGAN, History, store
from tests.unit.storage import records


@pytest.fixture
def lost_run():
    run = records.run("lost", owner_pid=2**22 + 1, lease_until=BEGAN, created_at=BEGAN)
    tasks = [records.task(1, "lost", state="running"), records.task(2, "lost", state="pending", upstream="[1]")]
    store(opened.database(), History([run], tasks, [], []))


def test_a_run_is_explained(lost_run):
    done = CliRunner().invoke(app, ["why", "lost"])
    assert done.exit_code == 0
    assert done.output.startswith("run lost (training): running.\n- The process that executed run lost is gone.")
    assert "nbflow resume lost" in done.output


def test_a_task_of_it_is_explained_as_json(lost_run):
    found = json.loads(CliRunner().invoke(app, ["why", "lost", "train#2", "--json"]).output)
    assert found["state"] == "pending"
    assert [reason["kind"] for reason in found["reasons"]] == ["interrupted", "upstream"]
    assert found["reasons"][1]["tasks"] == ["train#1"]


def test_a_job_is_explained():
    job = Queue().enqueue(print)
    assert "No worker serves queue 'default'." in CliRunner().invoke(app, ["why", job.id]).output


def test_what_there_is_not_is_told():
    opened.database()
    found = CliRunner().invoke(app, ["why", "zzz"])
    assert isinstance(found.exception, errors.RunNotFoundError)
