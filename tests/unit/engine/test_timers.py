"""Limits in time of steps and flows, in virtual time: nothing here waits for the clock of the machine."""

from __future__ import annotations

import os
import threading
from queue import Queue as Line

import pytest

import nbflow
from nbflow import errors, flow, heartbeat, step, wait
from nbflow.testing.clock import VirtualClock
from tests.servers import wait_until


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def go():
    """Lets steps end that wait for it."""
    event = threading.Event()
    yield event
    event.set()


def wait_for(run, name, state):
    """Wait until a task is in a state; returns its error's text."""
    wait_until(lambda: any(task.name == name and task.state == state for task in run.tasks()))
    return run[name].record.error_message


def retry_until_done(run, clock):
    """Let time pass whenever a run waits for nothing but its next try."""
    retries = run._session.engine.attempts.retries
    wait_until(lambda: run._session.done.is_set() or (bool(retries) and clock.jump() and False))


def loop(begun, go):
    """Run until the event, in such small steps that it can be interrupted."""
    begun.set()
    while not go.wait(0.002):
        pass
    return "done"


# --- until when a step may begin -------------------------------------------------------------------------------------


def test_a_step_for_which_there_is_no_place_in_time_is_not_begun(clock, go):
    begun, called = threading.Event(), []

    @step
    def busy():
        return loop(begun, go)

    @step(expires=10)
    def late():
        called.append(1)

    @flow
    def crowded():
        first = busy()
        begun.wait(30)
        with pytest.raises(errors.JobExpiredError, match=r"10 seconds from when it became ready \(late#1\)"):
            wait(late())
        return wait(first)

    run = crowded.submit(executor="threads", workers=1, clock=clock)
    wait_for(run, "late", "ready")
    clock.advance(9.9)
    assert run["late"].state == "ready"
    clock.advance(0.1)
    wait_for(run, "late", "expired")
    assert run["busy"].state == "running"
    go.set()
    assert run.result(30) == "done"
    assert (called, run["late"].record.started_at) == ([], None)
    assert [attempt.state for attempt in run.attempts()] == ["succeeded", "expired"]


def test_a_step_that_has_begun_does_not_expire(clock, go):
    begun = threading.Event()

    @step(expires=10)
    def slow():
        return loop(begun, go)

    @flow
    def patient():
        return slow()

    run = patient.submit(executor="threads", clock=clock)
    begun.wait(30)
    clock.advance(1_000)
    go.set()
    assert run.result(30) == "done"


def test_the_time_begins_when_the_inputs_are_there(clock, go):
    begun = threading.Event()

    @step
    def first():
        return loop(begun, go)

    @step(expires=10, deadline=10)
    def second(value):
        return value

    @flow
    def chain():
        return second(first())

    run = chain.submit(executor="threads", clock=clock)
    begun.wait(30)
    clock.advance(1_000)
    go.set()
    assert run.result(30) == "done"


def test_a_retry_does_not_expire(clock):
    tries = []

    @step(expires=10, retries=1, delay=3_600)
    def again():
        tries.append(clock.time())
        if len(tries) < 2:
            raise OSError("later")
        return len(tries)

    @flow
    def patient():
        return again()

    run = patient.submit(executor="threads", clock=clock)
    retry_until_done(run, clock)
    assert run.result(30) == 2


# --- until when it has to be over ------------------------------------------------------------------------------------


def test_no_retry_begins_after_the_deadline(clock):
    tries = []

    @step(deadline=100, retries=10, delay=30)
    def failing():
        tries.append(clock.time())
        raise OSError("no answer")

    @flow
    def stubborn():
        return failing()

    run = stubborn.submit(executor="threads", clock=clock)
    retry_until_done(run, clock)
    assert [time - tries[0] for time in tries] == [0, 30, 60, 90]
    assert run["failing"].state == "timed_out"
    with pytest.raises(errors.StepTimeoutError, match="reached its deadline of 100 seconds") as raised:
        run.result()
    assert "before its next try; the last one ended with OSError: no answer" in str(raised.value)
    assert isinstance(raised.value.__cause__, OSError)
    assert [attempt.state for attempt in run.attempts()] == ["failed"] * 4


def test_an_attempt_gets_no_more_time_than_is_left(clock, go):
    begun = threading.Event()

    @step(deadline=100, timeout=80, retries=5)
    def slow():
        return loop(begun, go)

    @flow
    def stubborn():
        return slow()

    run = stubborn.submit(executor="threads", clock=clock)
    for seconds in (80, 20):
        begun.wait(30)
        begun.clear()
        clock.advance(seconds)
    assert run.wait(30)["slow"].state == "timed_out"
    tries = run.attempts()
    assert [attempt.state for attempt in tries] == ["timed_out"] * 2
    assert "its timeout of 80 seconds" in tries[0].error_message
    assert "its deadline of 100 seconds" in tries[1].error_message
    assert run["slow"].record.error_message == tries[1].error_message


def test_a_step_that_waits_for_a_place_ends_at_its_deadline_too(clock, go):
    begun = threading.Event()

    @step
    def busy():
        return loop(begun, go)

    @step(deadline=50)
    def late():
        return "never"

    @flow
    def crowded():
        first = busy()
        begun.wait(30)
        second = late()
        return wait(first), second

    run = crowded.submit(executor="threads", workers=1, clock=clock)
    wait_for(run, "late", "ready")
    clock.advance(50)
    assert "its deadline of 50 seconds" in wait_for(run, "late", "timed_out")


# --- signs of life ---------------------------------------------------------------------------------------------------


