"""Cancelling, revoking and aborting: what becomes of a job in each state, of whom it concerns, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nbflow import step
from nbflow.model.errors import ConfigError, JobNotFoundError, TaskCancelledError
from nbflow.queue import upkeep
from nbflow.queue.options import Limit
from nbflow.running.context import heartbeat
from tests.servers import wait_until
from tests.unit.queue.jobs import _NEVER, SideLog, add, stubborn, until, write
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def running(table, **options):
    job = table.enqueue(**options)
    table.claim()
    return job


def ended(table, **how):
    job = running(table)
    table.end(job, **how)
    return job


def suspended(table):
    job = running(table)
    table.suspend(job, 1_000)
    return job


def put_off(table):
    job = running(table)
    table.put_off(job, 1_000)
    return job


def expired(table):
    job = table.enqueue(expires=1)
    table.clock.advance(1)
    table.tick()
    return job


def cancelled(table):
    job = table.enqueue()
    table.job(job).cancel()
    return job


MAKE = {
    "ready": lambda table: table.enqueue(),
    "delayed": lambda table: table.enqueue(eta=1_000),
    "waits for another": lambda table: table.enqueue(after=table.enqueue(eta=1_000)),
    "waits for a lock": lambda table: running(table, lock="l") and table.enqueue(lock="l"),
    "waits to be tried again": put_off,
    "suspended": suspended,
    "running": running,
    "succeeded": ended,
    "failed": lambda table: ended(table, error=ValueError("no")),
    "timed out": lambda table: ended(table, state="timed_out"),
    "expired": expired,
    "cancelled": cancelled,
}
BEFORE = {
    "ready": "ready", "running": "running", "succeeded": "succeeded", "failed": "failed", "timed out": "timed_out",
    "expired": "expired", "cancelled": "cancelled",
}  # fmt: skip
FINISHED = ("succeeded", "failed", "timed out", "expired", "cancelled")


# --- cancelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_cancelling_ends_what_waits_marks_what_runs_and_leaves_what_has_ended(table, name):
    job = MAKE[name](table)
    before = table.job(job).record
    assert str(table.job(job).cancel("not needed")) == BEFORE.get(name, "pending")
    after = table.job(job).record
    if name in FINISHED:
        assert after == before
    elif name == "running":
        assert (after.state, after.abort) == ("running", 1)
    else:
        assert (after.state, after.finished_at) == ("cancelled", table.clock.time())
        with pytest.raises(TaskCancelledError, match=f"was cancelled: not needed \\({job}\\)"):
            table.job(job).result()
    table.clock.advance(2_000)
    assert job not in table.claim()


def test_cancelling_what_there_is_not_says_so(queue):
    with pytest.raises(JobNotFoundError, match="There is no job 'nothing'"):
        queue.job("nothing").cancel()


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda table, job: table.fail(job), "cancelled"),
        (lambda table, job: table.end(job, state="cancelled"), "cancelled"),
        (lambda table, job: table.end(job, state="timed_out"), "cancelled"),
        (lambda table, job: table.put_off(job, 5), "cancelled"),
        (lambda table, job: table.suspend(job, 5), "cancelled"),
        (lambda table, job: table.end(job, error=OSError("gone"), exit=-9), "cancelled"),
        (lambda table, job: table.end(job), "succeeded"),
    ],
    ids=["fails", "is interrupted", "is too late", "wants another try", "is suspended", "is killed", "succeeds"],
)
def test_a_running_job_that_was_cancelled_ends_however_it_ends(table, end, state):
    job = running(table, lock="l", retries=3)
    waits = table.enqueue(lock="l")
    table.job(job).cancel()
    end(table, job)
    record = table.job(job).record
    assert (record.state, record.abort) == (state, 0)
    table.clock.advance(10)
    assert table.claim() == [waits]


def test_a_cancelled_job_that_is_requeued_runs(table):
    jobs = [cancelled(table), running(table)]
    table.job(jobs[1]).cancel()
    table.fail(jobs[1])
    assert table.states(jobs) == ["cancelled", "cancelled"]
    for job in jobs:
        table.job(job).requeue()
    assert table.drain() == jobs


# --- revoking one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MAKE if name not in FINISHED])
def test_revoking_one_keeps_it_from_beginning_whatever_it_waits_for(table, name):
    job = MAKE[name](table)
    table.job(job).revoke()
    others = [each for each in table.hand if each != job]
    table.end(*others)
    if name == "running":
        table.fail(job)  # it had begun
        assert table.state(job) == "failed"
        return
    table.clock.advance(2_000)
    while found := table.claim():
        assert job not in found
        table.end(*found)
    record = table.job(job).record
    assert (record.state, record.error_message) == ("cancelled", f"'add' was revoked before it began ({job}).")


def test_a_revoked_job_has_no_start_and_no_try_and_leaves_its_places(table):
    first = table.enqueue(limits=Limit("k", 1))
    second = table.enqueue(limits=Limit("k", 1))
    table.job(first).revoke()
    table.claim()
    record = table.job(first).record
    assert (record.state, record.attempt, record.started_at) == ("cancelled", 0, None)
    assert table.job(first).attempts() == []
    assert table.claim() == [second]


def test_an_id_can_be_revoked_before_there_is_a_job(table, queue):
    id_ = queue.new_id()
    queue.job(id_).revoke()
    assert table.enqueue(id=id_) == id_
    other = table.enqueue()
    assert (table.claim(), table.state(id_)) == ([other], "cancelled")


def test_a_revocation_may_end(table):
    jobs = [table.enqueue() for _ in range(2)]
    for job, until_ in zip(jobs, (60, timedelta(seconds=120)), strict=True):
        table.job(job).revoke(until=until_)
    table.clock.advance(60)
    assert table.claim() == jobs[:1]
    assert table.state(jobs[1]) == "cancelled", "its worker came upon it too early"


def test_a_revocation_for_once_is_over_with_it(table):
    job = table.enqueue()
    table.job(job).revoke(once=True)
    assert table.claim() == []
    table.job(job).requeue()
    assert table.claim() == [job]


def test_a_revocation_for_good_holds_for_what_is_requeued_until_it_is_taken_back(table):
    job = table.enqueue()
    table.job(job).revoke()
    for _ in range(2):
        assert table.claim() == []
        table.job(job).requeue()
    assert (table.job(job).restore(), table.job(job).restore()) == (True, False)
    assert table.claim() == [job]


# --- revoking all of a function --------------------------------------------------------------------------------------


@step(name="report")
def reported(x):
    return x


@pytest.mark.parametrize("target", [reported, "report"], ids=["function", "name"])
def test_revoking_a_function_concerns_all_its_jobs_on_all_queues_now_and_later(table, queue, target):
    queue.with_options(queue="default").create()
    other_queue = type(queue)("other").create()
    before = [table.enqueue(function=reported), other_queue.enqueue(reported, 1).id]
    other = table.enqueue()
    queue.revoke(target)
    after = table.enqueue(function=reported, eta=5)
    assert table.claim() == [other]
    table.clock.advance(5)
    assert table.claim() == []
    assert table.states([*before, after]) == ["cancelled"] * 3
    assert queue.restore(target)
    last = table.enqueue(function=reported)
    assert table.claim() == [last]


def test_revoking_a_function_leaves_what_runs(table, queue):
    job = running(table)
    queue.revoke(add)
    table.end(job)
    assert table.state(job) == "succeeded"


def test_a_function_may_be_revoked_until_a_time(table):
    table.broker.revoke("name:add", until=table.clock.time() + 60)
    early = table.enqueue()
    table.claim()
    table.clock.advance(60)
    late = table.enqueue()
    assert (table.claim(), table.state(early)) == ([late], "cancelled")


def test_a_function_may_be_revoked_once(table, queue):
    queue.revoke(add, once=True)
    first, second = table.enqueue(), table.enqueue()
    assert (table.claim(), table.state(first)) == ([second], "cancelled")


def test_a_revocation_by_name_holds_when_that_of_the_id_is_over(table, queue):
    job = table.enqueue()
    table.job(job).revoke(until=datetime(2001, 9, 9, tzinfo=UTC))
    queue.revoke(add)
    table.clock.advance(60)
    assert (table.claim(), table.state(job)) == ([], "cancelled")


def test_revoking_again_replaces_the_earlier_revocation(table, queue):
    queue.revoke(add)
    queue.revoke(add, once=True)
    first, second = table.enqueue(), table.enqueue()
    assert (table.claim(), table.state(first)) == ([second], "cancelled")


def test_revocations_whose_time_is_over_are_forgotten_and_no_others(table, queue):
    table.broker.revoke("name:add", until=table.clock.time() + 60)
    queue.revoke(write)
    upkeep.sweep(table.database, table.clock.time() + 61)
    assert (queue.restore(add), queue.restore(write)) == (False, True)


@pytest.mark.parametrize("until_", ["tomorrow", b"1"])
def test_until_is_a_time(queue, until_):
    with pytest.raises(ConfigError, match="until is a datetime, or a timedelta or seconds from now"):
        queue.revoke(add, until=until_)


# --- aborting what runs ----------------------------------------------------------------------------------------------


def cleans_up(log, name):
    """Notice that it is to end, tell what heartbeat says to that, and clean up."""
    SideLog(log).write(name)
    try:
        while True:
            _NEVER.wait(0.005)
    except TaskCancelledError:
        SideLog(log).write("asked", heartbeat())
        raise


async def cleans_up_async(log, name):
    import asyncio

    SideLog(log).write(name)
    try:
        await asyncio.sleep(1_000)
    finally:
        SideLog(log).write("asked", heartbeat())


@pytest.mark.parametrize("function", [cleans_up, cleans_up_async])
def test_a_running_job_is_told_by_a_flag_and_asked_by_an_error(queue, workers, log, function):
    job = queue.enqueue(function, log.path, "begun")
    workers.start()
    wait_until(log.names)
    assert str(job.cancel()) == "running"
    with pytest.raises(TaskCancelledError):
        job.result(30)
    assert (log.lines(), str(job.state)) == ([["begun"], ["asked", "False"]], "cancelled")


def test_a_running_job_that_takes_no_notice_is_killed_and_no_other_with_it(queue, workers, log, tmp_path):
    go = tmp_path / "go"
    job = queue.enqueue(stubborn, log.path, "begun")
    beside = queue.enqueue(until, log.path, "beside", str(go))
    workers.start(concurrency=2)
    wait_until(lambda: len(log.names()) == 2)
    job.cancel()
    with pytest.raises(TaskCancelledError):
        job.result(30)
    assert "interrupted" in log.names(), "it was asked before"
    assert (str(job.state), [each.state for each in job.attempts()]) == ("cancelled", ["cancelled"])
    go.touch()
    assert beside.result(30) == "beside"
    assert queue.enqueue(add, 1).result(30) == 1


def test_a_job_that_a_worker_has_but_did_not_begin_never_begins(queue, workers, log, tmp_path):
    go = tmp_path / "go"
    queue.enqueue_many(add, [(1,)] * 300)  # short ones: after them it claims ahead
    first = queue.enqueue(until, log.path, "begun", str(go))
    after = [queue.enqueue(write, log.path, "after") for _ in range(5)]
    workers.start()
    wait_until(log.names)
    for job in after:
        job.cancel()
    wait_until(lambda: all(job.finished for job in after))
    go.touch()
    assert first.result(30) == "begun"
    assert ({str(job.state) for job in after}, log.names()) == ({"cancelled"}, ["begun"])
