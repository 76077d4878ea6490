"""Flows whose time is up though they are suspended, and what becomes of runs that a run started, on real workers."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from nbflow import Queue, Run, errors, runs
from nbflow.engine.detached import job_of
from nbflow.storage import bells, jobs, opened, schema
from tests.acceptance import limited_flows
from tests.acceptance.workers import words
from tests.servers import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("suspended_soon")]
LONG = 250.0  # seconds until a test gives up: on a busy machine processes take long to start
OPEN = ("pending", "ready", "running")


def is_suspended(run):
    return Queue().job(job_of(run.id)).state == "pending"


def open_jobs(run):
    with opened.database().read() as connection:
        return [record.id for record in jobs.of_run(connection, run.id, OPEN)]


def noted(log, word):
    return sorted(line[1] for line in words(log) if line[0] == word)


def states(run):
    return {task.key: str(task.state) for task in run.tasks() if task.record.kind != "record"}


def let_pass(run, seconds):
    """Make a suspended run believe that so much time has passed; not while a worker looks whether it can go on."""
    wait_until(lambda: _is_let_pass(run, seconds), LONG)


def _is_let_pass(run, seconds):
    with bells.ringing(opened.database(), bells.JOBS) as connection:
        suspended = (schema.jobs.c.id == job_of(run.id)) & (schema.jobs.c.state == "pending")
        if not connection.execute(update(schema.jobs).where(suspended).values(state="pending")).rowcount:  # locks it
            return False
        for table, mine in ((schema.runs, schema.runs.c.id), (schema.tasks, schema.tasks.c.run)):
            earlier = update(table).where(mine == run.id, table.c.started_at.is_not(None))
            connection.execute(earlier.values(started_at=table.c.started_at - seconds))
        record = jobs.get(connection, [job_of(run.id)])[job_of(run.id)]
        policy = json.loads(record.policy)
        policy["ends"] = [(at - seconds, key) for at, key in policy.get("ends", ())]
        sooner = {
            name: getattr(record, name) - seconds
            for name in ("due_at", "expires_at")
            if getattr(record, name) is not None
        }
        jobs.change(connection, record.id, policy=json.dumps(policy), **sooner)
    return True


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_suspended_run_ends_when_its_time_is_up(start_worker, log, go):
    run = limited_flows.restful.submit(str(log), str(go), executor="queue")
    start_worker("-c", "1")  # whose place is taken by a step that has to be ended
    wait_until(lambda: noted(log, "begin") and is_suspended(run) and len(run.tasks()) == 2, LONG)
    due = Queue().job(job_of(run.id)).record.due_at
    assert abs(due - run.record.started_at - limited_flows.HOUR) < 1.0
    let_pass(run, limited_flows.HOUR)
    assert run.wait(LONG).state == "timed_out"
    with pytest.raises(errors.StepTimeoutError, match="flow 'restful' took longer than its timeout of 3600 seconds"):
        run.result()
    wait_until(lambda: not open_jobs(run) and noted(log, "end") == ["held"], LONG)
    assert states(run) == {"hold#1": "cancelled"}
    assert "never" not in [line[0] for line in words(log)]


def test_a_run_whose_time_is_up_while_no_worker_lives_ends_with_the_next_one(start_worker, log, go):
    run = limited_flows.restful.submit(str(log), str(go), executor="queue")
    worker = start_worker("-c", "1")
    wait_until(lambda: is_suspended(run) and len(run.tasks()) == 2, LONG)
    worker.kill()
    let_pass(run, limited_flows.HOUR)
    start_worker("-c", "1")
    assert run.wait(LONG).state == "timed_out"


def test_a_suspended_sub_flow_ends_when_its_time_is_up_and_the_flow_goes_on(start_worker, log, go):
    run = limited_flows.outing.submit(str(log), str(go), executor="queue")
    start_worker("-c", "2")  # whose places are taken by steps that have to be ended
    wait_until(lambda: noted(log, "begin") == ["corner", "nook"] and is_suspended(run), LONG)
    let_pass(run, limited_flows.HOUR)
    assert run.result(LONG) == "went on home"
    assert states(run) == {
        "nook#1": "timed_out", "nook#1/hold#1": "cancelled", "nook#1/corner#1": "cancelled",
        "nook#1/corner#1/hold#1": "cancelled", "tell#1": "succeeded", "tell#2": "succeeded",
    }  # fmt: skip
    wait_until(lambda: noted(log, "end") == ["corner", "nook"], LONG)


def test_a_sub_flow_that_ended_in_time_is_not_late_when_it_is_replayed(start_worker):
    run = limited_flows.after_broken.submit(executor="queue")
    start_worker("-c", "1")
    wait_until(lambda: is_suspended(run) and states(run) == {"broken#1": "failed"}, LONG)
    let_pass(run, 2 * limited_flows.HOUR)
    run.send("word", "later")
    assert run.result(LONG) == ["ValueError", "later"]


def test_a_flow_function_that_computes_for_too_long_is_ended(start_worker, log):
    run = limited_flows.musing.submit(str(log), executor="queue")
    start_worker("-c", "1")
    assert run.wait(LONG).state == "timed_out"
    with pytest.raises(errors.StepTimeoutError, match=r"decision_timeout of 5 seconds .* Move the work into steps"):
        run.result()


# --- runs that a run started -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "state", "tidied"),
    [("abandon", "succeeded", []), ("cancel", "cancelled", ["up"]), ("terminate", "cancelled", [])],
)
def test_a_run_becomes_what_was_asked_for_when_the_one_that_started_it_ends(
    start_worker, log, go, policy, state, tidied
):
    start_worker("-c", "3").ready()
    run = limited_flows.parent.submit(str(log), str(go), policy, executor="queue")
    child = Run(run.result(LONG))
    assert child.record.parent_run == run.id
    if policy == "abandon":
        assert child.state == "running"
        go.touch()
    assert child.wait(LONG).state == state
    wait_until(lambda: not open_jobs(child), LONG)
    wait_until(lambda: noted(log, "tidied") == tidied, LONG)
    assert noted(log, "end") == ([] if policy == "terminate" else ["child"])


@pytest.mark.parametrize("policy", ["abandon", "cancel"])
def test_cancelling_a_run_is_an_end_like_any_other(start_worker, log, go, policy):
    start_worker("-c", "3").ready()
    run = limited_flows.waiting_parent.submit(str(log), str(go), policy, executor="queue")
    wait_until(lambda: noted(log, "begin") == ["child", "parent"], LONG)
    child = Run(run["spawn"].result())
    run.cancel()
    if policy == "abandon":
        go.touch()
    assert child.wait(LONG).state == ("succeeded" if policy == "abandon" else "cancelled")


def test_a_flow_function_starts_one_run_however_often_it_is_replayed(start_worker, log):
    start_worker("-c", "1").ready()
    run = limited_flows.starter.submit(str(log), executor="queue")
    wait_until(lambda: is_suspended(run) and len(words(log)) == 1, LONG)
    for word in ("first", "second"):
        run.send("word", word)
        wait_until(lambda word=word: word in repr([task.result() for task in run.tasks()]), LONG)
    started, *taken = run.result(LONG)
    assert taken == ["first", "second"]
    assert [(each.id, each.record.parent_run) for each in runs(flow="quick")] == [(started, run.id)]
    assert Run(started).result(LONG) == "done"


# --- remembered ------------------------------------------------------------------------------------------------------


def test_a_cached_step_is_computed_once_for_all_runs_on_workers(start_worker, log):
    start_worker("-c", "2").ready()
    first = limited_flows.squares.submit(str(log), [2, 3], executor="queue")
    assert first.result(LONG) == [4, 9]
    second = limited_flows.squares.submit(str(log), [3, 2, 4], executor="queue")
    assert second.result(LONG) == [9, 4, 16]
    assert noted(log, "computed") == ["2", "3", "4"]
    assert [task.record.cached_from is not None for task in second.tasks()] == [True, True, False]
    assert second.tasks()[0].record.cached_from.startswith(first.id)
