"""Unique keys: while a job waits, while it is active, in a window; what a clash gives; debouncing."""

from __future__ import annotations

import threading

import pytest

from nbflow.model.errors import ConfigError, JobExistsError
from nbflow.queue.options import Limit, Unique
from nbflow.queue.queue import Queue
from nbflow.storage import job_links
from tests.unit.queue.jobs import add, echo
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


def key(name, **options):
    return {"unique": Unique(name, **options)}


def holder(table, name):
    """The job that holds a key."""
    with table.database.read() as connection:
        found = job_links.key(connection, name)
    return found.job if found is not None else None


def test_fifty_enqueues_at_once_give_one_row(queue):
    queue.enqueue(add, 0)
    barrier, found, errors = threading.Barrier(50), [], []

    def enqueue():
        try:
            barrier.wait(30)
            found.append(queue.with_options(unique="one").enqueue(add, 1).id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=enqueue) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (len(found), len(set(found))) == (50, 1)
    assert len(queue) == 2


def test_an_active_key_is_free_again_when_its_job_has_ended(table):
    first = table.enqueue(unique="k")
    assert table.enqueue(unique="k") == first, "it waits"
    table.claim()
    assert table.enqueue(unique="k") == first, "it runs"
    table.end(first)
    second = table.enqueue(unique="k")
    assert second != first
    table.claim()
    table.fail(second)
    assert table.enqueue(unique="k") not in (first, second)


def test_a_waiting_key_is_free_again_when_its_job_begins(table):
    first = table.enqueue(**key("k", scope="waiting"))
    assert table.enqueue(**key("k", scope="waiting")) == first
    table.claim()
    second = table.enqueue(**key("k", scope="waiting"))
    assert second != first
    table.end(first)
    assert holder(table, "k") == second, "the end of the first does not free what the second has"
    assert table.enqueue(**key("k", scope="waiting")) == second


def test_a_window_counts_from_the_enqueueing_whatever_becomes_of_the_job(table):
    first = table.enqueue(**key("k", window=60))
    table.drain()
    table.clock.advance(59)
    assert table.enqueue(**key("k", window=60)) == first
    table.clock.advance(1)
    second = table.enqueue(**key("k", window=60))
    assert second != first
    table.clock.advance(30)
    assert table.enqueue(**key("k", window=60)) == second


@pytest.mark.parametrize("how", ["cancel", "expire", "revoke", "purge", "lose"])
def test_a_key_is_free_however_its_job_ends(table, how):
    first = table.enqueue(unique="k", expires=10, most_losses=1)
    if how == "cancel":
        table.job(first).cancel()
    elif how == "expire":
        table.clock.advance(11)
        table.tick()
    elif how == "revoke":
        table.broker.revoke(f"id:{first}")
        assert table.claim() == []
    elif how == "purge":
        Queue().purge()
    else:
        for _ in range(2):
            table.claim()
            table.end(first, exit="signal 9")
    assert holder(table, "k") is None
    assert table.enqueue(unique="k") != first


def test_a_clash_may_be_an_error(table):
    first = table.enqueue(unique="k")
    with pytest.raises(JobExistsError, match=r"a job with the key 'k' already: .* clash='existing'") as told:
        table.enqueue(**key("k", clash="error"))
    assert told.value.details["job"] == first
    assert len(Queue()) == 1


def test_a_clash_takes_back_all_that_was_enqueued_with_it(queue):
    queue.with_options(unique="k").enqueue(add, 1)
    with pytest.raises(JobExistsError):
        queue.with_options(unique=Unique("k", clash="error")).enqueue_many(add, [(1,), (2,)])
    assert len(queue) == 1


def test_keys_count_across_queues_and_different_ones_do_not_meet(queue):
    other = Queue("other").create()
    first = queue.with_options(unique="k").enqueue(add, 1)
    assert other.with_options(unique="k").enqueue(add, 1).id == first.id
    assert other.with_options(unique="l").enqueue(add, 1).id != first.id


def test_a_key_is_kept_through_retries(table):
    first = table.enqueue(unique="k", retries=3)
    table.claim()
    table.put_off(first, 100)
    assert table.enqueue(unique="k") == first
    table.clock.advance(100)
    assert table.claim() == [first]
    table.end(first)
    assert holder(table, "k") is None


def test_a_requeued_job_takes_its_key_again_unless_another_has_it(table):
    first = table.enqueue(unique="k")
    table.drain()
    table.job(first).requeue()
    assert table.enqueue(unique="k") == first
    table.drain()
    second = table.enqueue(unique="k")
    table.job(first).requeue()
    assert holder(table, "k") == second
    table.drain()
    assert holder(table, "k") is None


