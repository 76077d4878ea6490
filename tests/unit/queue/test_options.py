"""What is asked of jobs: which of several wishes counts, and what makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import nbflow
from nbflow import step
from nbflow.model.errors import ConfigError
from nbflow.queue.options import moment, seconds
from nbflow.queue.queue import Queue
from tests.unit.queue.jobs import add

CALL, TASK, QUEUE, SETTINGS = "call", "task", "queue", "settings"
# Each level asks for other seconds; soft ones are below all hard ones.
HARD = {CALL: 101.0, TASK: 102.0, QUEUE: 103.0, SETTINGS: 104.0}
SOFT = {CALL: 11.0, TASK: 12.0, QUEUE: 13.0, SETTINGS: 14.0}
ORDER = (CALL, TASK, QUEUE, SETTINGS)


@pytest.fixture
def queue(tmp_path):
    nbflow.configure(db=f"sqlite:///{tmp_path / 'nbflow.db'}")
    return Queue()


def from_level(highest, values):
    """What the levels from `highest` downwards ask for."""
    return {level: values[level] for level in ORDER[ORDER.index(highest) :]}


def asked(hard, soft, retries=None):
    """The job of a call when some levels ask for timeouts and retries: what each asks for, by level."""
    wishes = {
        level: {
            name: values[level]
            for name, values in (("timeout", hard), ("soft_timeout", soft), ("retries", retries or {}))
            if level in values
        }
        for level in ORDER
    }
    nbflow.configure(**{f"job_{name}": value for name, value in wishes[SETTINGS].items()})
    Queue("jobs").create(**wishes[QUEUE])
    function = step(**wishes[TASK])(add) if wishes[TASK] else add
    return Queue("jobs").with_options(**wishes[CALL]).enqueue(function, 1, 2).record


@pytest.mark.parametrize("hard", [TASK, QUEUE, SETTINGS])
@pytest.mark.parametrize("soft", [TASK, QUEUE, SETTINGS])
def test_the_task_wins_over_the_queue_and_that_over_the_settings(queue, hard, soft):
    record = asked(from_level(hard, HARD), from_level(soft, SOFT))
    assert (record.timeout, record.soft_timeout) == (HARD[hard], SOFT[soft])


@pytest.mark.parametrize("others", [TASK, QUEUE, SETTINGS])
def test_the_call_wins_over_all(queue, others):
    record = asked({CALL: 7.0, others: HARD[others]}, {CALL: 5.0, others: SOFT[others]})
    assert (record.timeout, record.soft_timeout) == (7.0, 5.0)


@pytest.mark.parametrize(
    ("retries", "expected"),
    [
        ({}, None),
        ({SETTINGS: 4}, 4),
        ({QUEUE: 3, SETTINGS: 4}, 3),
        ({QUEUE: 0, SETTINGS: 4}, None),
        ({TASK: 2, QUEUE: 3, SETTINGS: 4}, 2),
        ({CALL: 1, TASK: 2, QUEUE: 3, SETTINGS: 4}, 1),
        ({CALL: 0, TASK: 2, QUEUE: 3, SETTINGS: 4}, None),
    ],
)
def test_retries_are_those_of_the_first_who_says_something(queue, retries, expected):
    record = asked({}, {}, retries)
    assert (f'"retries": {expected}' in (record.policy or "")) is (expected is not None)


def test_without_any_wish_a_job_may_take_as_long_as_it_likes(queue):
    record = queue.enqueue(add, 1, 2).record
    assert (record.timeout, record.soft_timeout, record.policy) == (None, None, None)


@pytest.mark.parametrize(
    ("hard", "soft"),
    [
        ({CALL: 5.0}, {CALL: 5.0}),
        ({CALL: 5.0}, {CALL: 6.0}),
        ({CALL: 5.0}, {SETTINGS: 14.0}),
        ({QUEUE: 5.0}, {TASK: 12.0}),
        ({SETTINGS: 5.0}, {CALL: 11.0}),
    ],
)
def test_a_hard_timeout_that_leaves_no_time_after_the_soft_one_is_refused(queue, hard, soft):
    with pytest.raises(ConfigError, match=r"timeout \(5 s\) has to be longer than soft_timeout"):
        asked(hard, soft)


def test_a_queue_whose_timeouts_contradict_each_other_is_not_made(queue):
    with pytest.raises(ConfigError, match="queue 'jobs': timeout"):
        Queue("jobs").create(timeout=1, soft_timeout=2)


@pytest.mark.parametrize("retries", [-1, 1.5, True, "3"])
def test_a_queue_takes_whole_numbers_of_retries(queue, retries):
    with pytest.raises(ConfigError, match="retries of a queue is a whole number"):
        Queue("jobs").create(retries=retries)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"timeout": 0}, "timeout is a positive number"),
        ({"timeout": -1}, "timeout is a positive number"),
        ({"timeout": True}, "timeout is a positive number"),
        ({"soft_timeout": "10"}, "soft_timeout is a positive number"),
        ({"success_ttl": float("nan")}, "success_ttl is a positive number"),
        ({"priority": 1.5}, "priority is a whole number"),
        ({"priority": True}, "priority is a whole number"),
        ({"when": "never"}, "when is one of success, failure,"),
        ({"timeuot": 3}, "Did you mean 'timeout'?"),
        ({"unique": 3}, "unique is a key"),
    ],
)
def test_options_that_make_no_sense_are_refused_where_they_are_given(option, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        Queue(**option)


@pytest.mark.parametrize(
    ("given", "expected"), [(3, 3.0), (2.5, 2.5), (timedelta(minutes=2), 120.0), (None, None)], ids=str
)
def test_durations_are_seconds_or_timedeltas(given, expected):
    assert seconds(given, "timeout") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (10, 1010.0),
        (timedelta(seconds=-10), 990.0),
        (datetime(2030, 1, 1, tzinfo=UTC), 1893456000.0),
        (datetime(2030, 1, 1, 2, tzinfo=UTC).astimezone(), 1893463200.0),
    ],
    ids=str,
)
def test_moments_are_datetimes_or_from_now(given, expected):
    assert moment(given, 1000.0, "eta") == expected
