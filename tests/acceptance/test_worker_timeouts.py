"""Jobs that take too long, need too much memory or crash their process, on real workers."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from nbflow import settings
from nbflow.model.errors import SoftTimeoutError, StepTimeoutError, WorkerLostError
from nbflow.queue.queue import Queue
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.values.project import value_store
from tests.acceptance import worker_jobs
from tests.acceptance.workers import wait_for, words
from tests.servers import wait_until


def burst(db_url, concurrency=1, **options):
    """Work off what there is, with the parent in this process and real children."""
    if concurrency == 1:  # the time that the child takes to import this is not the job's
        Queue(db=db_url).with_options(front=True).enqueue(worker_jobs.add, 1, 1)
    options = WorkerOptions(burst=True, concurrency=concurrency, **options)
    Worker(opened.database(db_url), value_store(settings.current(), db_url), options).run()


# --- soft ------------------------------------------------------------------------------------------------------------


def test_a_job_may_clean_up_after_its_soft_timeout(queue, db_url, log):
    job = queue.with_options(soft_timeout=0.2, timeout=20).enqueue(worker_jobs.clean_up, str(log), 30)
    burst(db_url)
    assert (job.result(), words(log)) == ("partly", [["cleaned"]])


def test_a_soft_timeout_ends_a_job_that_does_not_care(queue, db_url, log):
    job = queue.with_options(soft_timeout=0.2).enqueue(worker_jobs.time_out, str(log), 30)
    burst(db_url)
    assert (job.state, type(job.error)) == ("timed_out", SoftTimeoutError)


def test_a_soft_timeout_is_found_behind_other_errors(queue, db_url, log):
    job = queue.with_options(soft_timeout=0.2).enqueue(worker_jobs.wrap_the_timeout, str(log), 30)
    burst(db_url)
    assert (job.state, type(job.error)) == ("timed_out", RuntimeError)


def test_a_soft_timeout_cancels_an_async_job_at_its_next_await(queue, db_url, log):
    job = queue.with_options(soft_timeout=0.2).enqueue(worker_jobs.time_out_later, str(log), 30)
    burst(db_url)
    assert (job.state, type(job.error)) == ("timed_out", SoftTimeoutError)
    assert words(log) == [["try"], ["cleaned"]]


def test_an_interruption_never_hits_what_a_child_says(queue, db_url):
    """Each of these is interrupted while it reports, which must cost neither its own report nor that of another job."""
    talking = queue.with_options(soft_timeout=0.01).enqueue_many(worker_jobs.tell_without_end, [()] * 150)
    quick = queue.enqueue_many(worker_jobs.add, [(1, 2)] * 50)
    burst(db_url)
    assert {str(job.state) for job in talking} == {"timed_out"}
    assert {str(job.state) for job in quick} == {"succeeded"}
    assert {job.record.losses for job in talking} == {0}


# --- hard ------------------------------------------------------------------------------------------------------------


def test_a_hard_timeout_kills_what_blocks_signals_and_loops_in_c(queue, db_url):
    job = queue.with_options(timeout=0.5).enqueue(worker_jobs.loop_in_c)
    after = queue.enqueue(worker_jobs.add, 1, 2)
    burst(db_url)
    assert (job.state, type(job.error)) == ("timed_out", StepTimeoutError)
    assert [(each.state, each.exit) for each in job.attempts()] == [("timed_out", "signal 9")]
    assert after.result() == 3, "its place was taken by another child"


def test_a_hard_timeout_counts_though_the_job_was_one_of_many_short_ones(queue, db_url):
    before = queue.enqueue_many(worker_jobs.add, [(1, 2)] * 200)
    job = queue.with_options(timeout=0.5).enqueue(worker_jobs.loop_in_c)
    after = queue.enqueue_many(worker_jobs.add, [(1, 2)] * 200)
    burst(db_url)
    assert job.state == "timed_out"
    assert {str(each.state) for each in [*before, *after]} == {"succeeded"}
    assert {each.record.losses for each in after} == {0}


def test_a_job_that_loops_in_c_can_be_cancelled(queue, start_worker):
    start_worker("-c", "1").ready()
    queue.enqueue_many(worker_jobs.add, [(1, 2)] * 200)
    job = queue.enqueue(worker_jobs.loop_in_c)
    after = queue.enqueue(worker_jobs.add, 1, 2)
    wait_for(job, "running")
    job.cancel()
    assert wait_for(job, "cancelled").losses == 0
    assert after.result(timeout=30) == 3


def test_a_job_that_loops_in_c_can_be_cancelled_before_the_end_of_the_last_one_was_told(queue, start_worker, log):
    """Its child cannot say any more that it has begun, nor that another has ended whose start was told."""
    start_worker("-c", "1").ready()
    queue.enqueue_many(worker_jobs.add, [(1, 2)] * 500)  # so that the child is given many at a time
    queue.enqueue(worker_jobs.stay, str(log), "long", 0.3)
    job = queue.enqueue(worker_jobs.loop_in_c)
    after = queue.enqueue(worker_jobs.add, 1, 2)
    wait_until(lambda: [line[0] for line in words(log)] == ["begin", "end"])
    job.cancel()
    assert wait_for(job, "cancelled").losses == 0
    assert after.result(timeout=30) == 3


# --- again -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeouts", [{"soft_timeout": 0.2}, {"timeout": 0.2}], ids=["soft", "hard"])
@pytest.mark.parametrize("function", [worker_jobs.time_out, worker_jobs.time_out_later], ids=["plain", "async"])
@pytest.mark.parametrize("only", [Exception, TimeoutError, StepTimeoutError], ids=lambda kind: kind.__name__)
def test_timeouts_are_retried_as_often_as_was_asked(queue, db_url, log, timeouts, function, only):
    job = queue.with_options(**timeouts, retries=2, retry_on=only).enqueue(function, str(log), 30)
    burst(db_url)
    assert words(log).count(["try"]) == 3
    assert [each.state for each in job.attempts()] == ["timed_out"] * 3
    assert (job.state, job.record.attempt) == ("timed_out", 3)


def test_timeouts_are_not_retried_by_default(queue, db_url, log):
    job = queue.with_options(timeout=0.2).enqueue(worker_jobs.time_out, str(log), 30)
    burst(db_url)
    assert (words(log), job.record.attempt) == ([["try"]], 1)


def test_timeouts_are_retried_behind_what_waits(queue, db_url, log):
    slow = queue.with_options(soft_timeout=0.2, retries=1).enqueue(worker_jobs.time_out, str(log), 30)
    queue.enqueue(worker_jobs.mark, str(log), "other")
    burst(db_url)
    assert words(log) == [["try"], ["other"], ["try"]]
    assert slow.state == "timed_out"


# --- children --------------------------------------------------------------------------------------------------------


def test_a_child_is_replaced_after_so_many_jobs(queue, db_url):
    jobs = queue.enqueue_many(worker_jobs.pid, [()] * 8)
    burst(db_url, max_tasks=3)
    counts = Counter(job.result() for job in jobs)
    assert list(counts.values()) == [2, 3, 3], "the first one has run another job before"


def test_the_child_that_leaks_is_replaced_when_memory_is_short(queue, db_url, log, tmp_path):
    """What is leaked is real; how much memory the machine has is made up, so that 400 MB are too much for it."""

    def used():
        sizes = [0]
        for child in psutil.Process().children():  # those of other tests are among them
            with suppress(psutil.NoSuchProcess):
                sizes.append(child.memory_info().rss)
        return 95.0 if max(sizes) > 400e6 else 20.0

    worker = Worker(
        opened.database(db_url), value_store(settings.current(), db_url),
        WorkerOptions(concurrency=2, max_memory_percent=90, memory=used),
    )  # fmt: skip
    working = threading.Thread(target=worker.run)
    working.start()
    go = tmp_path / "go"
    other = queue.enqueue(worker_jobs.until, str(log), "other", str(go))
    wait_until(lambda: words(log))
    leaky = queue.enqueue(worker_jobs.leak, 400).result(timeout=30)
    wait_until(lambda: not psutil.pid_exists(leaky))
    assert queue.enqueue(worker_jobs.pid).result(timeout=30) != leaky
    go.touch()
    assert (other.result(timeout=30), other.record.losses) == ("other", 0), "the other child was let be"
    worker.stop()
    working.join(30)


# --- crashes ---------------------------------------------------------------------------------------------------------


def test_a_job_that_crashes_its_process_becomes_a_dead_letter_and_can_be_requeued(
    queue, start_worker, db_url, tmp_path
):
    worker = start_worker("-c", "1").ready()
    mended = tmp_path / "mended"
    poison = queue.with_options(most_losses=2).enqueue(worker_jobs.segfault_unless, str(mended))
    record = wait_for(poison, "failed")
    assert (record.losses, type(poison.error)) == (2, WorkerLostError)
    assert "SIGSEGV" in str(poison.error)
    assert [each.exit for each in poison.attempts()] == ["signal 11"] * 3
    assert queue.enqueue(worker_jobs.add, 1, 2).result(timeout=30) == 3
    mended.touch()
    assert poison.requeue().result(timeout=30) == "alive"
    assert (poison.record.losses, worker.process.poll()) == (0, None)


def test_a_crash_takes_none_of_the_jobs_beside_it_along(queue, db_url, tmp_path):
    before = queue.enqueue_many(worker_jobs.add, [(1, 2)] * 300)
    poison = queue.with_options(most_losses=1).enqueue(worker_jobs.segfault_unless, str(tmp_path / "never"))
    after = queue.enqueue_many(worker_jobs.add, [(1, 2)] * 300)
    burst(db_url, concurrency=2)
    assert poison.state == "failed"
    assert {str(job.state) for job in [*before, *after]} == {"succeeded"}
