"""Rate limits: starts in any span of time, of a queue, a function, a key."""

from __future__ import annotations

import pytest

from nbflow.model.errors import ConfigError
from nbflow.queue.options import Limit
from nbflow.queue.queue import Queue
from nbflow.storage import gates, opened
from tests.servers import wait_until
from tests.unit.queue.jobs import count_and_fail, write
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def most_starts(times, period):
    """How many of some times lie within any span of this length at most."""
    times = sorted(times)
    return max(sum(start <= time < start + period for time in times) for start in times)


def held(name):
    """How many places of a gate are taken."""
    with opened.database().read() as connection:
        return gates.get(connection, [name])[name].held


def starts(table, seconds, step=1.0):
    """Work as fast as it goes for some time; when each job started, from now."""
    begin, found = table.clock.time(), []
    while table.clock.time() < begin + seconds:
        while ids := table.claim():
            found += [(table.clock.time() - begin, id_) for id_ in ids]
            table.end(*ids)
        table.clock.advance(step)
    return found


def test_starts_within_any_span_are_never_more_than_the_rate(queue, workers, log):
    limited = Queue("limited").create(rate=(3, 0.5))
    jobs = [limited.enqueue(write, log.path, f"job{number}") for number in range(10)]
    for _ in range(2):
        workers.start(concurrency=2)
    wait_until(lambda: all(job.finished for job in jobs), 60)
    tries = [job.attempts() for job in jobs]
    assert most_starts([each[0].started_at for each in tries], 0.5) <= 3
    assert {len(each) for each in tries} == {1}
    assert sorted(log.names()) == [f"job{number}" for number in range(10)]


