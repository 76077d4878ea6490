"""Paused queues hand out nothing, draining ones take nothing; what runs goes on in both."""

from __future__ import annotations

import pytest

from nbflow.model.errors import QueueClosedError, UnknownQueueError
from nbflow.queue.patterns import call, chain
from nbflow.queue.queue import Queue
from nbflow.storage import opened
from tests.servers import wait_until
from tests.unit.queue.jobs import add, count_and_fail, echo, until, write
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


# --- paused ----------------------------------------------------------------------------------------------------------


def test_what_runs_ends_while_its_queue_is_paused_and_nothing_else_begins(queue, workers, log, tmp_path):
    go = tmp_path / "go"
    running = queue.enqueue(until, log.path, "running", str(go))
    workers.start()
    wait_until(log.names)
    queue.pause()
    waiting = queue.enqueue(write, log.path, "waiting")
    go.touch()
    assert running.result(30) == "running"
    other = Queue("other").create().enqueue(write, log.path, "other")
    assert other.result(30) == "other"
    assert str(waiting.state) == "ready", "it had a child free, and took what came later"
    queue.resume()
    assert waiting.result(30) == "waiting"


@pytest.mark.parametrize(
    "make",
    [
        lambda table, queue: table.enqueue(),
        lambda table, queue: table.enqueue(eta=5),
        lambda table, queue: table.enqueue(lock="l"),
        lambda table, queue: table.enqueue(after=table.enqueue(queue="other")),
        lambda table, queue: table.enqueue(front=True, priority=-5),
        lambda table, queue: table.pattern(chain(call(add, 1)))[0],
        lambda table, queue: queue.enqueue_many(add, [(1,)] * 3)[0].id,
    ],
    ids=["ready", "delayed", "locked", "waits for another", "urgent", "pattern", "many"],
)
@pytest.mark.parametrize("first", ["paused first", "enqueued first"])
def test_a_paused_queue_hands_out_nothing_and_keeps_it(table, queue, make, first):
    Queue("other").create()
    if first == "paused first":
        queue.pause()
    job = make(table, queue)
    queue.pause()
    for _ in range(2):
        table.end(*[each for each in table.claim() if table.job(each).record.queue == "other"])
        table.clock.advance(10)
    assert (table.hand, job in table.claim()) == ({}, False)
    queue.resume()
    assert job in table.claim()


def test_a_job_that_is_to_be_tried_again_waits_until_its_queue_is_resumed(table, queue):
    jobs = [table.enqueue(), table.enqueue(lock="l")]
    assert table.claim() == jobs
    queue.pause()
    for job in jobs:
        table.put_off(job, 5)
    table.clock.advance(10)
    assert table.claim() == []
    queue.resume()
    assert sorted(table.claim()) == sorted(jobs)


def test_a_pause_is_no_excuse_for_what_is_not_begun_in_time(table, queue):
    queue.pause()
    late, job = table.enqueue(expires=10), table.enqueue()
    table.clock.advance(11)
    table.tick()
    queue.resume()
    assert (table.claim(), table.state(late)) == ([job], "expired")


def test_jobs_of_a_paused_queue_can_be_cancelled_and_are_seen(table, queue):
    queue.pause()
    jobs = [table.enqueue() for _ in range(3)]
    table.job(jobs[1]).cancel()
    assert [record.id for record in queue.peek()] == [jobs[0], jobs[2]]
    queue.resume()
    assert table.claim() == [jobs[0], jobs[2]]


def test_the_order_is_that_of_the_enqueueing_after_a_pause(table, queue):
    jobs = [table.enqueue() for _ in range(3)]
    queue.pause()
    jobs += [table.enqueue(), table.enqueue()]
    urgent = table.enqueue(priority=-1)
    queue.resume()
    assert table.drain() == [urgent, *jobs]


def test_pausing_and_resuming_twice_is_as_once(table, queue):
    job = table.enqueue()
    queue.pause()
    queue.pause()
    assert table.claim() == []
    queue.resume()
    queue.resume()
    assert table.claim() == [job]


# --- draining --------------------------------------------------------------------------------------------------------


def in_transaction(queue):
    with opened.database().write() as connection:
        return queue.enqueue_in(connection, add, 1)


WAYS_IN = {
    "one": lambda queue: queue.enqueue(add, 1),
    "many": lambda queue: queue.enqueue_many(add, [(1,)]),
    "map": lambda queue: queue.map(add, [1]),
    "a pattern": lambda queue: queue.enqueue(chain(call(add, 1))),
    "later": lambda queue: queue.with_options(eta=60).enqueue(add, 1),
    "limited": lambda queue: queue.with_options(lock="l").enqueue(add, 1),
    "in a transaction": in_transaction,
}


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("name", ["default", "reports"])
def test_a_draining_queue_takes_no_jobs_and_says_how_to_open_it(queue, way, name):
    chosen = Queue(name).create()
    chosen.drain()
    with pytest.raises(QueueClosedError, match=f"'{name}' is being drained.*nbflow queue resume {name}"):
        WAYS_IN[way](chosen)
    assert len(chosen) == 0
    chosen.resume()
    WAYS_IN[way](chosen)
    assert len(chosen) == 1


def test_a_pattern_that_has_a_part_on_a_draining_queue_is_refused_whole(queue):
    Queue("reports").create().drain()
    with pytest.raises(QueueClosedError):
        queue.enqueue(chain(call(add, 1), call(add, 1).with_options(queue="reports")))
    assert len(queue) == 0


def test_what_a_draining_queue_has_is_worked_off_with_all_that_follows(queue, workers, log):
    delayed = queue.with_options(eta=0.2).enqueue(echo, "delayed")
    made = queue.with_options(on_success=call(write_it, log.path)).enqueue(chain(call(echo, "a"), call(echo)))
    retried = queue.with_options(retries=1).enqueue(count_and_fail, log.path + ".tries", 2)
    queue.drain()
    workers.start()
    assert (delayed.result(30), made.result(30), retried.result(30)) == ("delayed", "a", 2)
    wait_until(lambda: log.names() == ["a"])
    assert len(queue) == 0


def write_it(value, path):
    write(path, value)


def test_a_failed_job_of_a_draining_queue_can_be_requeued(table, queue):
    job = table.enqueue()
    table.claim()
    queue.drain()
    table.fail(job)
    table.job(job).requeue()
    assert table.claim() == [job]


def test_a_queue_may_be_both_and_resume_ends_both(table, queue):
    job = table.enqueue()
    queue.pause()
    queue.drain()
    assert table.claim() == []
    with pytest.raises(QueueClosedError):
        table.enqueue()
    queue.resume()
    assert table.claim() == [job]
    table.enqueue()


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "purge"])
def test_a_queue_that_there_is_not_can_not_be_steered(queue, verb):
    Queue("reports").create()
    with pytest.raises(UnknownQueueError, match=r"no queue 'report'\. Did you mean 'reports'"):
        getattr(Queue("report"), verb)()
    assert getattr(queue, verb)() in (None, 0), "the default queue is there without having been made"
