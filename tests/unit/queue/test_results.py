"""Results: waiting for them, errors with their tracebacks, how long they are kept."""

from __future__ import annotations

import threading
import time

import pytest

import nbflow
from nbflow.model.errors import (
    JobNotFoundError,
    JobUnfinishedError,
    SignatureError,
    StepResultError,
    UnpicklableError,
    ValueTooLargeError,
)
from nbflow.queue import upkeep
from nbflow.queue.job import wait_for
from nbflow.queue.options import FAILURE_TTL, SUCCESS_TTL
from nbflow.storage import attempts, jobs, logs, opened
from tests.servers import wait_until
from tests.unit.queue.jobs import add, echo, fail, listed, locked_value, unpicklable, until, write
from tests.unit.queue.tables import Table


def test_a_result_is_there_when_the_job_has_succeeded(queue, workers):
    job = queue.enqueue(add, 1, 2)
    with pytest.raises(JobUnfinishedError, match=r"has not finished: it is ready") as told:
        job.result()
    assert told.value.details["job"] == job.id
    assert not job.finished
    workers.burst()
    assert (job.finished, str(job.state), job.result(), job.get(), job.error, job.traceback) == (
        True, "succeeded", 3, 3, None, None,
    )  # fmt: skip


def test_waiting_ends_with_the_job_or_with_its_time(queue, workers, log, tmp_path):
    job = queue.enqueue(until, log.path, "x", str(tmp_path / "go"))
    workers.start()
    with pytest.raises(JobUnfinishedError, match=r"1 of 1 jobs have not finished in 0.1 seconds: .* nbflow info tells"):
        job.result(timeout=0.1)
    threading.Timer(0.2, (tmp_path / "go").touch).start()
    assert job.result(timeout=30) == "x"


def test_waiting_for_any_of_several_returns_those_that_have_finished(queue, workers, log, tmp_path):
    slow = queue.enqueue(until, log.path, "slow", str(tmp_path / "go"))
    quick = queue.enqueue(add, 1)
    workers.start(concurrency=2)
    assert wait_for([slow, quick], 30, all_=False) == [quick]
    (tmp_path / "go").touch()
    assert wait_for([slow, quick], 30) == [slow, quick]


def test_the_error_of_a_failed_job_is_raised_with_its_traceback(queue, workers):
    job = queue.enqueue(fail, "no such thing")
    workers.burst()
    assert str(job.state) == "failed"
    with pytest.raises(ValueError, match="no such thing"):
        job.result()
    assert repr(job.error) == "ValueError('no such thing')"
    assert "in fail" in job.traceback
    assert "nbflow/queue" not in job.traceback
    assert (job.record.error_type, job.record.error_message) == ("ValueError", "no such thing")


@pytest.mark.parametrize("function", [unpicklable, locked_value], ids=["generator", "lock"])
def test_a_result_that_cannot_be_kept_is_recorded_as_such_and_the_worker_goes_on(queue, workers, function):
    job, after = queue.enqueue(function), queue.enqueue(add, 1)
    workers.burst()
    assert (str(job.state), after.result()) == ("failed", 1)
    with pytest.raises((UnpicklableError, StepResultError), match=function.__name__):
        job.result()


def test_a_result_that_is_too_large_is_recorded_as_such(queue, workers):
    nbflow.configure(max_value_size=10_000)
    job, after = queue.enqueue(bytes, 20_000), queue.enqueue(add, 1)
    workers.burst()
    with pytest.raises(ValueTooLargeError, match="20"):
        job.result()
    assert after.result() == 1


def test_large_results_are_artifacts_and_go_from_job_to_job(queue, workers):
    large = queue.enqueue(bytes, 100_000)
    after = queue.enqueue(len, large)
    workers.burst()
    assert (len(large.result()), after.result()) == (100_000, 100_000)
    assert large.record.result_uri
    assert large.record.result is None


def test_a_result_that_was_changed_in_the_database_is_refused(queue, workers):
    job = queue.enqueue(echo, "text")
    workers.burst()
    with opened.database().write() as connection:
        jobs.change(connection, job.id, result=job.record.result[:-1] + b"x")
    with pytest.raises(SignatureError):
        job.result()


def test_there_is_no_job_that_was_never_enqueued(queue):
    with pytest.raises(JobNotFoundError, match=r"There is no job 'none' in .* success_ttl and failure_ttl"):
        queue.job("none").result()


