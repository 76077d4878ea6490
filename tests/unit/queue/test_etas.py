"""Delayed jobs, and looking at what waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.model.errors import ConfigError
from nbflow.queue.queue import Queue
from nbflow.testing.clock import VirtualClock
from tests.servers import wait_until
from tests.unit.queue.jobs import add, write
from tests.unit.queue.tables import Table


def at(seconds):
    """So many seconds from now, in all the ways in which it can be said."""
    return {
        "seconds": seconds,
        "timedelta": timedelta(seconds=seconds),
        "utc": datetime.now(UTC) + timedelta(seconds=seconds),
        "local": datetime.now() + timedelta(seconds=seconds),
    }


@pytest.mark.parametrize("form", ["seconds", "timedelta", "utc", "local"])
def test_a_job_is_never_early(queue, workers, log, form):
    plain = queue.enqueue(write, log.path, "at_once")
    workers.start()
    meant = time.time() + 1.5
    job = queue.with_options(eta=at(1.5)[form]).enqueue(write, log.path, "late")
    assert (str(job.state), job.record.ready_at) == ("pending", None)
    plain.wait(30)
    job.wait(30)
    assert log.names() == ["at_once", "late"]
    assert job.attempts()[0].started_at >= meant - 0.001


def test_an_eta_that_has_passed_is_no_delay(queue, workers):
    job = queue.with_options(eta=datetime(2001, 1, 1, tzinfo=UTC)).enqueue(add, 1)
    assert str(job.state) == "ready"
    assert workers.burst() == 1


def test_a_due_job_takes_the_place_that_it_was_enqueued_at(queue):
    table = Table(queue)
    delayed = table.enqueue(eta=10)
    plain = table.enqueue()
    table.clock.advance(10)
    assert table.claim(2) == [delayed, plain]


def test_due_jobs_are_let_go_by_whichever_worker_lives(queue, workers, log):
    first = workers.start()
    job = queue.with_options(eta=0.5).enqueue(write, log.path, "due")
    first.stop(now=True)
    workers.start()
    assert job.result(30) == "due"


def test_the_same_call_twice_is_two_jobs(queue, workers, log):
    jobs = [queue.with_options(eta=seconds).enqueue(write, log.path, "call") for seconds in (0.1, 0.2)]
    workers.start()
    wait_until(lambda: all(job.finished for job in jobs))
    assert log.names() == ["call", "call"]


def test_peek_shows_what_is_ready_in_order_and_takes_nothing(queue, workers):
    jobs = [queue.enqueue(add, number) for number in range(30)]
    assert [record.id for record in queue.peek()] == [job.id for job in jobs[:20]]
    assert [record.id for record in queue.peek(limit=3)] == [job.id for job in jobs[:3]]
    assert len(queue) == 30
    assert workers.burst() == 30
    assert (queue.peek(), len(queue)) == ([], 0)


def test_delayed_shows_what_waits_for_a_time_the_earliest_first(queue):
    made = {seconds: queue.with_options(eta=seconds).enqueue(add, 1) for seconds in (300, 100, 200)}
    needs = queue.enqueue(add, made[100])
    order = [made[seconds].id for seconds in (100, 200, 300)]
    assert [record.id for record in queue.delayed()] == [*order, needs.id], "what has no time comes last"
    assert [record.id for record in queue.delayed(limit=2)] == order[:2]
    assert [record.id for record in queue.delayed(before=timedelta(seconds=250))] == order[:2]
    assert [record.id for record in queue.delayed(before=datetime.now(UTC) + timedelta(seconds=150))] == order[:1]
    assert queue.peek() == []


def test_peek_keeps_to_its_queue(queue):
    other = Queue("other").create()
    other.enqueue(add, 1)
    assert (queue.peek(), len(other.peek())) == ([], 1)


@pytest.mark.parametrize("eta", ["tomorrow", True, b"1"])
def test_what_is_no_time_is_refused(queue, eta):
    with pytest.raises(ConfigError, match="eta is a datetime, or a timedelta or seconds from now"):
        queue.with_options(eta=eta).enqueue(add, 1)


def test_a_frozen_clock_makes_nothing_due(queue):
    table = Table(queue, VirtualClock())
    job = table.enqueue(eta=1)
    assert table.claim(1) == []
    table.clock.advance(0.75)
    assert table.claim(1) == []
    table.clock.advance(0.25)
    assert table.claim(1) == [job]
