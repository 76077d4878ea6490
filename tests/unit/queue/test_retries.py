"""Trying again after an error: how often, when, after which errors, and when the job asks for it."""

from __future__ import annotations

import pickle
import random
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from nbflow import step
from nbflow.model.errors import DefinitionError, NbflowError, RetryLater
from nbflow.model.policies import NO_RETRY, Retry, retry_policy
from tests.unit.queue.jobs import count_and_fail, die_once, fail_with, later, until
from tests.unit.queue.tables import Table


def gaps(log):
    """Seconds between the tries of a job."""
    times = [float(words[1]) for words in log.lines()]
    return [after - before for before, after in pairwise(times)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"retries": 3}, [0, 0, 0]),
        ({"retries": 3, "delay": 5}, [5, 5, 5]),
        ({"retries": [1, 10, 60]}, [1, 10, 60]),
        ({"retries": 5, "delay": [1, 10]}, [1, 10, 10, 10, 10]),
        ({"retries": 5, "delay": 15, "backoff": 2}, [15, 30, 60, 120, 240]),
        ({"retries": 5, "delay": [1, 4], "backoff": 3}, [1, 4, 12, 36, 108]),
        ({"retries": 6, "delay": 1, "backoff": 10, "cap": 500}, [1, 10, 100, 500, 500, 500]),
        ({"retries": 2, "delay": 60, "cap": 5}, [5, 5]),
    ],
    ids=["at once", "constant", "list", "last repeats", "exponential", "list and exponential", "cap", "cap below"],
)
def test_the_delays_of_a_policy(options, expected):
    policy = retry_policy(options)
    assert [policy.delay(number, lambda: 0.5) for number in range(1, policy.retries + 1)] == expected


def test_jitter_spreads_the_delays_evenly_around_them():
    policy = retry_policy({"retries": 1, "delay": 100, "jitter": 0.25})
    seeded = random.Random(11)
    delays = [policy.delay(1, seeded.random) for _ in range(1_000)]
    again = random.Random(11)
    assert delays == [policy.delay(1, again.random) for _ in range(1_000)], "the same seed gives the same delays"
    assert 75 <= min(delays) < 76
    assert 124 < max(delays) <= 125
    assert abs(sum(delays) / len(delays) - 100) < 2


@pytest.mark.parametrize(
    ("options", "error", "wanted"),
    [
        ({}, ValueError("x"), True),
        ({}, KeyboardInterrupt(), False),
        ({"retry_on": OSError}, FileNotFoundError(), True),
        ({"retry_on": OSError}, ValueError("x"), False),
        ({"retry_on": (OSError, ValueError), "never_retry_on": FileNotFoundError}, FileNotFoundError(), False),
        ({"retry_on": (OSError, ValueError), "never_retry_on": FileNotFoundError}, ValueError("x"), True),
        ({"retry_on": lambda error: "again" in str(error)}, ValueError("try again"), True),
        ({"retry_on": lambda error: "again" in str(error)}, ValueError("over"), False),
        ({"retry_on": lambda error: True, "never_retry_on": OSError}, OSError(), False),
    ],
)
def test_which_errors_are_retried(options, error, wanted):
    assert retry_policy({"retries": 1, **options}).wants(error, 0) is wanted
    assert not retry_policy({"retries": 1, **options}).wants(error, 1), "once is enough"


def test_a_job_is_tried_so_often_and_then_fails(queue, workers, log):
    job = queue.with_options(retries=2).enqueue(count_and_fail, log.path, 9)
    workers.burst()
    with pytest.raises(ValueError, match="try 3"):
        job.result()
    assert [(each.number, each.state, each.error_message) for each in job.attempts()] == [
        (1, "failed", "try 1"), (2, "failed", "try 2"), (3, "failed", "try 3"),
    ]  # fmt: skip


def test_a_retry_that_succeeds_leaves_no_error(queue, workers, log):
    job = queue.with_options(retries=5).enqueue(count_and_fail, log.path, 3)
    workers.burst()
    assert (job.result(), job.error, job.record.attempt) == (3, None, 3)


