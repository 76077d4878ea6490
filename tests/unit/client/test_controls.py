"""Buttons of a monitor: what each of them does, and what it says when it cannot."""

from __future__ import annotations

import threading

import pytest

from nbflow import flow, step
from nbflow.client.controls import COMMANDS, Controls
from nbflow.client.run import Run, runs
from nbflow.model.errors import NbflowError, RunActiveError
from nbflow.queue.queue import Queue
from tests.servers import wait_until
from tests.workers import running_worker

BROKEN = threading.Event()


@step
def half(x):
    if BROKEN.is_set():
        raise ValueError("broken")
    return x / 2


@flow
def halving(x):
    return half(half(x))


def fails():
    raise ValueError("always")


def quick():
    return 1


@pytest.fixture
def controls():
    BROKEN.clear()
    return Controls(None)


def ended(run):
    wait_until(lambda: run.state.finished)
    return run


def test_a_run_begins_again_with_its_parameters(controls):
    first = halving.run(8, executor="threads")
    said = controls.act("run_again", first.id)
    again = next(run for run in runs() if run.id != first.id)
    assert said == f"Run {again.id} has begun, with the parameters of {first.id}."
    assert ended(again).result() == 2


def test_a_run_that_failed_goes_on_where_it_stopped(controls):
    BROKEN.set()
    run = halving.run(8, executor="threads")
    assert run.state == "failed"
    BROKEN.clear()
    assert controls.act("retry_run", run.id) == f"Run {run.id} goes on where it stopped."
    found = Run(run.id)
    wait_until(lambda: found.state == "succeeded")


def test_a_run_that_succeeded_is_left_as_it_is(controls):
    run = halving.run(8, executor="threads")
    assert "nothing to go on with" in controls.act("retry_run", run.id)
    assert "had ended before: succeeded" in controls.act("cancel_run", run.id)


def test_a_run_on_the_queue_begins_again_on_the_queue_and_can_be_cancelled(controls):
    first = halving.submit(8, executor="queue")
    said = controls.act("run_again", first.id)
    again = next(run for run in runs() if run.id != first.id)
    assert said == f"Run {again.id} is on the queue."
    with pytest.raises(RunActiveError):
        controls.act("retry_run", again.id)
    assert controls.act("cancel_run", again.id) == f"Run {again.id} is cancelled."
    assert again.state == "cancelled"


def test_a_queue_is_paused_and_opened(controls):
    Queue("mail").create()
    assert controls.act("pause_queue", "mail") == "Queue mail is paused; what runs goes on."
    job = Queue("mail").enqueue(quick)
    with running_worker(concurrency=1):
        Queue().enqueue(quick).wait(30)
        assert not job.finished
        assert controls.act("resume_queue", "mail") == "Queue mail is open."
        assert job.result(30) == 1


def test_a_waiting_job_is_cancelled_once(controls):
    job = Queue().enqueue(quick)
    assert controls.act("cancel_job", job.id) == f"Job {job.id} is cancelled."
    assert controls.act("cancel_job", job.id) == f"Job {job.id} had ended before: cancelled."


def test_the_failed_jobs_of_a_queue_wait_again(controls):
    job = Queue().enqueue(fails)
    with running_worker():
        wait_until(lambda: job.finished)
    assert controls.act("retry_jobs", "default") == "1 failed jobs of queue default wait again."
    assert job.state == "ready"


def test_an_action_that_there_is_not_is_refused(controls):
    with pytest.raises(NbflowError, match="no action"):
        controls.act("__init__", "x")


def test_every_action_has_a_method():
    assert all(callable(getattr(Controls, action)) for action in COMMANDS)
