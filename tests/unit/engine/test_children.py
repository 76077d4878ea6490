"""What becomes of a run when the run that started it ends before it, in one process."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

import nbflow
from nbflow import Run, errors, flow, step
from tests.servers import wait_until

LIVE: dict[str, threading.Event] = {}  # set when a run is to go on, or has begun
LONG = 30.0


@step
def hold():
    LIVE["begun"].set()
    try:
        while not LIVE["go"].wait(0.002):
            pass
    finally:
        LIVE["ended"].set()
    return "held"


@flow
def child():
    return hold()


@step
def spawn(options):
    run = child.submit(executor="threads", **options)
    assert LIVE["begun"].wait(LONG)
    return run.id


@flow
def parent(options):
    return spawn(options)


@flow
def starts_itself(options):
    run = child.submit(executor="threads", **options)
    LIVE["begun"].wait(LONG)
    return run.id


@pytest.fixture(autouse=True)
def _events():
    LIVE.update({name: threading.Event() for name in ("begun", "go", "ended")})
    yield
    LIVE["go"].set()


@pytest.mark.parametrize("started_by", [parent, starts_itself], ids=["a step", "a flow"])
@pytest.mark.parametrize("policy", ["cancel", "terminate"])
def test_a_run_ends_with_the_one_that_started_it_if_that_is_asked_for(started_by, policy):
    run = started_by.run({"on_parent_end": policy}, executor="threads")
    started = Run(run.result())
    assert started.record.parent_run == run.id
    wait_until(lambda: started.state == "cancelled")
    assert LIVE["ended"].wait(LONG)
    wait_until(lambda: {str(task.state) for task in started.tasks()} <= {"cancelled"})


@pytest.mark.parametrize("started_by", [parent, starts_itself], ids=["a step", "a flow"])
def test_a_run_is_left_alone_otherwise(started_by):
    run = started_by.run({}, executor="threads")
    started = Run(run.result())
    assert (started.state, started.record.parent_run) == ("running", run.id)
    LIVE["go"].set()
    wait_until(lambda: started.state == "succeeded")


def test_a_run_that_has_ended_starts_no_run_that_would_end_with_it():
    late = threading.Event()

    @step
    def too_late():
        with suppress(errors.TaskCancelledError):  # it carries on though it was asked to end
            LIVE["begun"].set()
            late.wait(LONG)
        try:
            child.submit(executor="threads", on_parent_end="cancel")
        except errors.TaskCancelledError as error:
            told.append(str(error))
            raise

    @flow
    def outer():
        return too_late()

    told: list[str] = []
    run = outer.submit(executor="threads")
    LIVE["begun"].wait(LONG)
    run.cancel()
    run.wait(LONG)
    late.set()
    wait_until(lambda: bool(told))
    assert f"Run {run.id}, which starts this one of flow 'child', has ended" in told[0]
    assert nbflow.runs(flow="child") == []


def test_what_is_no_policy_is_refused():
    with pytest.raises(errors.ConfigError, match="on_parent_end is one of abandon, cancel, terminate, not 'kill'"):
        child.submit(on_parent_end="kill")
