"""Real workers: how they start, end, are killed, stopped and continued. No job is lost or runs twice at a time."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest

from nbflow.storage import opened, queues
from tests.acceptance import worker_jobs
from tests.acceptance.workers import alive, row, wait_for, words
from tests.servers import wait_until


def begun(log, name):
    return lambda: ["begin", name] in [line[:2] for line in words(log)]


def overlaps(log):
    """Names of the jobs that began anew while an earlier try of them still wrote."""
    ends = {}
    found = []
    for name, pid, time in words(log):
        last_pid, last_time = ends.get(name, (pid, 0.0))
        if last_pid != pid and float(time) < last_time:
            found.append(name)
        ends[name] = (pid, max(last_time, float(time)))
    return found


# --- start and end ---------------------------------------------------------------------------------------------------


def test_a_worker_says_when_it_is_ready_and_whom_it_serves(queue, start_worker, db_url):
    queue.create()
    worker = start_worker("--queues", "default", "--exclude", "other", "--concurrency", "cores*0 + 3").ready()
    pattern = r"worker (\w{12}) is ready: queues default but other, 3 at a time, (sqlite|postgresql)\S+"
    assert re.fullmatch(pattern, worker.lines[0])
    record = row(db_url, worker.ids[0])
    assert (record.state, record.pid, record.concurrency) == ("running", worker.process.pid, 3)


def test_a_burst_ends_when_nothing_is_left_that_could_run(queue, start_worker):
    first = queue.enqueue(worker_jobs.add, 1, 2)
    again = queue.with_options(retries=2).enqueue(worker_jobs.fail, "again")
    needs = queue.enqueue(worker_jobs.add, first, 10)
    later = queue.with_options(eta=3600).enqueue(worker_jobs.add, 0, 0)
    assert start_worker("--burst", "-c", "2").wait() == 0
    assert [str(job.state) for job in (first, needs, again, later)] == ["succeeded", "succeeded", "failed", "pending"]
    assert needs.result() == 13
    assert again.record.attempt == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_end_and_takes_nothing_more(queue, start_worker, db_url, log, go, number):
    worker = start_worker("-c", "1").ready()
    running = queue.enqueue(worker_jobs.until, str(log), "first", str(go))
    waiting = queue.enqueue(worker_jobs.add, 1, 1)
    wait_until(begun(log, "first"))
    worker.send(number)
    wait_until(lambda: row(db_url, worker.ids[0]).state == "draining" or worker.process.poll() is not None)
    go.touch()
    assert worker.wait() == 0
    assert (str(running.state), str(waiting.state)) == ("succeeded", "ready")
    assert row(db_url, worker.ids[0]).state == "stopped"


def test_a_second_signal_gives_back_what_runs(queue, start_worker, db_url, log, go):
    worker = start_worker("-c", "1").ready()
    running = queue.enqueue(worker_jobs.until, str(log), "first", str(go))
    waiting = queue.enqueue(worker_jobs.add, 1, 1)
    wait_until(begun(log, "first"))
    worker.send(signal.SIGTERM)
    wait_until(lambda: row(db_url, worker.ids[0]).state == "draining")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    record = running.record
    assert (record.state, record.attempt, record.losses) == ("ready", 0, 0)
    assert [job.id for job in queue.peek()] == [running.id, waiting.id], "it goes before all others"
    go.touch()
    assert start_worker("--burst").wait() == 0
    assert running.record.attempt == 1


def test_children_leave_ctrl_c_to_their_parent(queue, start_worker, log, go):
    worker = start_worker("-c", "1").ready()
    job = queue.enqueue(worker_jobs.until, str(log), "first", str(go))
    wait_until(begun(log, "first"))
    os.killpg(worker.process.pid, signal.SIGINT)  # as a terminal does
    go.touch()
    assert worker.wait() == 0
    assert job.result() == "first"


# --- killed ----------------------------------------------------------------------------------------------------------


def test_jobs_of_a_killed_worker_are_taken_over_by_one_that_lives(queue, start_worker, db_url, log, go):
    first = start_worker("-c", "2").ready()
    jobs = queue.enqueue_many(worker_jobs.beat, [(str(log), f"job{number}", str(go)) for number in range(4)])
    wait_until(lambda: len(words(log)) > 2 and all(job.record.started_at for job in jobs[:2]))
    second = start_worker("-c", "2").ready()
    first.kill()
    wait_until(lambda: len({line[1] for line in words(log)}) == 4)
    go.touch()
    for job in jobs:
        assert wait_for(job, "succeeded").worker == second.ids[0]
    assert overlaps(log) == []
    assert row(db_url, first.ids[0]).state == "lost"
    assert sum(job.record.losses for job in jobs) == 2


def test_jobs_of_a_killed_worker_are_taken_over_by_the_next_that_starts(queue, start_worker, log, go):
    worker = start_worker("-c", "1").ready()
    job = queue.enqueue(worker_jobs.until, str(log), "first", str(go))
    wait_until(lambda: job.record.started_at)
    worker.kill()
    go.touch()
    assert start_worker("--burst").wait() == 0
    assert (job.result(), job.record.losses, job.record.attempt) == ("first", 1, 2)


def test_nothing_of_a_killed_worker_goes_on(queue, start_worker, log, go):
    worker = start_worker("-c", "1").ready()
    queue.enqueue(worker_jobs.start_another, str(log), str(go))
    wait_until(begun(log, "parent"))
    child, other = map(int, words(log)[0])
    os.kill(child, signal.SIGSTOP)  # else it might learn of the worker's death in time to end what it started
    wait_until(lambda: psutil.Process(child).status() == psutil.STATUS_STOPPED)
    worker.kill()
    wait_until(lambda: not alive(child))
    assert alive(other), "it has lost nobody but its parent"
    start_worker("-c", "1").ready()
    wait_until(lambda: not alive(other))


# --- stopped ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("children_too", [False, True])
def test_a_worker_that_was_stopped_for_too_long_begins_anew(queue, start_worker, db_url, log, go, children_too):
    stopped = start_worker("-c", "1", "--lease", "3").ready()
    job = queue.enqueue(worker_jobs.beat, str(log), "job", str(go))
    wait_until(lambda: words(log) and job.record.started_at)
    child = int(words(log)[0][1])
    stopped.send(signal.SIGSTOP)
    if children_too:
        os.kill(child, signal.SIGSTOP)
    other = start_worker("-c", "1").ready()
    wait_until(lambda: row(db_url, stopped.ids[0]).state == "lost")
    stopped.send(signal.SIGCONT)
    stopped.ready(times=2)
    assert not alive(child)
    go.touch()
    record = wait_for(job, "succeeded")
    assert (record.worker, record.losses) == (other.ids[0], 1)
    assert overlaps(log) == []
    other.send(signal.SIGTERM)
    other.wait()
    assert wait_for(queue.enqueue(worker_jobs.pid), "succeeded").worker == stopped.ids[1]


def test_what_a_lost_worker_finished_is_refused(queue, start_worker, db_url, log):
    stopped = start_worker("-c", "1", "--lease", "3").ready()
    job = queue.enqueue(worker_jobs.stay, str(log), "job", 0.5)
    wait_until(begun(log, "job"))
    stopped.send(signal.SIGSTOP)
    wait_until(lambda: [line[0] for line in words(log)] == ["begin", "end"])  # the child ends it all the same
    other = start_worker("-c", "1").ready()
    wait_for(job, "succeeded")
    stopped.send(signal.SIGCONT)
    stopped.ready(times=2)
    record = job.record
    assert (record.worker, record.claims, len(job.attempts())) == (other.ids[0], 2, 1)


# --- many ------------------------------------------------------------------------------------------------------------


def test_a_broadcast_runs_once_on_each_worker(queue, start_worker, log, db_url):
    workers = [start_worker("-c", "4").ready() for _ in range(3)]
    gone = workers.pop()
    gone.kill()
    jobs = queue.broadcast(worker_jobs.mark, str(log), "here")
    assert len(jobs) == 2
    late = start_worker("-c", "4").ready()
    ran_on = sorted(wait_for(job, "succeeded").worker for job in jobs)
    assert ran_on == sorted(worker.ids[0] for worker in workers)
    assert wait_for(queue.enqueue(worker_jobs.pid), "succeeded").worker in [*ran_on, late.ids[0]]
    assert len(words(log)) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_eight_workers_run_every_one_of_ten_thousand_jobs_just_once(queue, start_worker, db_url, log):
    count = 10_000
    jobs = queue.enqueue_many(worker_jobs.mark, [(str(log), number) for number in range(count)])
    for worker in [start_worker("-c", "1", "--burst") for _ in range(8)]:
        assert worker.process.wait(240) == 0
    assert sorted(int(line[0]) for line in words(log)) == list(range(count))
    with opened.database(db_url).read() as connection:
        done = [record.done for record in queues.listed(connection, ("stopped",))]
    assert (len(done), sum(done)) == (8, count)
    assert {str(job.state) for job in jobs[::100]} == {"succeeded"}