# --- for how long ----------------------------------------------------------------------------------------------------


def kept(table, id):
    """For how long a job that has ended is kept."""
    record = table.job(id).record
    return None if record.keep_until is None else record.keep_until - table.clock.time()


@pytest.mark.parametrize(
    ("options", "of_queue", "success", "failure"),
    [
        ({}, {}, SUCCESS_TTL, FAILURE_TTL),
        ({"success_ttl": 5}, {}, 5, FAILURE_TTL),
        ({"failure_ttl": 7}, {"success_ttl": 9}, 9, 7),
        ({"success_ttl": None, "failure_ttl": None}, {"success_ttl": 9}, None, None),
        ({}, {"success_ttl": None, "failure_ttl": 3}, None, 3),
    ],
    ids=["settings", "call", "queue", "call for ever", "queue for ever"],
)
def test_results_and_errors_are_kept_as_the_call_says_else_the_queue(queue, options, of_queue, success, failure):
    queue.create(**of_queue)
    table = Table(queue)
    good, bad = table.enqueue(**options), table.enqueue(**options)
    table.claim()
    table.end(good)
    table.fail(bad)
    assert (kept(table, good), kept(table, bad)) == (success, failure)


def test_what_is_kept_no_longer_is_removed_with_its_tries_and_output(queue, workers, log):
    job = queue.with_options(success_ttl=100).enqueue(print, "hello")
    other = queue.enqueue(add, 1)
    workers.burst()
    assert job.output() == "hello\n"
    assert upkeep.sweep(opened.database(), time.time()) == 0
    assert upkeep.sweep(opened.database(), time.time() + 101) == 1
    with pytest.raises(JobNotFoundError):
        job.result()
    with opened.database().read() as connection:
        assert (attempts.of_run(connection, job.id), logs.read(connection, job.id)) == ([], [])
    assert other.result() == 1


def test_what_another_job_still_needs_is_kept_for_it(queue):
    table = Table(queue)
    first = table.enqueue(success_ttl=1)
    second = table.enqueue(after=first, eta=100)
    table.drain()
    table.clock.advance(50)
    assert upkeep.sweep(table.database, table.clock.time()) == 0
    table.clock.advance(50)
    assert table.drain() == [second]
    assert upkeep.sweep(table.database, table.clock.time()) == 1


def test_jobs_are_found_again_by_id(queue, workers):
    id_ = queue.enqueue(add, 1).id
    workers.burst()
    assert queue.job(id_).result() == 1


def test_progress_and_notes_of_a_running_job_are_seen(queue, workers, log, tmp_path):
    go = str(tmp_path / "go")

    def measured(path, go):
        nbflow.heartbeat(0.5, "half")
        nbflow.current().meta({"rows": 3})
        print("working", flush=True)
        return until(path, "begun", go)

    job = queue.enqueue(measured, log.path, go)
    workers.start()
    wait_until(lambda: job.progress == 0.5 and job.meta == {"rows": 3} and job.output() == "working\n")
    assert (str(job.state), job.record.message) == ("running", "half")
    job.note(reviewed=True)
    (tmp_path / "go").touch()
    job.wait(30)
    assert job.meta == {"rows": 3, "reviewed": True}


def test_a_handle_is_no_value(queue):
    job = queue.enqueue(add, 1)
    with pytest.raises(TypeError, match=r"a job cannot be pickled; pass job\.id"):
        job.__reduce__()


def test_a_job_may_wait_for_another_in_the_only_place_of_its_worker(queue, workers):
    def outer(db):
        from nbflow.queue.queue import Queue

        return Queue(db=db).enqueue(add, 20, 1).result(timeout=60)

    job = queue.enqueue(outer, opened.database().full_url)
    workers.start(concurrency=1)
    assert job.result(60) == 21


def test_listed_results_of_several_jobs_come_in_the_order_of_the_arguments(queue, workers):
    first, second = queue.enqueue(add, 1), queue.enqueue(add, 2)
    job = queue.enqueue(listed, second, [first, {"again": second}], first)
    workers.burst()
    assert job.result() == [2, [1, {"again": 2}], 1]


def test_a_written_result_is_read_by_another_process(queue, workers, log):
    job = queue.enqueue(write, log.path, "x")
    workers.burst()
    opened.close_all()
    assert queue.job(job.id).result() == "x"
