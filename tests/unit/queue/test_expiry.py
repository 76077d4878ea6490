"""Jobs that are not begun in time: they expire, never run, and leave nothing behind."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.model.errors import ConfigError, JobExpiredError
from nbflow.model.ports import Again
from nbflow.queue.options import Limit, Unique
from nbflow.queue.queue import Queue
from nbflow.storage import gates, job_links
from tests.servers import wait_until
from tests.unit.queue.jobs import add, until, write
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def test_a_job_may_begin_until_it_expires_and_not_after(table):
    first, second = table.enqueue(expires=10), table.enqueue(expires=10)
    table.clock.advance(9.999)
    assert table.claim(1) == [first]
    table.clock.advance(0.001)
    assert table.claim() == []
    assert table.states([first, second]) == ["running", "expired"]
    table.clock.advance(100)
    table.end(first)
    assert table.state(first) == "succeeded", "it was begun in time"


@pytest.mark.parametrize(
    "form", [lambda now: 10, lambda now: timedelta(seconds=10), lambda now: datetime.fromtimestamp(now + 10, UTC)]
)
def test_the_time_is_a_datetime_or_counts_from_the_enqueueing(table, form):
    job = table.enqueue(expires=form(table.clock.time()))
    table.clock.advance(9)
    table.tick()
    assert table.state(job) == "ready"
    table.clock.advance(1)
    table.tick()
    assert table.state(job) == "expired"


def test_an_expired_job_says_so_and_has_no_try(table):
    job = table.enqueue(expires=10)
    table.clock.advance(11)
    table.tick()
    record = table.job(job).record
    assert (record.attempt, record.started_at, record.finished_at) == (0, None, table.clock.time())
    assert table.job(job).attempts() == []
    with pytest.raises(JobExpiredError, match=f"'add' was not begun in time \\(job {job}\\)"):
        table.job(job).result()


@pytest.mark.parametrize(
    "options",
    [
        {"eta": 20},
        {"after": "other"},
        {"lock": "busy"},
        {"limits": Limit("busy", 1)},
        {"queue": "paused"},
    ],
    ids=["a time", "another job", "a lock", "a limit", "its queue"],
)
def test_a_job_expires_whatever_it_waits_for(table, options):
    Queue("paused").create().pause()
    other = table.enqueue(lock="busy", limits=Limit("busy", 1))
    assert table.claim() == [other]
    job = table.enqueue(expires=10, **({"after": other} if "after" in options else options))
    table.clock.advance(10)
    table.tick()
    assert table.state(job) == "expired"
    table.end(other)
    table.clock.advance(20)
    assert table.claim() == []


def test_an_expired_job_holds_no_key_and_no_place(table):
    options = {"unique": Unique("k"), "limits": Limit("l", 1)}
    first = table.enqueue(expires=10, **options)
    table.clock.advance(10)
    table.tick()
    second = table.enqueue(**options)
    assert (second != first, table.claim()) == (True, [second])
    table.end(second)
    with table.database.read() as connection:
        assert (job_links.key(connection, "k"), gates.get(connection, ["key:l"])["key:l"].held) == (None, 0)


def test_thousands_expire_at_once(table):
    handle = Queue().with_options(expires=datetime.fromtimestamp(table.clock.time() + 5, UTC))
    made = handle.enqueue_many(add, [(number,) for number in range(1_200)])
    kept = table.enqueue()
    table.clock.advance(5)
    assert table.claim() == [kept]
    assert set(table.states([job.id for job in made])) == {"expired"}


@pytest.mark.parametrize(
    "again",
    [
        lambda table, job: table.put_off(job, 60),
        lambda table, job: table.end(job, again=Again(None, None)),
        lambda table, job: table.end(job, error=OSError("gone"), exit=-9),
        lambda table, job: table.end(job, state="cancelled"),
    ],
    ids=["tried again later", "tried again at once", "its process died", "its worker was told to stop"],
)
def test_a_job_that_was_begun_in_time_is_tried_again_after_it(table, again):
    job = table.enqueue(expires=10)
    table.claim()
    table.clock.advance(9)
    again(table, job)
    table.clock.advance(60)
    assert table.claim() == [job]


def test_a_job_that_was_given_back_unbegun_still_expires(table):
    job = table.enqueue(expires=10)
    table.claim(begins=False)
    table.end(job, state="cancelled")
    assert table.state(job) == "ready"
    table.clock.advance(10)
    assert (table.claim(), table.state(job)) == ([], "expired")


def test_an_expired_job_can_be_requeued_and_then_has_all_time(table):
    job = table.enqueue(expires=10)
    table.clock.advance(10)
    table.tick()
    table.broker.requeue([job])
    table.clock.advance(1_000)
    assert table.claim() == [job]


def test_a_requeued_job_is_run_though_its_time_is_over(queue, workers):
    job = queue.with_options(expires=-1).enqueue(add, 1)
    assert (workers.burst(), str(job.state)) == (0, "expired")
    job.requeue()
    workers.burst()
    assert job.result() == 1


def test_each_job_of_a_schedule_has_its_time_from_its_own_enqueueing(queue):
    record = queue.with_options(expires=60).every(3600, add, kwargs={"x": 1}).trigger().record
    assert (record.expires_at, "expires" in record.policy) == (record.enqueued_at + 60, False)


def test_an_expiry_in_the_past_never_runs(table):
    job = table.enqueue(expires=-1)
    assert (table.claim(), table.state(job)) == ([], "expired")


def test_a_job_that_its_worker_had_no_child_for_in_time_is_not_run(queue, workers, log, tmp_path):
    go = tmp_path / "go"
    queue.enqueue(until, log.path, "first", str(go))
    workers.start()
    wait_until(log.names)
    waiting = [queue.with_options(expires=0.3).enqueue(write, log.path, "late") for _ in range(3)]
    wait_until(lambda: time.time() > waiting[-1].record.expires_at)
    go.touch()
    wait_until(lambda: all(job.finished for job in waiting))
    assert {str(job.state) for job in waiting} == {"expired"}
    assert log.names() == ["first"]


def test_a_job_expires_while_all_places_are_taken(queue, workers, log, tmp_path):
    go = tmp_path / "go"
    first = queue.enqueue(until, log.path, "first", str(go))
    workers.start()
    wait_until(log.names)
    late = queue.with_options(expires=0.3).enqueue(write, log.path, "late")
    wait_until(lambda: late.state == "expired")
    assert first.state == "running"
    go.touch()


@pytest.mark.parametrize("expires", ["tomorrow", True])
def test_what_is_no_time_is_refused(queue, expires):
    with pytest.raises(ConfigError, match="expires is a datetime, or a timedelta or seconds from now"):
        queue.with_options(expires=expires).enqueue(add, 1)
