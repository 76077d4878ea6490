"""Locks: jobs of one lock never overlap and keep their order, hold no slot while they wait, and leave none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nbflow.queue.options import Limit
from nbflow.queue.queue import Queue
from nbflow.storage import gates, opened
from tests.servers import wait_until
from tests.unit.queue.jobs import add, most_at_once, spend, until
from tests.unit.queue.tables import Table

_WORK = """
import sys
from nbflow import settings
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.values.project import value_store
settings.configure(db=sys.argv[1])
Worker(opened.database(), value_store(settings.current()), WorkerOptions(concurrency=1)).run()
"""


@pytest.fixture
def table(queue):
    return Table(queue)


def held(name):
    """How many places of a gate are taken."""
    with opened.database().read() as connection:
        found = gates.get(connection, [name]).get(name)
    return found.held if found is not None else 0


def test_jobs_of_one_lock_never_overlap_and_keep_their_order(queue, workers, log):
    locked = queue.with_options(lock="it")
    names = [f"locked{number}" for number in range(8)]
    jobs = [locked.enqueue(spend, log.path, name, 0.03) for name in names]
    for _ in range(2):
        workers.start(concurrency=2)
    wait_until(lambda: all(job.finished for job in jobs), 60)
    spans = log.spans()
    assert [span.name for span in spans] == names
    assert most_at_once(spans) == 1


def test_a_waiting_job_holds_no_slot(queue, workers, log, tmp_path):
    locked = queue.with_options(lock="it")
    first = locked.enqueue(until, log.path, "first", str(tmp_path / "go"))
    waiting = [locked.enqueue(add, 1) for _ in range(5)]
    other = queue.enqueue(add, 2)
    workers.start(concurrency=2)
    assert other.result(30) == 2
    assert {str(job.state) for job in waiting} == {"pending"}
    (tmp_path / "go").touch()
    assert [job.result(30) for job in waiting] == [1] * 5
    assert first.result() == "first"


def test_different_locks_do_not_hinder_each_other(queue, workers, log):
    jobs = [
        queue.with_options(lock=f"lock{number}").enqueue(spend, log.path, f"job{number}", 0.5) for number in range(2)
    ]
    workers.start(concurrency=2)
    wait_until(lambda: all(job.finished for job in jobs), 60)
    assert most_at_once(log.spans()) == 2


def test_a_lock_holds_across_queues(table):
    Queue("other").create(priority=1)
    first = table.enqueue(lock="it")
    second = table.enqueue(lock="it", queue="other")
    assert table.claim() == [first]
    table.end(first)
    assert table.claim() == [second]


def test_priority_counts_before_the_order_of_enqueueing(table):
    first, second, urgent = (table.enqueue(lock="it", priority=priority) for priority in (0, 0, -1))
    assert table.drain() == [first, urgent, second]


def test_queues_with_a_lower_number_come_first_at_a_lock(table):
    Queue.define([(2, "low"), (1, "high")])
    running = table.enqueue(lock="it")
    jobs = [table.enqueue(lock="it", queue=name) for name in ("low", "default", "high")]
    assert table.claim() == [running]
    table.end(running)
    assert table.drain() == [jobs[2], jobs[0], jobs[1]]


@pytest.mark.parametrize("end", ["success", "failure", "cancel", "later", "lose"])
def test_a_lock_is_given_back_however_its_job_ends(table, end):
    first, second = table.enqueue(lock="it", most_losses=0), table.enqueue(lock="it")
    assert table.claim() == [first]
    if end == "success":
        table.end(first)
    elif end == "failure":
        table.fail(first)
    elif end == "cancel":
        table.job(first).cancel()
        table.end(first, state="cancelled")
    elif end == "later":
        table.put_off(first, 100)
    else:
        table.end(first, exit="signal 9")
    assert table.claim() == [second]
    table.end(second)
    assert held("lock:it") == 0


def test_a_job_that_is_tried_again_at_once_lines_up_behind_the_others(table):
    first, second = table.enqueue(lock="it", retries=1), table.enqueue(lock="it")
    table.claim()
    table.put_off(first, 0)
    assert table.claim() == [second]
    table.end(second)
    assert table.claim() == [first]


def test_a_job_whose_process_died_is_the_next_to_have_its_lock(table):
    first, second = table.enqueue(lock="it"), table.enqueue(lock="it")
    table.claim()
    table.end(first, exit="signal 9")
    assert table.claim() == [first]
    table.end(first)
    assert table.claim() == [second]


def test_jobs_that_wait_for_a_lock_can_be_cancelled_and_expire(table):
    running = table.enqueue(lock="it")
    cancelled, expired = table.enqueue(lock="it"), table.enqueue(lock="it", expires=5)
    last = table.enqueue(lock="it")
    table.claim()
    table.job(cancelled).cancel()
    table.clock.advance(6)
    table.tick()
    assert table.states([cancelled, expired]) == ["cancelled", "expired"]
    table.end(running)
    assert table.drain() == [last]
    assert held("lock:it") == 0


def test_a_cancelled_job_that_was_let_through_but_not_claimed_gives_its_lock_back(table):
    first, second = table.enqueue(lock="it"), table.enqueue(lock="it")
    assert table.states([first, second]) == ["ready", "pending"]
    table.job(first).cancel()
    assert table.claim() == [second]


def test_a_paused_queue_keeps_no_lock_from_others(table):
    other = Queue("other").create()
    waits = table.enqueue(lock="it", queue="other")
    other.pause()
    first = table.enqueue(lock="it")
    assert table.claim() == [first]
    table.end(first)
    other.resume()
    assert table.claim() == [waits]


def test_a_lock_and_limits_are_passed_together_or_not_at_all(table):
    """Else two jobs could wait for each other."""
    one = table.enqueue(lock="a", limits=Limit("b", 1))
    both = table.enqueue(limits=(Limit("b", 1),), lock="a")
    b = table.enqueue(limits=Limit("b", 1))
    a = table.enqueue(lock="a")
    assert table.claim() == [one]
    table.end(one)
    assert table.claim() == [both]
    table.end(both)
    assert sorted(table.claim()) == sorted([a, b])


def test_a_job_that_waits_for_its_time_or_for_others_keeps_no_lock(table):
    delayed = table.enqueue(lock="it", eta=100)
    need = table.enqueue()
    needing = table.enqueue(need, lock="it", after=need)
    free = table.enqueue(lock="it")
    assert table.claim() == [need, free]
    table.end(need)
    assert table.claim() == []
    table.end(free)
    assert table.claim() == [needing]
    table.clock.advance(100)
    assert table.claim() == []
    table.end(needing)
    assert table.claim() == [delayed]


def test_the_lock_of_a_killed_worker_is_released(queue, workers, log, db_url):
    locked = queue.with_options(lock="it")
    first = locked.enqueue(until, log.path, "first", "/nowhere")
    second = locked.enqueue(add, 1)
    victim = subprocess.Popen([sys.executable, "-c", _WORK, db_url])
    try:
        wait_until(log.names, 60)
    finally:
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    first.cancel()
    workers.start()
    assert second.result(60) == 1
    assert (str(first.state), held("lock:it")) == ("cancelled", 0)
