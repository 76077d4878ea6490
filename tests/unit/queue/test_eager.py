"""Eager mode: calls run where they are enqueued."""

from __future__ import annotations

import asyncio

import pytest

import nbflow
from nbflow.model.errors import JobUnfinishedError
from nbflow.queue.job import wait_for
from nbflow.queue.patterns import call, chain, chord, chunks, group
from nbflow.queue.queue import Queue
from tests.unit.queue.jobs import add, add_async, fail, listed


@pytest.fixture(autouse=True)
def _eager():
    nbflow.configure(eager=True)


def test_a_call_runs_at_once_in_the_calling_thread_without_a_database(tmp_path):
    seen = []
    job = Queue(db=str(tmp_path / "none.db")).enqueue(seen.append, 1)
    assert seen == [1]
    assert (str(job.state), job.finished, job.result(), job.get(5), job.error) == ("succeeded", True, None, None, None)
    assert not (tmp_path / "none.db").exists()


def test_errors_propagate():
    with pytest.raises(ValueError, match="broken"):
        Queue().enqueue(fail, "broken")


def test_async_functions_run_also_where_a_loop_is_running():
    assert Queue().enqueue(add_async, 1, 2).result() == 3

    async def in_a_notebook():
        return Queue().enqueue(add_async, 1, 2).result()

    assert asyncio.run(in_a_notebook()) == 3


def test_jobs_among_the_arguments_stand_for_their_results():
    first = Queue().enqueue(add, 1, 2)
    assert Queue().enqueue(listed, first, [first, {"a": (first,)}]).result() == [3, [3, {"a": (3,)}]]


def test_options_are_checked_as_ever_and_else_ignored():
    job = Queue("none").with_options(eta=3600, retries=3, lock="it", priority=3).enqueue(add, 1)
    assert job.result() == 1
    with pytest.raises(nbflow.errors.ConfigError, match="priority"):
        Queue().with_options(priority="high")


def test_many_calls_run_in_order():
    assert [job.result() for job in Queue().enqueue_many(add, [(1,), (2, 3), {"x": 4}])] == [1, 5, 4]
    assert Queue().map(add, [1, 2], [3, 4]).result() == [4, 6]
    assert Queue().map(add_async, [1, 2, 3], chunk=2).result() == [[1, 2], [3]]


def test_patterns_run_one_call_after_the_other():
    pattern = chain(call(add, 1, 2), group(call(add, 10), call(add, 20)), sum)
    assert Queue().enqueue(pattern).result() == 36
    assert Queue().enqueue(chord([], listed)).result() == [[]]
    assert Queue().enqueue(chunks(add, [(1, 1), (2, 2)], 1)).result() == [[2], [4]]


def test_waiting_returns_at_once():
    group_ = Queue().map(add, [1, 2])
    assert group_.wait(0.001) is group_
    assert len(wait_for(list(group_), 0.001)) == 2
    group_.cancel()
    assert group_.finished


def test_steps_are_run_as_functions():
    @nbflow.step(queue="none")
    def double(x):
        return 2 * x

    assert double.enqueue(4).result() == 8


def test_without_it_nothing_runs(queue):
    nbflow.configure(eager=False)
    with pytest.raises(JobUnfinishedError, match=r"has not finished: it is ready\. Wait for it"):
        queue.enqueue(add, 1).result()
