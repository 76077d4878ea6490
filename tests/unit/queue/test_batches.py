"""Many jobs at once: one transaction, ids in order, all or none, each run just once."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from nbflow import step
from nbflow.model.errors import ConfigError, JobExistsError, QueueClosedError, UnknownQueueError, UnpicklableError
from nbflow.queue.options import Limit, Unique
from nbflow.queue.queue import Queue
from tests.servers import wait_until
from tests.unit.queue.jobs import add, echo

MANY = 10_000


@pytest.fixture(autouse=True)
def _open(queue):
    """Open the database, so that no transaction of that is counted."""
    assert len(queue) == 0


@contextmanager
def commits():
    """The transactions that this process commits meanwhile, an entry for each."""
    found = []

    def note(_):
        found.append(1)

    event.listen(Engine, "commit", note)
    yield found
    event.remove(Engine, "commit", note)


@step
def doubled(x):
    return 2 * x


def test_ten_thousand_jobs_are_one_transaction_with_ids_in_order(queue):
    with commits() as of_one:
        queue.enqueue(add, 1)
    with commits() as of_many:
        jobs = queue.enqueue_many(add, ((number, 1) for number in range(MANY)))
    ids = [job.id for job in jobs]
    assert (len(set(ids)), ids == sorted(ids)) == (MANY, True)
    assert len(of_many) == len(of_one) > 0
    assert [record.id for record in queue.peek(MANY + 1)][1:] == ids


def test_ten_thousand_jobs_are_run_once_each_and_give_their_results_in_order(queue, workers):
    found = queue.map(add, range(MANY), [1] * MANY)
    for _ in range(2):
        workers.start(concurrency=2)
    assert found.result(60) == list(range(1, MANY + 1))
    assert (len(queue), {job.record.attempt for job in found.jobs[::500]}) == (0, {1})


@pytest.mark.parametrize(
    "options",
    [{"limits": Limit("k", 7)}, {"lock": "l"}, {"eta": 0.01}, {"tags": ["t"]}, {"on_failure": echo}, {"expires": 600}],
    ids=lambda options: next(iter(options)),
)
def test_many_jobs_with_options_are_one_transaction_in_order_too(queue, workers, options):
    handle = queue.with_options(**options)
    with commits() as of_one:
        handle.enqueue(add, 0)
    with commits() as of_many:
        jobs = handle.enqueue_many(add, [(number,) for number in range(30)])
    assert len(of_many) == len(of_one)
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    workers.start()
    wait_until(lambda: all(job.finished for job in jobs))
    assert [job.result() for job in jobs] == list(range(30))


def test_many_jobs_after_another_one_wait_for_it(queue, workers):
    first = queue.enqueue(add, 1)
    jobs = queue.enqueue_many(add, [(first, number) for number in range(20)])
    assert {str(job.state) for job in jobs} == {"pending"}
    workers.burst()
    assert [job.result() for job in jobs] == list(range(1, 21))


def test_calls_are_tuples_or_dicts_and_functions_are_steps_too(queue, workers):
    jobs = queue.enqueue_many(add, [(1,), {"x": 2, "y": 3}, [4, 5]])
    jobs += queue.enqueue_many(doubled, [(3,)])
    workers.burst()
    assert [job.result() for job in jobs] == [1, 5, 9, 6]


def test_no_jobs_are_none(queue):
    assert queue.enqueue_many(add, []) == []
    assert queue.enqueue_many(add, iter(())) == []


def broken():
    yield (1,)
    raise RuntimeError("no more")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda queue: queue.enqueue_many(echo, [(1,), (lock_of_a_file(),)]), UnpicklableError),
        (lambda queue: queue.enqueue_many(echo, broken()), RuntimeError),
        (lambda queue: Queue("nowhere").enqueue_many(echo, [(1,)] * 3), UnknownQueueError),
        (lambda queue: Queue("closed").enqueue_many(echo, [(1,)] * 3), QueueClosedError),
        (lambda queue: queue.with_options(id="one").enqueue_many(echo, [(1,)] * 2), ConfigError),
        (
            lambda queue: queue.with_options(unique=Unique("k", clash="error")).enqueue_many(echo, [(1,)] * 2),
            JobExistsError,
        ),
    ],
    ids=["cannot travel", "ends with an error", "no such queue", "a closed queue", "one id", "one key"],
)
def test_one_that_cannot_be_enqueued_keeps_all_others_out(queue, make, error):
    Queue("closed").create().drain()
    with pytest.raises(error):
        make(queue)
    assert (len(queue), len(Queue("closed"))) == (0, 0)


def lock_of_a_file():
    import threading

    return threading.Lock()


def test_more_than_ten_thousand_are_several_transactions_in_one_order(queue):
    with commits() as of_one:
        first = queue.enqueue(echo, 0)
    with commits() as found:
        jobs = queue.enqueue_many(echo, ((number,) for number in range(MANY + 1)))
    assert len(found) == len(of_one) + 1
    assert [record.id for record in queue.peek(MANY + 2)] == [job.id for job in (first, *jobs)]