def test_what_needs_a_job_whose_key_was_taken_needs_the_other(queue, workers):
    from nbflow.queue.patterns import call, chain

    first = queue.with_options(unique="k").enqueue(echo, "first")
    found = queue.enqueue(chain(call(echo, "second").with_options(unique="k"), call(echo)))
    assert found.jobs[0].id == first.id
    workers.burst()
    assert found.result() == "first"


# --- debouncing ------------------------------------------------------------------------------------------------------


def test_a_debounced_job_is_put_off_and_gets_the_latest_arguments(table):
    debounced = key("k", debounce=True)
    first = table.enqueue(1, eta=10, **debounced)
    table.clock.advance(8)
    assert table.enqueue(2, eta=10, **debounced) == first
    table.clock.advance(8)
    assert table.claim() == [], "10 seconds from the second call"
    assert table.enqueue(3, eta=1, **debounced) == first
    table.clock.advance(1)
    assert table.claim() == [first]
    assert table.job(first).record.enqueued_at == 1_000_000_000, "it is the same job"


def test_the_latest_arguments_are_what_runs(queue, workers):
    debounced = queue.with_options(unique=Unique("k", debounce=True))
    jobs = [debounced.enqueue(echo, number) for number in range(5)]
    assert workers.burst() == 1
    assert [job.result() for job in jobs] == [4] * 5


def test_a_job_is_put_off_no_longer_than_it_may_be(table):
    debounced = key("k", debounce=True, latest=15)
    first = table.enqueue(eta=10, **debounced)
    for _ in range(3):
        table.clock.advance(5)
        table.enqueue(eta=10, **debounced)
    assert table.claim() == [first], "15 seconds after the first call"


def test_a_running_job_is_not_debounced(table):
    first = table.enqueue(**key("k", debounce=True))
    table.claim()
    assert table.enqueue(**key("k", debounce=True)) == first
    table.end(first)
    assert table.enqueue(**key("k", debounce=True)) != first


def test_a_debounced_job_gives_up_its_place_in_front_of_limits(table):
    limits = Limit("k", 1)
    running = table.enqueue(limits=limits)
    first = table.enqueue(limits=limits, **key("u", debounce=True))
    last = table.enqueue(limits=limits)
    assert table.claim() == [running]
    table.enqueue(limits=limits, eta=50, **key("u", debounce=True))
    table.end(running)
    assert table.claim() == [last]
    table.end(last)
    table.clock.advance(50)
    assert table.claim() == [first]
    again = table.enqueue(limits=limits)
    assert table.claim() == []
    table.end(first)
    assert table.claim() == [again]


def test_a_ready_job_that_is_debounced_gives_its_place_to_others(table):
    limits = Limit("k", 1)
    first = table.enqueue(limits=limits, **key("u", debounce=True))
    second = table.enqueue(limits=limits)
    table.enqueue(limits=limits, eta=50, **key("u", debounce=True))
    assert table.claim() == [second]
    table.end(second)
    table.clock.advance(50)
    assert table.claim() == [first]


def test_a_debounced_job_needs_what_the_latest_call_needs(queue, workers):
    old, new = queue.enqueue(echo, "old"), queue.enqueue(echo, "new")
    debounced = queue.with_options(unique=Unique("k", debounce=True))
    job = debounced.enqueue(echo, old)
    debounced.enqueue(echo, [new])
    workers.burst()
    assert job.result() == ["new"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scope": "always"}, "scope of a unique key is 'waiting' or 'active'"),
        ({"clash": "ignore"}, "clash of unique keys gives 'existing' or 'error'"),
        ({"window": 0}, "window of unique key 'k' is a positive number"),
        ({"window": 5, "debounce": True}, "neither a window"),
        ({"clash": "error", "debounce": True}, "nor an error"),
        ({"latest": 5}, "add debounce=True"),
    ],
)
def test_keys_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        Unique("k", **options)


@pytest.mark.parametrize("name", ["", "x" * 201, 3])
def test_a_key_is_a_text_that_fits(queue, name):
    with pytest.raises(ConfigError, match=r"unique is a key|a unique key is a text of 1 to 200"):
        queue.with_options(unique=name)


def test_the_longest_key_is_stored_whole(table):
    long = "x" * 200
    first = table.enqueue(unique=long)
    assert (holder(table, long), table.enqueue(unique=long)) == (first, first)
