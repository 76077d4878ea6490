"""Deployments: promoted, checked, changed, steered."""

from __future__ import annotations

import importlib
import json
import time
from datetime import UTC, datetime

import pytest

import nbflow
from nbflow.deploying.deployments import Deployment, deployments
from nbflow.deploying.promoting import promote
from nbflow.deploying.triggers import Triggers, emit
from nbflow.model.errors import (
    CheckFailedError,
    DeploymentError,
    NotANotebookError,
    ParameterError,
    PromotionError,
    ScheduleError,
    UnknownQueueError,
)
from nbflow.queue.schedule import schedules
from nbflow.storage import opened, retention, schema

UNCHECKED = {"check": False, "override": "it is a test"}
MONDAYS = {"cron": "0 6 * * MON", "zone": "Europe/Paris"}
SUM = ("rows = [1, 2]\ntotal = sum(rows) * rate", ("print(total)", "3\n"))

COMPARED = """
from nbflow import flow, step

@step
def one():
    return {value}

@flow
def main():
    return one() + 0
"""


@pytest.fixture(autouse=True)
def _database(db_url):
    nbflow.configure(db=db_url)


@pytest.fixture
def book(desk):
    return desk.notebook(*SUM, parameters="rate = 1")


# --- promoted --------------------------------------------------------------------------------------------------------


def test_a_notebook_becomes_a_deployment_with_a_schedule(book):
    made = promote(book, parameters={"rate": 2}, **MONDAYS, **UNCHECKED)
    assert (made.name, made.flow, made.version) == ("analysis", "analysis", 1)
    assert made.schedule.describe() == "At 06:00 on Monday (Europe/Paris)"
    assert {at.strftime("%a %H:%M") for at in made.next(3)} == {"Mon 06:00"}
    version = made.versions()[0]
    assert (version.parameters, version.verdict, version.reason) == ({"rate": 2}, "overridden", "it is a test")
    assert version.environment["packages"] == []
    assert [each.name for each in deployments()] == ["analysis"]


def test_packages_are_those_that_the_code_imports(desk):
    desk.module("with_packages", "import yaml_like_nothing\nfrom cloudpickle import dumps\nimport os\n")
    made = promote(desk.notebook("import pandas as pd\nimport with_packages"), **UNCHECKED)
    packages = made.versions()[0].environment["packages"]
    assert [package["name"] for package in packages if package["direct"]] == ["cloudpickle", "pandas"]
    assert "numpy" in {package["name"] for package in packages}


def test_what_did_not_change_makes_no_new_version(book):
    assert promote(book, **UNCHECKED).version == 1
    made = promote(book, **MONDAYS, **UNCHECKED)
    assert (made.version, made.schedule is not None) == (1, True)


def test_a_change_makes_the_next_version_and_the_schedule_stays(desk, book):
    promote(book, **MONDAYS, **UNCHECKED)
    made = promote(desk.notebook("rows = [1]", parameters="rate = 1"), note="fewer rows", **UNCHECKED)
    assert (made.version, [version.note for version in made.versions()]) == (2, [None, "fewer rows"])
    assert made.schedule.describe() == "At 06:00 on Monday (Europe/Paris)"


def test_a_flow_of_functions_is_promoted_too(desk):
    desk.module("promoted_flows", "from nbflow import flow\n\n@flow\ndef small(n: int = 1):\n    return n\n")
    made = promote(importlib.import_module("promoted_flows").small, name="tiny", every="15m", **UNCHECKED)
    assert (made.name, made.flow, made.schedule.describe()) == ("tiny", "small", "Every 15 minutes")
    assert promote("promoted_flows:small", **UNCHECKED).name == "small"