def test_a_rate_is_used_up_at_once_and_then_as_places_come_free(table):
    Queue("limited").create(rate=(3, 10))
    ids = [table.enqueue(queue="limited") for _ in range(8)]
    assert starts(table, 30) == [(10.0 * (number // 3), id_) for number, id_ in enumerate(ids)]


def test_the_window_slides(table):
    """What began at 4 counts until 14, and not until the end of some fixed window."""
    ids = [table.enqueue(limits=Limit("k", 2, per=10)) for _ in range(6)]
    assert table.claim(1) == ids[:1]
    table.clock.advance(4)
    assert table.claim() == ids[1:2]
    table.end(*ids[:2])
    table.clock.advance(1)
    assert starts(table, 20) == [(5.0, ids[2]), (9.0, ids[3]), (15.0, ids[4]), (19.0, ids[5])]


def test_a_place_is_kept_from_when_the_function_was_begun(table):
    """A claimed job may have to wait for its process; its place is taken meanwhile."""
    ids = [table.enqueue(limits=Limit("k", 1, per=10)) for _ in range(3)]
    assert table.claim(begins=False) == ids[:1]
    table.clock.advance(100)
    assert table.claim() == []
    table.begin(ids[0])
    table.clock.advance(9)
    assert table.claim() == []
    table.clock.advance(1)
    assert table.claim() == ids[1:2], "though the first still runs"
    table.end(ids[0], ids[1])
    assert table.claim() == []
    table.clock.advance(10)
    assert table.claim() == ids[2:]


def test_a_claimed_job_that_is_given_back_before_it_began_uses_no_start_up(table):
    first, second = (table.enqueue(limits=Limit("k", 1, per=10)) for _ in range(2))
    assert table.claim(begins=False) == [first]
    table.end(first, state="cancelled")
    assert table.claim() == [first]
    table.end(first)
    assert (table.claim(), table.state(second)) == ([], "pending")


def test_a_rate_counts_starts_and_not_what_runs(table):
    limit = Limit("k", 1, per=5)
    first, second = table.enqueue(limits=limit), table.enqueue(limits=limit)
    assert table.claim() == [first]
    table.begin(first)
    table.clock.advance(5)
    assert table.claim() == [second], "though the first still runs"


def test_each_key_has_its_own_rate(table):
    a = [table.enqueue(limits=Limit("a", 1, per=10)) for _ in range(3)]
    b = [table.enqueue(limits=Limit("b", 2, per=10)) for _ in range(3)]
    assert table.claim() == [a[0], *b[:2]]


def test_a_function_has_a_rate_by_its_name_on_all_queues(table):
    Queue("other").create()
    limit = Limit("fetch", 1, per=10)
    first, second = table.enqueue(limits=limit), table.enqueue(limits=limit, queue="other")
    plain = table.enqueue(queue="other")
    assert sorted(table.claim()) == sorted([first, plain])
    table.end(first, plain)
    table.clock.advance(10)
    assert table.claim() == [second]


def test_a_rate_and_a_concurrency_limit_hold_together(table):
    limits = (Limit("k", 1), Limit("k", 2, per=10))
    first, second, third = (table.enqueue(limits=limits) for _ in range(3))
    assert table.claim() == [first]
    table.end(first)
    assert table.claim() == [second]
    table.end(second)
    assert table.claim() == []
    table.clock.advance(10)
    assert table.claim() == [third]


def test_waiting_costs_no_retry_and_is_no_failure(queue, workers, log):
    limited = queue.with_options(limits=Limit("k", 1, per=0.2), retries=2)
    jobs = [limited.enqueue(write, log.path, "x") for _ in range(4)]
    workers.start()
    wait_until(lambda: all(job.finished for job in jobs), 60)
    assert [(str(job.state), job.record.attempt) for job in jobs] == [("succeeded", 1)] * 4


def test_a_retry_is_a_start_like_any_other(queue, workers, log):
    job = queue.with_options(limits=Limit("k", 1, per=0.4), retries=2).enqueue(count_and_fail, log.path, 3)
    workers.start()
    assert job.result(60) == 3
    times = [each.started_at for each in job.attempts()]
    assert most_starts(times, 0.4) == 1


def test_what_was_let_through_but_never_began_gives_its_place_back(table):
    limit = Limit("k", 2, per=10)
    first, second, third, fourth = (table.enqueue(limits=limit) for _ in range(4))
    table.job(first).cancel()
    table.broker.revoke(f"id:{second}")
    assert table.claim(1) == []
    assert table.state(second) == "cancelled"
    assert table.claim() == [third, fourth]


def test_a_retried_job_that_is_cancelled_before_it_begins_again_gives_its_place_back(table):
    limit = Limit("k", 1, per=10)
    first, second = table.enqueue(limits=limit, retries=1), table.enqueue(limits=limit)
    table.claim()
    table.put_off(first, 0)
    table.job(second).cancel()
    table.clock.advance(10)
    table.tick()
    assert table.state(first) == "ready"
    table.job(first).cancel()
    assert held("rate:key:k") == 0


def test_all_places_are_given_back_in_the_end(table):
    limit = Limit("k", 3, per=7)
    for _ in range(10):
        table.enqueue(limits=limit)
    assert len(starts(table, 60)) == 10
    assert held("rate:key:k") == 0
    with table.database.read() as connection:
        assert gates.next_due(connection) is None


def test_a_rate_that_is_changed_counts_what_began_before(table):
    limited = Queue("limited").create(rate=(2, 10))
    ids = [table.enqueue(queue="limited") for _ in range(6)]
    assert table.claim() == ids[:2]
    limited.create(rate=(3, 10))
    assert table.claim() == ids[2:3]
    table.end(*ids[:3])
    limited.create(rate=(3, 2))
    table.clock.advance(2)
    assert table.claim() == ids[3:]


def test_a_rate_that_is_lifted_holds_nothing_up(table):
    limited = Queue("limited").create(rate=(1, 1000))
    ids = [table.enqueue(queue="limited") for _ in range(3)]
    assert table.claim() == ids[:1]
    limited.create()
    assert table.claim() == ids[1:]


@pytest.mark.parametrize("per", [0, -1, "1 s"])
def test_a_rate_is_per_a_time(per):
    with pytest.raises(ConfigError, match="per of limit 'k' is a positive number of seconds"):
        Limit("k", 1, per=per)
