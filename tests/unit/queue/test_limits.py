"""Concurrency limits: of a queue, of each worker, of a key; and that one key starves no other."""

from __future__ import annotations

from collections import Counter

import pytest

from nbflow.model.errors import ConfigError
from nbflow.queue.options import Limit
from nbflow.queue.queue import Queue
from nbflow.storage import gates, opened
from tests.servers import wait_until
from tests.unit.queue.jobs import most_at_once, spend
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def held(name):
    """How many places of a gate are taken."""
    with opened.database().read() as connection:
        return gates.get(connection, [name])[name].held


def test_a_queue_never_runs_more_at_once_than_it_may(queue, workers, log):
    limited = Queue("limited").create(max_running=2)
    jobs = [limited.enqueue(spend, log.path, f"job{number}", 0.05) for number in range(12)]
    for _ in range(2):
        workers.start(concurrency=3)
    wait_until(lambda: all(job.finished for job in jobs), 60)
    assert most_at_once(log.spans()) == 2
    assert {span.name for span in log.spans()} == {f"job{number}" for number in range(12)}
    assert held("queue:limited") == 0


def test_a_worker_never_runs_more_of_a_queue_than_it_may(queue, workers, log):
    queue.create(max_per_worker=1)
    jobs = [queue.enqueue(spend, log.path, f"job{number}", 0.1) for number in range(8)]
    for _ in range(2):
        workers.start(concurrency=3)
    wait_until(lambda: all(job.finished for job in jobs), 60)
    by_worker = {job.record.worker: [] for job in jobs}
    spans = {span.name: span for span in log.spans()}
    for number, job in enumerate(jobs):
        by_worker[job.record.worker].append(spans[f"job{number}"])
    assert {most_at_once(found) for found in by_worker.values()} == {1}


def test_keys_are_limited_each_for_itself(queue, workers, log):
    jobs = []
    for number in range(15):
        name = "abc"[number % 3]
        limited = queue.with_options(limits=Limit(f"tenant {name}", 2))
        jobs.append(limited.enqueue(spend, log.path, f"{name}{number}", 0.05))
    workers.start(concurrency=6)
    wait_until(lambda: all(job.finished for job in jobs), 60)
    spans = log.spans()
    for name in "abc":
        assert most_at_once([span for span in spans if span.name[0] == name]) <= 2


def test_a_thousand_jobs_of_one_key_keep_no_other_waiting(table):
    Queue("shared").create(max_running=3)
    many = [table.enqueue(queue="shared", limits=Limit("a", 1)) for _ in range(300)]
    others = [table.enqueue(queue="shared", limits=Limit("b", 1)) for _ in range(2)]
    assert table.claim() == [many[0], others[0]]
    table.end(others[0])
    assert table.claim() == [others[1]]
    table.end(others[1], many[0])
    assert table.claim() == [many[1]]


def test_places_go_to_those_who_can_use_them_in_their_order(table):
    """A queue for two, of keys for one: what is passed over keeps its turn."""
    Queue("shared").create(max_running=2)
    a = [table.enqueue(queue="shared", limits=Limit("a", 1)) for _ in range(3)]
    b = [table.enqueue(queue="shared", limits=Limit("b", 1)) for _ in range(2)]
    c = table.enqueue(queue="shared", limits=Limit("c", 1))
    assert table.claim() == [a[0], b[0]]
    table.end(b[0])
    assert table.claim() == [b[1]]
    table.end(a[0])
    assert table.claim() == [a[1]]
    table.end(b[1])
    assert table.claim() == [c]
    table.end(c, a[1])
    assert table.claim() == [a[2]]


def test_every_key_gets_its_share_whoever_came_first(queue):
    """Three tenants, one of which came first with all it has; four places, two each: none stays free."""
    Queue("shared").create(max_running=4)
    table = Table(queue)
    owners = {}
    for name in ["a"] * 60 + ["b"] * 20 + ["c"] * 20:
        owners[table.enqueue(queue="shared", limits=Limit(name, 2))] = name
    done = []
    while running := sorted(table.hand) or table.claim():
        counted = Counter(owners[id_] for id_ in running)
        assert max(counted.values()) <= 2
        left = Counter(owners.values()) - Counter(owners[id_] for id_ in done)
        assert len(running) == min(4, sum(min(2, count) for count in left.values()))
        table.end(running[0])
        done.append(running[0])
        table.claim()
    assert len(done) == 100


def test_a_limit_counts_the_jobs_of_all_queues_that_have_it(table):
    Queue("other").create()
    first = table.enqueue(limits=Limit("address", 1))
    second = table.enqueue(limits=Limit("address", 1), queue="other")
    third = table.enqueue(limits=Limit("other", 1), queue="other")
    assert sorted(table.claim()) == sorted([first, third])
    table.end(first)
    assert table.claim() == [second]