def test_months_are_those_of_the_calendar(book):
    made = promote(book, monthly={"day": "last", "at": "06:30"}, zone="UTC", **UNCHECKED)
    assert {(at.hour, at.minute) for at in made.next(12)} == {(6, 30)}
    assert {at.day for at in made.next(12)} >= {30, 31}


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"cron": "0 25 * * *"}, ScheduleError, "hour"),
        ({"cron": "0 6 * * *", "zone": "Europe/Pari"}, ScheduleError, "Europe/Paris"),
        ({"cron": "0 6 * * *", "every": "15m"}, ScheduleError, "not both"),
        ({"zone": "Europe/Paris"}, ScheduleError, "cron, every or monthly"),
        ({"monthly": {"dya": 1}}, ScheduleError, "dya"),
        ({"cron": "0 6 * * *", "start": datetime(2030, 1, 2, tzinfo=UTC), "end": datetime(2030, 1, 1, tzinfo=UTC)},
         ScheduleError, "comes before start"),
        ({"parameters": {"rat": 1}}, ParameterError, "rat"),
        ({"parameters": {"rate": "a"}}, ParameterError, "rate"),
        ({"cron": "0 6 * * *", "queue": "no"}, UnknownQueueError, "no"),
        ({"crom": "0 6 * * *"}, PromotionError, "'cron'|Parameters"),
        ({"executor": "cloud"}, nbflow.NbflowError, "cloud"),
        ({"name": "x" * 65}, PromotionError, "64"),
    ],
    ids=range(12),
)  # fmt: skip
def test_bad_input_is_told_and_nothing_is_stored(book, options, error, told):
    with pytest.raises(error, match=told):
        promote(book, **{**UNCHECKED, **options})
    assert deployments() == []
    assert schedules() == []


@pytest.mark.parametrize(
    ("given", "error"), [("missing.ipynb", NotANotebookError), ("flows", PromotionError), (print, PromotionError)]
)
def test_what_is_no_flow_is_not_promoted(given, error):
    with pytest.raises(error):
        promote(given, **UNCHECKED)


def test_parameters_are_what_json_can_hold(desk):
    path = desk.notebook("a = x", parameters="x = None")
    with pytest.raises(PromotionError, match="'x' is set"):
        promote(path, parameters={"x": {1}}, **UNCHECKED)


# --- checked ---------------------------------------------------------------------------------------------------------


def test_a_notebook_that_does_what_it_did_passes_its_check(book):
    made = promote(book, **MONDAYS)
    assert made.report.passed
    assert made.versions()[0].verdict == "passed"
    assert "the outputs saved in analysis.ipynb" in made.report.text()


def test_a_changed_answer_is_not_scheduled_and_says_why(desk):
    path = desk.notebook(("print(1 + 1)", "3\n"))
    with pytest.raises(CheckFailedError, match=r"(?s)cell 1 shows something else.*recorded: 3.*now: +2"):
        promote(path, **MONDAYS)
    assert deployments() == []


def test_hidden_state_is_not_scheduled_and_says_why(desk):
    path = desk.notebook(("print(rate * 2)", "4\n"))  # `rate` is of a cell that was deleted
    with pytest.raises(CheckFailedError, match="NameError: name 'rate' is not defined"):
        promote(path, **MONDAYS)
    assert deployments() == []


def test_an_override_is_kept_with_its_reason(desk):
    made = promote(desk.notebook(("print(1 + 1)", "3\n")), override="the data changed", **MONDAYS)
    version = made.versions()[0]
    assert (version.verdict, version.reason) == ("overridden", "the data changed")
    assert version.report["steps"][0]["state"] == "different"


def test_what_is_not_checked_is_not_scheduled(book):
    with pytest.raises(CheckFailedError, match="not checked"):
        promote(book, check=False, **MONDAYS)
    made = promote(book, check=False)
    assert (made.versions()[0].verdict, made.schedule) == ("none", None)
    with pytest.raises(CheckFailedError, match="not checked"):
        promote(book, check=False, **MONDAYS)
    assert promote(book, **MONDAYS).versions()[-1].verdict == "passed"


def test_a_flow_is_compared_with_its_latest_run(desk):
    desk.module("compared_flows", COMPARED.format(value=1))
    importlib.import_module("compared_flows").main.run(executor="serial")
    desk.module("compared_flows", COMPARED.format(value=2))
    found = importlib.import_module("compared_flows").main
    with pytest.raises(CheckFailedError, match=r"one#1 shows something else"):
        promote(found)
    assert promote(found, override="2 is right").versions()[0].verdict == "overridden"


# --- steered ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(desk):
    """A deployment with two versions."""
    for value in (1, 2):
        made = promote(desk.notebook(f"x = {value}", parameters="rate = 1"), **MONDAYS, **UNCHECKED)
    return made


def test_new_runs_go_back_to_an_earlier_version(two):
    assert (two.rollback(), two.version) == (1, 1)
    assert (two.rollback(2), two.version) == (2, 2)
    assert [version.current for version in two.versions()] == [False, True]
    two.rollback()
    with pytest.raises(DeploymentError, match="no version before 1"):
        two.rollback()
    with pytest.raises(DeploymentError, match=r"no version 7\. It has 1, 2"):
        two.rollback(7)


def test_after_a_rollback_the_next_version_has_a_new_number(desk, two):
    two.rollback()
    assert promote(desk.notebook("x = 3", parameters="rate = 1"), **UNCHECKED).version == 3


