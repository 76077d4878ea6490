"""How flows end on real workers: cancelled, failed, timed out, or with code that was changed meanwhile."""

from __future__ import annotations

import pytest

from nbflow import Queue, Run, errors
from nbflow.engine.detached import job_of
from nbflow.storage import jobs, opened
from tests.acceptance import worker_flows, worker_jobs
from tests.acceptance.conftest import Project
from tests.acceptance.workers import words
from tests.servers import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("suspended_soon")]
LONG = 250.0  # seconds until a test gives up: on a busy machine processes take long to start
OPEN = ("pending", "ready", "running")


def is_suspended(run):
    return Queue().job(job_of(run.id)).state == "pending"


def named(log, word):
    return sorted(line[1] for line in words(log) if line[0] == word)


def open_jobs(run):
    with opened.database().read() as connection:
        return [record.id for record in jobs.of_run(connection, run.id, OPEN)]


# --- cancelled -------------------------------------------------------------------------------------------------------


def test_cancelling_ends_a_run_with_its_steps_and_its_sub_flows(start_worker, log, go):
    run = worker_flows.outer.submit(str(log), str(go), executor="queue")
    start_worker("-c", "3").ready()
    begun = ["inner0", "inner1", "inner2", "outer"]
    wait_until(lambda: len(named(log, "begin")) == 3, LONG)
    run.cancel("no longer wanted")
    assert run.wait(LONG).state == "cancelled"
    wait_until(lambda: not open_jobs(run), LONG)
    wait_until(lambda: named(log, "end") == named(log, "begin"), LONG)
    assert set(named(log, "begin")) < set(begun)
    assert {str(task.state) for task in run.tasks()} == {"cancelled"}
    assert Queue().enqueue(worker_jobs.add, 1, 2).result(LONG) == 3
    assert "never" not in [line[0] for line in words(log)]


def test_cancelling_ends_a_run_that_is_suspended(start_worker, log):
    run = worker_flows.nap.submit(str(log), 36_000, executor="queue")
    worker = start_worker("-c", "1")
    wait_until(lambda: is_suspended(run) and len(run.tasks()) == 2, LONG)
    worker.kill()
    run.cancel()
    assert (run.state, open_jobs(run)) == ("cancelled", [])
    assert start_worker("--burst").wait() == 0
    assert [line[0] for line in words(log)] == ["before"]


# --- as on processes -------------------------------------------------------------------------------------------------


def story(run):
    """What came of a run and of each of its tasks, try by try."""
    tries = {}
    for attempt in sorted(run.attempts(), key=lambda attempt: (attempt.seq, attempt.number)):
        tries.setdefault(attempt.seq, []).append((attempt.number, attempt.state, attempt.error_type))
    tasks = {task.key: (str(task.state), task.record.error_type, tries[task.record.seq]) for task in run.tasks()}
    return run.result(LONG), tasks


def test_timeouts_and_retries_are_those_of_processes(start_worker, log):
    here = story(worker_flows.troubles.run(str(log), executor="processes", workers=2))
    start_worker("-c", "2")
    away = story(worker_flows.troubles.submit(str(log), executor="queue").wait(LONG))
    assert away == here
    outcomes, tasks = away
    assert [text.partition(":")[0] for text in outcomes] == [
        "StepTimeoutError", "partly", "SoftTimeoutError", "at last", "FileNotFoundError", "StepTimeoutError",
    ]  # fmt: skip
    assert [len(tries) for _, _, tries in tasks.values()] == [1, 1, 1, 3, 1, 2]
    assert len([line for line in words(log) if line[0] == "try"]) == 6


def test_retries_are_counted_on_over_the_death_of_workers(start_worker, log, go):
    run = worker_flows.stubborn.submit(str(log), str(go), executor="queue")
    worker = start_worker("-c", "1")
    wait_until(lambda: len(words(log)) == 3 and is_suspended(run), LONG)
    worker.kill()
    go.touch()
    start_worker("-c", "1")
    assert run.result(LONG) == "tried 4 times"
    assert [(attempt.number, attempt.state) for attempt in run.attempts()] == [
        (1, "failed"), (2, "failed"), (3, "failed"), (4, "succeeded"),
    ]  # fmt: skip


# --- changed code ----------------------------------------------------------------------------------------------------

FLOWS = """
import nbflow
from nbflow import flow, step

def note(name):
    with open("calls.txt", "a") as file:
        file.write(name + "\\n")

@step
def load(x):
    note(f"load{x}")
    return x

@step
def other(x):
    note("other")
    return x

@flow
def waiting():
    first = load(1) + load(2)
    answer = nbflow.receive("answer")
    return [first, answer, nbflow.wait(other(answer))]
"""


@pytest.fixture
def waiting(project: Project, start_worker, monkeypatch, db_url):
    """A run that is suspended, with no worker left, and the project in which its code can be edited."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    project.write("flows_that_change.py", FLOWS)
    run = Run(project.json("run", "flows_that_change.py:waiting", "--detach", "--db", db_url)["run"])
    worker = start_worker("-c", "1")
    wait_until(lambda: [str(task.state) for task in run.tasks()] == ["succeeded"] * 2 and is_suspended(run), LONG)
    worker.kill()
    assert project.calls() == ["load1", "load2"]
    run.send("answer", 42)
    return run, project


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("load(1) + load(2)", "load(1)", "call 2 was 'load#2', now it is '@receive answer#1'"),
        ("load(1) + load(2)", "other(1) + load(2)", "call 1 was 'load#1', now it is 'other#1'"),
        ("load(1) + load(2)", "load(1) + load(3)", "call 2 was 'load#2', now it is given other arguments"),
    ],
    ids=["a call less", "another step", "other arguments"],
)
def test_a_flow_function_that_changed_while_it_was_suspended_is_told(waiting, start_worker, old, new, told):
    run, project = waiting
    project.edit("flows_that_change.py", old, new)
    start_worker("-c", "1")
    with pytest.raises(errors.PathChangedError, match=told) as raised:
        run.result(LONG)
    assert "take time, random numbers and outside data from steps" in str(raised.value)
    assert "start a new run: steps with cache=True keep their results" in str(raised.value)
    assert project.calls() == []


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("return x", "return 2 * x", [3, 42, 84]),
        ("return [first", "return ['more', first", ["more", 3, 42, 42]),
        ("answer = nb", "# what was asked\n    answer = nb", [3, 42, 42]),
    ],
    ids=["the steps", "what comes after", "a comment"],
)
def test_what_is_done_stays_so_though_the_code_of_what_follows_is_new(waiting, start_worker, old, new, result):
    run, project = waiting
    text = (project.folder / "flows_that_change.py").read_text()
    project.write("flows_that_change.py", text.replace(old, new))
    start_worker("-c", "1")
    assert run.result(LONG) == result
    assert project.calls() == ["other"]


def test_a_run_whose_end_could_not_be_recorded_goes_on_later(start_worker, tmp_path):
    """Its process learns at the end that the run is not its own any more, and nobody else has it."""
    start_worker("-c", "1")
    run = worker_flows.robbed.submit(str(tmp_path / "flag"), executor="queue")
    assert run.result(LONG) == "kept"
    assert run.state == "succeeded"
    wait_until(lambda: not open_jobs(run), LONG)
