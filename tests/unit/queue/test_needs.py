"""Jobs that wait for others: what they need, on which end of it they run, and where they are placed then."""

from __future__ import annotations

import pytest

from nbflow.model.errors import ConfigError, JobExpiredError, JobNotFoundError
from nbflow.queue.options import Limit
from nbflow.queue.patterns import call, group
from nbflow.queue.queue import Queue
from tests.unit.queue.jobs import add, echo, fail, listed
from tests.unit.queue.tables import Table

WHENS = ("success", "failure", "stopped", "any")


@pytest.fixture
def table(queue):
    return Table(queue)


def test_a_job_waits_until_all_that_it_needs_have_ended(table):
    first, second = table.enqueue(), table.enqueue()
    job = table.enqueue(after=[first, table.job(second)])
    assert table.claim() == [first, second]
    table.end(second)
    assert (table.claim(), table.state(job), table.job(job).record.waiting) == ([], "pending", 1)
    table.end(first)
    assert table.claim() == [job]


@pytest.mark.parametrize("form", ["handle", "id", "list", "group", "generator", "argument", "deep in an argument"])
def test_needs_are_given_in_any_form(queue, workers, form):
    first = queue.enqueue(add, 1)
    made = queue.enqueue(group(call(add, 1)))
    given = {"handle": first, "id": first.id, "list": [first, first.id], "group": made, "generator": (j for j in made)}
    if form in given:
        job = queue.with_options(after=given[form]).enqueue(echo, 1)
    else:
        job = queue.enqueue(echo, first) if form == "argument" else queue.enqueue(listed, {"deep": [first]}, made)
    assert str(job.state) == "pending"
    workers.burst()
    assert job.result() == ([{"deep": [1]}, [1]] if form == "deep in an argument" else 1)


def test_what_has_ended_already_is_not_waited_for(table):
    good, bad = table.enqueue(), table.enqueue()
    table.claim()
    table.end(good)
    table.fail(bad)
    jobs = [table.enqueue(after=good), table.enqueue(after=bad), table.enqueue(after=bad, when="any")]
    assert table.states(jobs) == ["ready", "skipped", "ready"]


@pytest.mark.parametrize(
    ("ends", "runs"),
    [
        (["good", "good"], {"success", "any"}),
        (["good", "bad"], {"failure", "any"}),
        (["bad", "late"], {"failure", "any"}),
        (["good", "stopped"], {"stopped", "any"}),
        (["bad", "stopped"], {"stopped", "any"}),
        (["good", "skipped"], {"failure", "any"}),
        (["good", "stopped and skipped"], {"stopped", "any"}),
        ([], {"success", "any"}),
    ],
    ids=lambda value: " and ".join(value) or "nothing" if isinstance(value, list) else "",
)
@pytest.mark.parametrize("order", [1, -1], ids=["", "the other way round"])
def test_when_says_on_which_ends_a_job_runs(table, ends, runs, order):
    needs = {
        "good": table.enqueue(),
        "bad": table.enqueue(),
        "late": table.enqueue(expires=5),
        "stopped": table.enqueue(),
    }
    needs["skipped"] = table.enqueue(after=needs["bad"])
    needs["stopped and skipped"] = table.enqueue(after=needs["stopped"])
    jobs = {when: table.enqueue(after=[needs[end] for end in ends], when=when) for when in WHENS}
    actions = [
        lambda: table.clock.advance(5) or table.tick(),
        lambda: table.job(needs["stopped"]).cancel(),
        lambda: needs["good"] in table.hand or table.claim(2),
        lambda: needs["good"] in table.hand and table.end(needs["good"]),
        lambda: needs["bad"] in table.hand and table.fail(needs["bad"]),
    ]
    for action in actions[:2][::order] + actions[2:3] + actions[3:][::order]:
        action()
    while found := table.claim():
        table.end(*found)
    assert {when for when, job in jobs.items() if table.state(job) == "succeeded"} == runs
    assert {when for when, job in jobs.items() if table.state(job) == "skipped"} == set(WHENS) - runs


def test_a_job_that_allows_failure_has_the_error_in_the_place_of_the_value(queue, workers):
    bad = queue.enqueue(fail, "bad")
    job = queue.with_options(when="any").enqueue(listed, bad, 2)
    workers.burst()
    error, other = job.result()
    assert (type(error), str(error), other) == (ValueError, "bad", 2)


def test_the_error_of_a_skipped_job_is_that_of_what_it_needs(table):
    first = table.enqueue(expires=5)
    second = table.enqueue(after=first)
    third = table.enqueue(after=second)
    table.clock.advance(5)
    table.tick()
    for job in (second, third):
        assert table.state(job) == "skipped"
        with pytest.raises(JobExpiredError, match=first):
            table.job(job).result()


def test_front_places_a_job_before_all_others_once_it_may_begin(table):
    first = table.enqueue()
    front, plain = table.enqueue(after=first, front=True), table.enqueue(after=first)
    others = [table.enqueue() for _ in range(3)]
    assert table.claim(1) == [first]
    table.end(first)
    assert table.drain() == [front, plain, *others], "those without keep the place of their enqueueing"


def test_a_need_that_is_tried_again_or_suspended_has_not_ended(table):
    first = table.enqueue()
    job = table.enqueue(after=first)
    table.claim()
    table.put_off(first, 1)
    table.clock.advance(1)
    assert table.claim() == [first]
    table.suspend(first, 1)
    table.clock.advance(1)
    assert table.claim() == [first]
    table.end(first)
    assert table.claim() == [job]


def test_needs_a_time_a_lock_and_a_limit_hold_together(table):
    first = table.enqueue(lock="l")
    job = table.enqueue(after=first, eta=10, lock="l", limits=Limit("k", 1))
    other = table.enqueue(lock="l", limits=Limit("k", 1))
    assert table.claim() == [first]
    table.end(first)
    assert table.claim() == [other], "before its time it takes no place"
    table.clock.advance(10)
    assert table.claim() == []
    table.end(other)
    assert table.claim() == [job]


def test_a_need_on_another_queue_will_do(table):
    Queue("other").create()
    first = table.enqueue(queue="other")
    job = table.enqueue(after=first)
    assert table.claim(queues_=("default",)) == []
    assert table.claim() == [first]
    table.end(first)
    assert table.claim(queues_=("default",)) == [job]


def test_a_purged_need_lets_those_know_that_wait_for_it(table, queue):
    Queue("other").create()
    jobs = [table.enqueue(queue="other", after=table.enqueue(), when=when) for when in WHENS]
    assert queue.purge() == 4
    assert table.states(jobs) == ["skipped", "skipped", "ready", "ready"]


def test_diamonds_run_each_job_once(table):
    top = table.enqueue()
    sides = [table.enqueue(after=top) for _ in range(5)]
    bottom = table.enqueue(after=[*sides, top])
    assert table.drain() == [top, *sides, bottom]


@pytest.mark.parametrize("way", ["after", "argument"])
def test_a_job_that_waits_for_itself_is_refused(queue, way):
    id_ = queue.new_id()
    handle = queue.with_options(id=id_, **({"after": id_} if way == "after" else {}))
    with pytest.raises(ConfigError, match="'echo' would wait for itself"):
        handle.enqueue(echo, queue.job(id_) if way == "argument" else 1)
    assert len(queue) == 0


def test_a_need_that_there_is_not_is_refused(queue):
    with pytest.raises(JobNotFoundError, match="'add' needs job 'nothing', which there is not"):
        queue.with_options(after="nothing").enqueue(add, 1)
    assert len(queue) == 0