def test_retries_wait_for_their_delays(queue, workers, log):
    job = queue.with_options(retries=[0.2, 0.5]).enqueue(count_and_fail, log.path, 3)
    workers.start()
    assert job.result(60) == 3
    first, second = gaps(log)
    assert first >= 0.2
    assert second >= 0.5


def test_a_retry_goes_behind_what_came_meanwhile(queue):
    table = Table(queue)
    first, second = table.enqueue(retries=1), table.enqueue()
    assert table.claim(1) == [first]
    table.put_off(first, 0)
    assert table.claim() == [second, first]


@pytest.mark.parametrize(("kind", "tries"), [(FileNotFoundError, 1), (TimeoutError, 3), (ValueError, 1)])
def test_errors_are_included_and_excluded_by_their_types(queue, workers, log, kind, tries):
    options = {"retries": 2, "retry_on": OSError, "never_retry_on": FileNotFoundError}
    job = queue.with_options(**options).enqueue(count_and_fail, log.path, 9, kind)
    workers.burst()
    assert (len(log.lines()), str(job.state)) == (tries, "failed")


def test_a_function_decides_which_errors_are_retried(queue, workers, log):
    word = "try 1"
    job = queue.with_options(retries=5, retry_on=lambda error: word in str(error)).enqueue(count_and_fail, log.path, 9)
    workers.burst()
    with pytest.raises(ValueError, match="try 2"):
        job.result()


def test_an_error_class_of_a_notebook_is_known_in_the_worker(queue, workers):
    class OwnError(Exception):
        pass

    job = queue.with_options(retries=1, retry_on=OwnError).enqueue(fail_with, OwnError, "mine")
    workers.burst()
    assert job.record.attempt == 2


def test_a_step_says_how_it_is_retried(queue, workers, log):
    tried = step(retries=2)(count_and_fail)
    job = tried.enqueue(log.path, 3)
    never = queue.with_options(retries=0).enqueue(tried, log.path, 9)
    workers.burst()
    assert (job.result(), never.record.attempt) == (3, 1)


@pytest.mark.parametrize("when", ["seconds", "timedelta", "datetime"])
def test_a_job_asks_to_be_run_again_later(queue, workers, log, when):
    moment = {
        "seconds": 0.3,
        "timedelta": timedelta(seconds=0.3),
        "datetime": datetime.fromtimestamp(time.time() + 2, UTC),
    }[when]
    job = queue.enqueue(later, log.path, 1, moment)
    workers.start()
    assert job.result(60) == 2
    assert gaps(log)[0] >= 0.3
    assert [each.state for each in job.attempts()] == ["failed", "succeeded"]


def test_asking_for_it_needs_no_retries_and_may_be_done_often(queue, workers, log):
    job = queue.enqueue(later, log.path, 6)
    workers.burst()
    assert (job.result(), job.record.attempt) == (7, 7)


def test_a_try_that_was_lost_with_its_process_costs_no_retry(queue, workers, log):
    job = queue.enqueue(die_once, log.path)
    workers.burst()
    assert (job.result(), job.record.losses) == (2, 1)


def test_timeouts_are_retried_as_errors_are(queue, workers, log):
    options = {"timeout": 0.3, "retries": 1}
    job = queue.with_options(**options).enqueue(until, log.path, "begun", "/nowhere")
    never = queue.with_options(**options, never_retry_on=TimeoutError).enqueue(until, log.path, "never", "/nowhere")
    workers.burst()
    assert (log.names().count("begun"), log.names().count("never")) == (2, 1)
    assert (str(job.state), str(never.state)) == ("timed_out", "timed_out")


def test_how_to_retry_needs_how_often(queue):
    with pytest.raises(NbflowError, match="add retries=3"):
        queue.with_options(delay=3)
    with pytest.raises(DefinitionError, match="exception types"):
        queue.with_options(retries=1, retry_on="OSError")
    assert retry_policy({"retries": 0, "delay": 3}) is NO_RETRY
    assert Retry(1).test is None


def test_retry_later_is_an_error_that_travels():
    found = pickle.loads(pickle.dumps(RetryLater(timedelta(seconds=5), "busy")))
    assert (found.when, str(found), found.moment(100.0)) == (timedelta(seconds=5), "busy", 105.0)
