from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.model.errors import (
    ConfigError,
    DefinitionError,
    ScheduleError,
    UnknownQueueError,
)
from nbflow.queue.queue import Queue
from nbflow.queue.schedule import Schedule, schedules
from nbflow.queue.scheduling import ScheduleEntry
from tests.unit.queue.scheduled import DAY, HOUR, fail, hourly, outcomes, told, work

# --- steering --------------------------------------------------------------------------------------------------------


def test_a_paused_schedule_does_not_fire_and_goes_on_with_the_next_time(queue, scheduler, clock):
    schedule = queue.every(0.5, told)
    schedule.pause()
    assert schedule.paused
    assert schedule.next_at is None
    assert len(schedule.next(3)) == 3
    assert scheduler.scan() == 0
    before = time.time()
    schedule.resume()
    assert not schedule.paused
    assert before < schedule.next_at.timestamp() <= time.time() + 0.5
    assert schedule.history() == []


def test_a_trigger_enqueues_at_once(queue):
    schedule = hourly(queue)
    schedule.pause()
    before = time.time()
    job = schedule.trigger()
    work()
    assert before - 1e-6 <= job.result()[0].timestamp() <= time.time()
    assert schedule.history()[0].job.id == job.id


def test_a_trigger_for_a_time_happens_once(queue, scheduler, clock):
    schedule = hourly(queue)
    job = schedule.trigger(DAY + HOUR)
    with pytest.raises(ScheduleError, match="has enqueued the job for 2035-03-01 01:00:00"):
        schedule.trigger(datetime(2035, 3, 1, 1, 0))  # in the zone of the schedule
    clock.advance(3600)
    assert scheduler.scan() == 0
    assert [each.job.id for each in schedule.history()] == [job.id]


def test_a_time_that_was_skipped_or_missed_can_be_triggered(queue, scheduler, clock):
    schedule = hourly(queue, overlap="skip", catchup="all", misfire_grace=7200)
    clock.advance(4 * 3600)
    scheduler.scan()
    assert outcomes(schedule) == [(1, "missed"), (2, "enqueued"), (3, "skipped"), (4, "skipped")]
    for hour in (1, 3):
        schedule.trigger(DAY + hour * HOUR)
    assert outcomes(schedule) == [(1, "enqueued"), (2, "enqueued"), (3, "enqueued"), (4, "skipped")]


def test_a_backfill_enqueues_what_has_had_no_job(queue):
    schedule = hourly(queue)
    schedule.trigger(datetime(2024, 5, 1, 3))
    found = schedule.backfill(datetime(2024, 5, 1), datetime(2024, 5, 1, 5, tzinfo=UTC))
    assert [job.logical_time.hour for job in found] == [0, 1, 2, 4, 5]
    assert schedule.backfill(datetime(2024, 5, 1), datetime(2024, 5, 1, 5)) == []
    assert [job.logical_time.hour for job in schedule.backfill(datetime(2024, 5, 1), datetime(2024, 5, 1, 7))] == [6, 7]
    assert work() == 8


def test_a_backfill_of_jobs_that_may_not_overlap_runs_one_after_the_other(queue):
    schedule = hourly(queue, overlap="skip")
    found = schedule.backfill(datetime(2024, 5, 1), datetime(2024, 5, 1, 3))
    assert [job.state for job in found] == ["ready", "pending", "pending", "pending"]
    assert work() == 4
    assert [job.state for job in found] == ["succeeded"] * 4


def test_a_large_backfill_is_done_in_parts(queue):
    schedule = queue.schedule("* * * * *", told, zone="UTC")
    found = schedule.backfill(datetime(2024, 5, 1), datetime(2024, 5, 1, 20))
    assert len({job.id for job in found}) == len(found) == 1201


@pytest.mark.parametrize(
    ("first", "last", "told_"),
    [(datetime(2024, 5, 1), DAY, "still to come"), (datetime(2024, 5, 2), datetime(2024, 5, 1), "comes before")],
)
def test_a_backfill_of_times_that_make_no_sense_is_refused(queue, first, last, told_):
    schedule = hourly(queue)
    with pytest.raises(ScheduleError, match=told_):
        schedule.backfill(first, last)
    assert schedule.history() == []


def test_what_is_removed_fires_no_more(queue, scheduler, clock):
    schedule = hourly(queue)
    clock.advance(3600)
    scheduler.scan()
    schedule.remove()
    clock.advance(3600)
    assert scheduler.scan() == 0
    assert len(queue) == 1
    for act in (schedule.history, schedule.pause, schedule.remove, schedule.trigger, schedule.describe):
        with pytest.raises(ScheduleError, match="There is no schedule 'told'"):
            act()