def test_a_key_of_a_user_is_not_that_of_a_queue_or_a_lock(table):
    Queue("q").create(max_running=1)
    jobs = [table.enqueue(queue="q"), table.enqueue(limits=Limit("q", 1)), table.enqueue(lock="q")]
    assert sorted(table.claim()) == sorted(jobs)


def test_a_limit_that_is_raised_lets_more_through_at_once(table):
    jobs = [table.enqueue(limits=Limit("k", 1)) for _ in range(4)]
    assert table.claim() == jobs[:1]
    jobs.append(table.enqueue(limits=Limit("k", 3)))
    assert table.claim() == jobs[1:3]
    jobs.append(table.enqueue(limits=Limit("k", 1)))
    table.end(*jobs[:2])
    assert table.claim() == [], "one is left, which is as many as there may be"
    table.end(jobs[2])
    assert table.claim() == jobs[3:4]


def test_many_that_are_enqueued_at_once_pass_as_far_as_there_are_places(queue, workers):
    Queue("limited").create(max_running=3)
    jobs = Queue("limited").enqueue_many(spend, [("/dev/null", "x", 0.0)] * 200)
    states = Counter(str(job.state) for job in jobs)
    assert states == {"ready": 3, "pending": 197}
    workers.burst(concurrency=2)
    assert {str(job.state) for job in jobs} == {"succeeded"}


# --- limits of a queue that has jobs ---------------------------------------------------------------------------------


def test_a_queue_that_is_limited_later_holds_to_it_for_what_waits_and_runs(table):
    running = [table.enqueue() for _ in range(2)]
    assert table.claim() == running
    waiting = [table.enqueue() for _ in range(3)]
    Queue().create(max_running=2)
    assert held("queue:default") == 2
    assert table.claim() == []
    table.end(running[0])
    assert table.claim() == waiting[:1]
    table.end(running[1], waiting[0])
    assert table.claim() == waiting[1:]
    table.end(*waiting[1:])
    assert held("queue:default") == 0


def test_a_queue_whose_limit_is_lifted_lets_everything_go(table):
    limited = Queue("limited").create(max_running=1)
    jobs = [table.enqueue(queue="limited") for _ in range(3)]
    delayed = table.enqueue(queue="limited", eta=10)
    both = table.enqueue(queue="limited", lock="it")
    assert table.claim() == jobs[:1]
    limited.create()
    assert sorted(table.claim()) == sorted([*jobs[1:], both])
    table.end(*jobs, both)
    table.clock.advance(10)
    assert table.claim() == [delayed]
    assert (held("queue:limited"), held("lock:it")) == (0, 0)


def test_another_limit_takes_the_place_of_the_old_one(table):
    limited = Queue("limited").create(max_running=1)
    jobs = [table.enqueue(queue="limited") for _ in range(6)]
    assert table.claim() == jobs[:1]
    limited.create(max_running=3)
    assert table.claim() == jobs[1:3]
    limited.create(max_running=2)
    table.end(jobs[0])
    assert table.claim() == []
    table.end(jobs[1])
    assert table.claim() == jobs[3:4]


def test_making_a_queue_again_as_it_is_changes_nothing(table):
    for _ in range(2):
        Queue("limited").create(max_running=1, timeout=5)
        first = table.enqueue(queue="limited")
        assert table.claim() == [first]
        table.end(first)


def test_a_paused_queue_gives_back_the_places_of_what_does_not_run(table):
    Queue("a").create(), Queue("b").create()
    running, ready, waits = (table.enqueue(queue="a", limits=Limit("k", 2)) for _ in range(3))
    other = [table.enqueue(queue="b", limits=Limit("k", 2)) for _ in range(2)]
    assert table.claim(1) == [running]
    Queue("a").pause()
    late = table.enqueue(queue="a", limits=Limit("k", 2))
    assert table.claim() == other[:1]
    table.end(running)
    assert table.claim() == other[1:]
    Queue("a").resume()
    table.end(*other)
    assert table.claim() == [ready, waits]
    table.end(ready)
    assert table.claim() == [late]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_running": 0}, "max_running of queue 'q' is 0; it has to be a whole number, 1 or more"),
        ({"max_running": 1.5}, "whole number"),
        ({"max_per_worker": -1}, "max_per_worker"),
        ({"rate": (0, 1)}, "rate_count"),
        ({"rate": (1, 0)}, "rate_period of queue 'q' is a positive number"),
        ({"ageing": 0}, "ageing of queue 'q'"),
        ({"timeout": 1, "soft_timeout": 1}, "queue 'q': timeout"),
        ({"speed": 1}, "a queue has no option 'speed'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_limits_of_a_queue_that_make_no_sense_are_refused(queue, options, told):
    with pytest.raises(ConfigError, match=told):
        Queue("q").create(**options)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_a_limit_lets_one_through_at_least(count):
    with pytest.raises(ConfigError, match=r"limit 'k' lets through .* jobs; it has to be 1 or more"):
        Limit("k", count)
