"""Flows that wait on workers for what is no task: a time, a signal; and flows that change while they wait."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta

import pytest

import nbflow
from nbflow import Queue, errors, flow, settings, step
from nbflow.engine import session
from nbflow.engine.detached import job_of
from nbflow.engine.session import RunOptions
from nbflow.testing.clock import VirtualClock
from tests.acceptance import worker_flows, worker_jobs
from tests.acceptance.workers import ROOT, words
from tests.servers import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("suspended_soon")]
LONG = 250.0  # seconds until a test gives up: on a busy machine processes take long to start


def is_suspended(run):
    return Queue().job(job_of(run.id)).state == "pending"


def is_asleep(run):
    return is_suspended(run) and Queue().job(job_of(run.id)).record.due_at is not None


def noted(log):
    return [line[0] for line in words(log)]


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_flow_that_sleeps_leaves_its_place_to_others(start_worker, log):
    run = worker_flows.nap.submit(str(log), 36_000, executor="queue")
    start_worker("-c", "1").ready()
    wait_until(lambda: is_asleep(run), LONG)
    job = Queue().enqueue(worker_jobs.add, 1, 2)
    assert job.result(LONG) == 3
    assert is_asleep(run)
    assert not run.interrupted


def test_a_flow_that_sleeps_goes_on_in_time_though_its_worker_is_another(start_worker, log):
    run = worker_flows.nap.submit(str(log), 3, executor="queue")
    worker = start_worker("-c", "1")
    wait_until(lambda: is_asleep(run), LONG)
    worker.kill()
    until = run["@sleep"].result()
    start_worker("-c", "1")
    assert run.result(LONG) == 2
    assert noted(log) == ["before", "after"]
    assert run["@sleep"].result() == until <= run["tell#2"].record.started_at


@step
def moment(clock_name: str) -> str:
    return clock_name


@flow
def patient() -> list[str]:
    first = nbflow.wait(moment("before"))
    nbflow.sleep(timedelta(days=365))
    return [first, moment("after")]


def go_on(run, clock):
    """Go on with a run as its job does, time running fast until it is left or ends."""
    options = RunOptions(clock=clock, executor="threads", suspend_after=5.0)
    live, args, kwargs = session.resume(run.id, options, patient.spec)
    thread = threading.Thread(target=live.execute, args=(args, kwargs))
    thread.start()
    while not live.done.wait(0.01):
        clock.advance(1)
    thread.join()
    return live.outcome


def test_a_run_may_last_a_year():
    clock = VirtualClock()
    run = patient.submit(executor="queue")
    until = go_on(run, clock).error.until
    clock.advance(364 * 86_400)
    assert go_on(run, clock).error.until == until
    clock.advance(86_400)
    assert go_on(run, clock).value == ["before", "after"]
    assert run.state == "succeeded"
    assert {task.name: task.record.attempts for task in run.tasks()} == {"moment": 1, "@sleep": 0}


# --- signals ---------------------------------------------------------------------------------------------------------


def send(run, *signals):
    """Send signals from another process, as (name, value, key)."""
    lines = [f"print(run.send({name!r}, {value!r}, key={key!r}))" for name, value, key in signals]
    code = "\n".join(["import nbflow, sys", "run = nbflow.Run(sys.argv[1], db=sys.argv[2])", *lines])
    command = [sys.executable, "-c", code, run.id, settings.current().db]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def test_a_run_that_waits_is_woken_by_a_signal_of_another_process(start_worker):
    run = worker_flows.listen.submit(["word", "other", "word"], executor="queue")
    start_worker("-c", "1")
    wait_until(lambda: is_suspended(run), LONG)
    assert send(run, ("word", {"a": 1}, None), ("word", "second", None)) == ["True", "True"]
    wait_until(lambda: is_suspended(run) and len(run.tasks()) == 1, LONG)
    assert send(run, ("other", None, None)) == ["True"]
    assert run.result(LONG) == [{"a": 1}, None, "second"]


def test_what_was_sent_before_a_run_waits_for_it_is_there_at_once(start_worker):
    run = worker_flows.listen.submit(["word", "word", "word"], 0.2, executor="queue")
    assert send(run, ("word", 1, "once"), ("word", 2, "once"), ("word", 3, None)) == ["True", "False", "True"]
    start_worker("-c", "1")
    assert run.result(LONG) == [1, 3, "nobody"]
    with pytest.raises(errors.RunFailedError, match="takes no signals"):
        run.send("word", 4)


def test_each_signal_is_taken_once_though_many_wait_and_all_are_left_again_and_again(start_worker, log):
    run = worker_flows.listeners.submit(str(log), 4, executor="queue")
    for _ in range(2):
        start_worker("-c", "2")
    for number in range(8):
        wait_until(lambda: is_suspended(run), LONG)
        run.send("word", number)
    assert sorted(value for pair in run.result(LONG) for value in pair) == list(range(8))
    assert len(noted(log)) == 4
    assert set(Counter(noted(log)).values()) == {1}


def test_no_signal_is_missed_however_it_meets_the_moment_of_suspension(start_worker, monkeypatch):
    monkeypatch.setenv("NBFLOW_SUSPEND_AFTER", "0.001")
    count = 30
    run = worker_flows.listen.submit(["word"] * count, executor="queue")
    start_worker("-c", "1")
    for number in range(count):
        wait_until(lambda number=number: len(run.tasks()) >= number, LONG)
        run.send("word", number)
    assert run.result(LONG) == list(range(count))