def test_schedules_are_listed_and_misspelt_ones_guessed(queue):
    Queue("reports").create()
    hourly(queue, name="daily report")
    hourly(Queue("reports"), name="another")
    assert [each.name for each in schedules()] == ["another", "daily report"]
    assert [each.name for each in schedules("reports")] == ["another"]
    with pytest.raises(ScheduleError, match="Did you mean 'daily report'"):
        Schedule("daily reports").record  # noqa: B018  (the access is the test)


# --- defining --------------------------------------------------------------------------------------------------------


def test_the_same_name_is_changed_in_place(queue, scheduler, clock):
    hourly(queue, told, 1)
    clock.advance(3600)
    scheduler.scan()
    schedule = hourly(queue, fail, name="told", start=DAY + HOUR, overlap="skip")
    assert len(schedules()) == 1
    assert (schedule.record.target, schedule.record.overlap) == ("fail", "skip")
    assert schedule.next_at == DAY + 2 * HOUR  # the same times go on where they are
    assert len(schedule.history()) == 1


def test_other_times_count_from_now(queue):
    hourly(queue)
    schedule = queue.schedule("30 * * * *", told, zone="UTC")
    assert timedelta(0) < schedule.next_at - datetime.now(UTC) <= HOUR


def test_an_interval_that_is_defined_again_keeps_its_beat(queue):
    first = queue.every("1h", told).next_at
    assert queue.every("60 minutes", told).next_at == first
    assert queue.every("2h", told).next_at - datetime.now(UTC) > timedelta(minutes=119)


def test_a_paused_schedule_that_is_defined_again_stays_paused(queue):
    hourly(queue).pause()
    assert hourly(queue, fail, name="told").paused


def test_entries_are_defined_together(queue):
    Queue("reports").create()
    found = queue.schedule_all(
        [
            ("0 6 * * *", told),
            ("0 7 * * *", told, (1,), {"x": 2}),
            ScheduleEntry("0 8 * * *", told, queue="reports", options={"name": "eight", "zone": "Europe/Paris"}),
        ]
    )
    assert [(each.name, each.record.queue) for each in found] == [
        ("told", "default"), ("told-2", "default"), ("eight", "reports"),
    ]  # fmt: skip
    found[1].trigger()
    work()
    assert found[1].history()[0].job.result()[1:] == ((1,), {"x": 2})


@pytest.mark.parametrize(
    ("entry", "told_"),
    [
        (("0 25 * * *", told), "the hour cannot be '25'"),
        (("0 6 * * *",), "An entry is"),
        ("0 6 * * *", "An entry is"),
        (ScheduleEntry("0 6 * * *", told, options={"name": "told"}), "Two entries have the name 'told'"),
    ],
)
def test_of_entries_with_a_bad_one_none_is_defined(queue, entry, told_):
    with pytest.raises(ScheduleError, match=told_):
        queue.schedule_all([("0 6 * * *", told), entry])
    assert schedules() == []


def test_of_entries_with_an_unknown_queue_none_is_defined(queue):
    with pytest.raises(UnknownQueueError, match="There is no queue 'reprots'"):
        queue.schedule_all([("0 6 * * *", told), ScheduleEntry("0 6 * * *", told, queue="reprots")])
    assert schedules() == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"catchup": "some"}, "catchup"), ({"overlap": "queue"}, "overlap"), ({"misfire_grace": -1}, "misfire_grace"),
        ({"jitter": "5m"}, "jitter"), ({"zone": "Europe/Pari"}, "zone"), ({"start": "tomorrow"}, "time"),
        ({"start": DAY, "end": DAY - HOUR}, "end"), ({"end": datetime(2020, 1, 1)}, "end"),
        ({"start": DAY, "end": DAY + HOUR / 3}, "end"), ({"name": "n" * 65}, "name"), ({"catch_up": "all"}, "catch_up"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_by_name(queue, options, field):
    with pytest.raises(ScheduleError) as raised:
        queue.schedule("30 * * * *", told, **options)
    assert raised.value.field == field
    assert schedules() == []


@pytest.mark.parametrize("options", [{"eta": 5}, {"after": ["x"]}, {"expires": DAY}])
def test_options_of_jobs_that_contradict_a_schedule_are_refused(queue, options):
    with pytest.raises(ScheduleError, match=next(iter(options))):
        hourly(queue.with_options(**options))


def test_what_cannot_be_called_again_and_again_is_refused(queue):
    with pytest.raises(ScheduleError, match="cannot take the result of a job"):
        queue.schedule("0 * * * *", told, queue.enqueue(told))
    with pytest.raises(DefinitionError, match="calls a function"):
        queue.schedule("0 * * * *", "told")
    with pytest.raises(DefinitionError, match="cannot be the name"):
        queue.schedule("0 * * * *", told, name="a/b")
    with pytest.raises(ConfigError):
        queue.with_options(timeout=1, soft_timeout=2).schedule("0 * * * *", told)
    assert schedules() == []
