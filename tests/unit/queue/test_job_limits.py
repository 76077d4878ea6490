"""Deadlines and heartbeats of jobs, those of steps too."""

from __future__ import annotations

import pytest

from nbflow import step
from nbflow.model.errors import ConfigError, JobExpiredError, StepTimeoutError
from tests.servers import wait_until
from tests.unit.queue.jobs import add, until
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def with_deadline(seconds):
    return step(deadline=seconds, retries=10)(add)


# --- deadlines -------------------------------------------------------------------------------------------------------


def test_no_try_begins_after_the_deadline(table):
    job = table.enqueue(function=with_deadline(100))
    for _ in range(3):
        table.clock.advance(30)
        assert table.claim() == [job]
        table.end(job, error=OSError("gone"), again=table.later(30))
    assert table.state(job) == "timed_out"
    with pytest.raises(StepTimeoutError, match=f"its deadline of 100 seconds .*OSError: gone .job {job}") as raised:
        table.job(job).result()
    assert "before its next try" in str(raised.value)


def test_a_job_that_waits_for_its_next_try_ends_at_its_deadline(table):
    job = table.enqueue(function=with_deadline(100))
    table.claim()
    table.put_off(job, 10)
    table.clock.advance(99)
    table.tick()
    assert table.state(job) == "ready"
    table.clock.advance(1)
    assert (table.claim(), table.state(job)) == ([], "timed_out")


def test_the_deadline_counts_from_when_a_job_is_due(table):
    job = table.enqueue(function=with_deadline(100), eta=50)
    table.clock.advance(120)
    assert table.claim() == [job]
    assert table.hand[job].deadline == (table.clock.time() + 100, 100), "a worker saw only now that it is due"
    table.put_off(job, 99)
    assert table.state(job) == "pending"


def test_a_requeued_job_has_all_its_time_once_more(table):
    job = table.enqueue(function=with_deadline(100))
    table.claim()
    table.clock.advance(90)
    table.put_off(job, 30)
    assert table.state(job) == "timed_out"
    table.clock.advance(1_000)
    table.broker.requeue([job])
    assert table.claim() == [job]
    table.put_off(job, 30)
    assert table.state(job) == "pending"


# --- until when a step may begin -------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [None, 50])
def test_a_step_that_is_a_job_expires_as_it_says(table, eta):
    job = table.enqueue(function=step(expires=10)(add), eta=eta)
    table.clock.advance((eta or 0) + 9.9)
    table.tick()
    assert table.state(job) == "ready"
    table.clock.advance(0.2)
    table.tick()
    assert table.state(job) == "expired"


def test_a_call_says_otherwise_when_it_has_to_begin(table):
    job = table.enqueue(function=step(expires=10)(add), expires=100)
    table.clock.advance(99)
    assert table.claim() == [job]


# --- signs of life ---------------------------------------------------------------------------------------------------


def test_a_silent_job_is_ended_and_tried_again_if_that_is_asked_for(queue, workers, log, tmp_path):
    go = tmp_path / "go"
    silent = queue.with_options(heartbeat_timeout=0.5, retries=1, retry_on=TimeoutError)
    job = silent.enqueue(until, log.path, "silent", str(go))
    workers.start()
    wait_until(lambda: job.finished)
    assert (str(job.state), log.names()) == ("timed_out", ["silent"] * 2)
    with pytest.raises(StepTimeoutError, match=r"heartbeat_timeout of 0\.5 seconds"):
        job.result()


def test_limits_that_contradict_each_other_are_refused(queue):
    with pytest.raises(ConfigError, match=r"timeout \(5 s\) has to be longer than heartbeat_timeout \(9 s\)"):
        queue.with_options(timeout=5, heartbeat_timeout=9).enqueue(add, 1)
    with pytest.raises(ConfigError, match="heartbeat_timeout is a positive number"):
        queue.with_options(heartbeat_timeout=0)


def test_a_step_that_expires_as_a_job_says_so(queue, workers):
    job = queue.enqueue(step(expires=1e-6)(add), 1)
    workers.burst()
    with pytest.raises(JobExpiredError, match="'add' was not begun in time"):
        job.result()