def test_a_step_goes_on_as_long_as_it_gives_signs_of_life(clock):
    orders, answers = Line(), Line()

    @step(heartbeat_timeout=10)
    def working():
        while orders.get(timeout=30) == "beat":
            answers.put(heartbeat())
        begun = threading.Event()
        return loop(begun, threading.Event())

    @flow
    def watched():
        return working()

    run = watched.submit(executor="threads", clock=clock)
    for _ in range(5):
        orders.put("beat")
        assert answers.get(timeout=30) is True
        clock.advance(9)
    orders.put("be silent")
    clock.advance(2)
    assert "heartbeat_timeout of 10 seconds" in wait_for(run.wait(30), "working", "timed_out")


def test_a_step_that_was_silent_is_retried_if_that_is_asked_for(clock, go):
    tries = []

    @step(heartbeat_timeout=10, retries=1, retry_on=TimeoutError)
    def silent_once():
        tries.append(1)
        return loop(begun, go) if len(tries) == 1 else "spoke"

    @flow
    def watched():
        return silent_once()

    begun = threading.Event()
    run = watched.submit(executor="threads", clock=clock)
    begun.wait(30)
    clock.advance(10)
    assert run.result(30) == "spoke"


# --- how long a flow may take ----------------------------------------------------------------------------------------


def test_a_flow_that_takes_too_long_ends_with_all_that_it_called(clock, go):
    begun = threading.Event()

    @step
    def slow():
        return loop(begun, go)

    @step
    def after(value):
        return value

    @flow(timeout=60)
    def long():
        return after(slow())

    run = long.submit(executor="threads", clock=clock)
    begun.wait(30)
    wait_for(run, "after", "pending")
    clock.advance(60)
    assert run.wait(30).state == "timed_out"
    with pytest.raises(errors.StepTimeoutError, match=f"'long' took longer than its timeout of 60 .*{run.id}"):
        run.result()
    assert {task.key: str(task.state) for task in run.tasks()} == {
        "slow#1": "cancelled", "after#1": "cancelled",
    }  # fmt: skip


def test_a_flow_that_sleeps_or_listens_is_told_too(clock):
    told = []

    @flow(timeout=60)
    def sleeping(wait_in):
        try:
            wait_in()
        except errors.StepTimeoutError as error:
            told.append(str(error))
            raise

    for wait_in in (lambda: nbflow.sleep(3_600), lambda: nbflow.receive("word")):
        run = sleeping.submit(wait_in, executor="threads", clock=clock)
        wait_until(lambda run=run: bool(run._session.engine.waiting.count()))
        clock.advance(60)
        assert run.wait(30).state == "timed_out"
    assert len(told) == 2


def test_a_flow_calls_nothing_more_when_its_time_is_up(clock, go):
    begun, called = threading.Event(), []

    @step
    def slow():
        return loop(begun, go)

    @step
    def note():
        called.append(1)

    @flow(timeout=60)
    def busy():
        try:
            wait(slow())
        except errors.TaskError:
            note()
        return "carried on"

    run = busy.submit(executor="threads", clock=clock)
    begun.wait(30)
    clock.advance(60)
    assert (run.wait(30).state, called) == ("timed_out", [])


def test_a_sub_flow_that_takes_too_long_leaves_its_siblings_alone(clock, go):
    begun, both = threading.Event(), threading.Barrier(2)

    @step
    def slow(name):
        both.wait(30)
        return f"{name} {loop(begun, go)}"

    @flow(timeout=60)
    def short():
        return slow("short")

    @flow(timeout=6_000)
    def enough():
        return slow("enough")

    @flow
    def outer():
        results = [short(), enough()]
        with pytest.raises(errors.StepTimeoutError, match=r"'short' took longer .* 60 seconds \(short#1\)"):
            wait(results[0])
        go.set()
        return wait(results[1])

    run = outer.submit(executor="threads", workers=2, clock=clock)
    begun.wait(30)
    clock.advance(60)
    assert run.result(30) == "enough done"
    assert {task.key: str(task.state) for task in run.tasks()} == {
        "short#1": "timed_out", "short#1/slow#1": "cancelled", "enough#1": "succeeded", "enough#1/slow#1": "succeeded",
    }  # fmt: skip


def test_a_cancelled_flow_that_sleeps_ends_at_once(clock):
    @flow
    def sleeping():
        nbflow.sleep(3_600)

    run = sleeping.submit(executor="threads", clock=clock)
    wait_until(lambda: bool(run._session.engine.waiting.count()))
    run.cancel("enough")
    assert run.wait(30).state == "cancelled"


def test_a_run_that_is_resumed_by_somebody_has_all_its_time_once_more(clock, go):
    begun = threading.Event()

    @step
    def slow():
        return loop(begun, go)

    @flow(timeout=60)
    def long():
        return slow()

    run = long.submit(executor="threads", clock=clock)
    begun.wait(30)
    clock.advance(60)
    assert run.wait(30).state == "timed_out"
    go.set()
    assert long.resume(run.id, clock=clock).result() == "done"


# --- what they are not: part of what a step is ------------------------------------------------------------------------


@step(cache=True)
def counted(path):
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path)


@step
def there(path):
    with open(path):
        return True


def whole_of(made):
    """The same flow, with another form of one step."""

    @flow
    def whole(path):
        return [made(path), there(f"{path}.go")]

    return whole


def test_other_limits_do_not_make_a_finished_step_run_anew(tmp_path):
    path = tmp_path / "calls"
    run = whole_of(counted).run(str(path))
    assert run.state == "failed"
    (tmp_path / "calls.go").touch()
    limited = counted.with_options(timeout=50, expires=60, deadline=70, heartbeat_timeout=40)
    assert whole_of(limited).resume(run.id).result() == [1, True]
    assert whole_of(limited).run(str(path)).result() == [1, True]
