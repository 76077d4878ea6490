"""Looking at what waits, beyond the plain cases in test_etas.py: what counts as ready, as delayed, and what is told."""

from __future__ import annotations

import json

import pytest

from nbflow.queue.queue import Queue
from tests.unit.queue.jobs import add
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def ids(records):
    return [record.id for record in records]


def test_each_waiting_job_is_either_ready_or_delayed_and_no_other_is_seen(table, queue):
    running = table.enqueue(lock="l")
    assert table.claim() == [running]
    ended = table.enqueue()
    assert table.claim() == [ended]
    table.end(ended)
    front, ready = [table.enqueue(front=front) for front in (True, False)]
    delayed = table.enqueue(eta=100)
    locked, needing = table.enqueue(lock="l"), table.enqueue(after=ready)
    assert (ids(queue.peek()), ids(queue.delayed())) == ([front, ready], [delayed, locked, needing])
    assert len(queue) == 5


def test_at_most_twenty_are_shown_unless_told_otherwise(table, queue):
    made = [table.enqueue(eta=100 + number) for number in range(25)]
    assert (ids(queue.delayed()), ids(queue.delayed(limit=25)), ids(queue.delayed(limit=1))) == (
        made[:20], made, made[:1],
    )  # fmt: skip


def test_looking_takes_nothing_and_changes_nothing(table, queue):
    made = [table.enqueue(), table.enqueue(eta=100)]
    before = [table.job(job).record for job in made]
    for _ in range(3):
        queue.peek()
        queue.delayed(before=200)
    assert [table.job(job).record for job in made] == before
    assert table.claim() == made[:1]


def test_a_job_that_became_due_is_shown_as_ready_in_its_place(table, queue):
    early, ready = table.enqueue(eta=10), table.enqueue()
    table.clock.advance(10)
    table.tick()
    assert (ids(queue.peek()), queue.delayed()) == ([early, ready], [])


def test_what_is_seen_of_a_job_tells_what_it_is(queue):
    job = queue.with_options(priority=3, tags=["nightly"], meta={"rows": 1}, timeout=60).enqueue(add, 1)
    (record,) = queue.peek()
    assert record == job.record
    assert (record.name, record.queue, record.priority, record.timeout) == ("add", "default", 3, 60)
    assert (json.loads(record.tags), json.loads(record.meta)) == (["nightly"], {"rows": 1})


def test_a_queue_that_was_never_made_has_nothing(queue):
    assert (Queue("other").peek(), Queue("other").delayed(), len(Queue("other"))) == ([], [], 0)