def test_a_schedule_is_paused_resumed_and_taken_away(two):
    two.pause()
    assert two.schedule.paused
    two.resume()
    assert not two.schedule.paused
    two.unschedule()
    assert (two.schedule, two.next()) == (None, [])
    with pytest.raises(DeploymentError, match="has no schedule"):
        two.backfill(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


def test_a_paused_deployment_without_a_schedule_takes_no_events_and_gets_no_schedule_that_fires(desk):
    made = promote(desk.notebook("x = 1", parameters="rate = 1"), **UNCHECKED)
    Triggers.of().add("event", made.name, event="sales")
    made.pause()
    assert made.paused
    assert [(start.outcome, start.job) for start in emit("sales", key="1")] == [("paused", "")]
    assert promote(desk.notebook("x = 2", parameters="rate = 1"), **MONDAYS, **UNCHECKED).schedule.paused
    made.resume()
    assert not made.schedule.paused
    assert [start.outcome for start in emit("sales", key="1")] == ["started"]


def add_runs(made, ends):
    """Store ended runs of a deployment: [(id, state, days since it ended)]."""
    database, now = opened.database(), time.time()
    with database.write() as connection:
        for name, state, days in ends:
            filled = dict.fromkeys(schema.runs.c.keys()) | {
                "id": name, "flow": "analysis", "state": state, "executor": "serial", "workers": 1, "tags": "[]",
                "parameters": "{}", "cwd": ".", "host": "h", "created_at": now - days * 86_400 - 1,
                "finished_at": now - days * 86_400, "deployment": made.name,
            }  # fmt: skip
            connection.execute(schema.runs.insert().values(filled))


def kept_runs(made):
    database = opened.database()
    while database.retrying(lambda connection: retention.remove_old_runs(connection, time.time(), 3)):
        pass
    return sorted(run.id for run in made.runs(100))


def test_runs_are_kept_for_some_days_and_the_last_that_succeeded_for_ever(two):
    ends = [(f"run{days:02d}", "failed" if days < 12 else "succeeded", days) for days in range(1, 20)]
    add_runs(two, ends)
    assert kept_runs(two) == [run for run, _, _ in ends]
    two.keep(days=5.5)
    assert kept_runs(two) == ["run01", "run02", "run03", "run04", "run05", "run12"]
    assert two.kept == {"days": 5.5}


def test_so_many_runs_are_kept_as_asked_for_and_a_new_version_changes_nothing_about_it(desk, two):
    add_runs(two, [(f"run{days:02d}", "succeeded", days) for days in range(1, 20)])
    two.keep(runs=4, days=15)
    promote(desk.notebook("x = 3", parameters="rate = 1"), **UNCHECKED)
    assert kept_runs(two) == ["run01", "run02", "run03", "run04"]
    two.keep()
    assert two.kept == {}


@pytest.mark.parametrize("bounds", [{"runs": 0}, {"days": 0}, {"days": float("nan")}])
def test_bounds_of_what_is_kept_make_sense(two, bounds):
    with pytest.raises(DeploymentError, match="one run at least"):
        two.keep(**bounds)


def test_a_job_is_the_run_that_it_executes(two):
    job = two.trigger({"rate": 2})
    assert job.record.run == job.id.removeprefix("run-")
    assert (job.record.kind, job.record.name) == ("flow", "analysis")
    with nbflow.QueueClient() as client:
        assert [client.job(text).id for text in (job.id, job.id[:-2], "last")] == [job.id] * 3


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [(({"rat": 1},), ParameterError, "Did you mean 'rate'"), ((None, 9), DeploymentError, "It has 1, 2")],
    ids=["parameter", "version"],
)
def test_a_trigger_that_makes_no_sense_puts_nothing_on_the_queue(two, arguments, error, told):
    parameters, *version = arguments
    with pytest.raises(error, match=told):
        two.trigger(parameters, version=version[0] if version else None)
    assert len(nbflow.Queue()) == 0


def test_what_is_removed_is_gone_with_its_schedule(two):
    two.remove()
    assert (deployments(), schedules()) == ([], [])
    with pytest.raises(DeploymentError, match="There is no deployment 'analysis'"):
        two.versions()


def test_a_wrong_name_is_told_with_the_nearest(two):
    with pytest.raises(DeploymentError, match="Did you mean 'analysis'"):
        Deployment("analisys").versions()


def test_a_report_can_be_read_by_programs(book):
    made = promote(book)
    assert json.loads(made.report.json())["passed"] is True
