from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import nbflow
from nbflow import settings
from nbflow.model.errors import (
    DatabaseMissingError,
    SignatureError,
)
from nbflow.queue.options import Limit
from nbflow.queue.queue import Queue
from nbflow.queue.schedule import schedules
from nbflow.queue.scheduler import Scheduler
from nbflow.queue.templates import shots
from nbflow.storage import jobs, opened, queues
from nbflow.testing.clock import VirtualClock
from nbflow.values.project import value_store
from tests.servers import wait_until
from tests.unit.queue.scheduled import DAY, HOUR, fail, follow, hourly, outcomes, records, spoil, told, work

# --- firing ----------------------------------------------------------------------------------------------------------


def test_a_time_that_is_due_fires_once(queue, scheduler, clock):
    schedule = hourly(queue)
    assert scheduler.scan() == 0
    clock.advance(3600)
    assert [scheduler.scan(), scheduler.scan()] == [1, 0]
    (record,) = records(schedule)
    assert (record.schedule, record.logical_time, record.name) == ("told", clock.time(), "told")
    assert schedule.next_at == DAY + 2 * HOUR


def test_one_time_after_the_other_fires_as_the_clock_goes_on(queue, scheduler, clock):
    schedule = hourly(queue, end=DAY + 3 * HOUR)
    for _ in range(20):
        clock.advance(900)
        scheduler.scan()
    assert outcomes(schedule) == [(1, "enqueued"), (2, "enqueued"), (3, "enqueued")]
    assert schedule.next_at is None


@pytest.mark.parametrize(
    ("catchup", "grace", "expected"),
    [
        ("latest", None, ["missed", "enqueued"]),
        ("latest", 60, ["missed"]),
        ("latest", 900, ["missed", "enqueued"]),
        ("all", None, ["enqueued"] * 4),
        ("all", timedelta(hours=1, minutes=30), ["missed", "enqueued", "enqueued"]),
        ("all", 60, ["missed"]),
        ("none", None, ["missed"]),
        ("none", 900, ["missed", "enqueued"]),
    ],
)
def test_what_was_missed_follows_the_policy(queue, scheduler, clock, catchup, grace, expected):
    schedule = hourly(queue, catchup=catchup, misfire_grace=grace)
    clock.advance(4 * 3600 + 600)  # ten minutes after the fourth time
    assert scheduler.scan() == expected.count("enqueued")
    assert [outcome for _, outcome in outcomes(schedule)] == expected
    assert schedule.next_at == DAY + 5 * HOUR


def test_times_that_were_missed_in_a_row_are_told_as_one(queue, scheduler, clock):
    schedule = hourly(queue)
    clock.advance(4 * 3600)
    scheduler.scan()
    missed = schedule.history()[1]
    assert (missed.outcome, missed.since, missed.logical_time) == ("missed", DAY + HOUR, DAY + 3 * HOUR)


def test_a_single_time_that_is_too_late_is_missed(queue, scheduler, clock):
    schedule = hourly(queue, catchup="none")
    clock.advance(3600 + 61)
    assert scheduler.scan() == 0
    assert schedule.history()[0].outcome == "missed"
    assert schedule.history()[0].since is None


def test_many_missed_times_are_caught_up_with_in_parts(queue, scheduler, clock):
    schedule = queue.schedule("* * * * *", told, zone="UTC", start=DAY, catchup="all")
    other = hourly(queue, name="other")
    clock.advance(1200 * 60)
    assert scheduler.scan() == 1201 + 1
    times = [each.logical_time for each in schedule.history(5000)]
    assert len(set(times)) == len(times) == 1201
    assert outcomes(other)[-1] == (20, "enqueued")


def test_a_year_without_a_scheduler_is_no_trouble(queue, scheduler, clock):
    schedule = queue.schedule("* * * * *", told, zone="UTC", start=DAY)
    clock.advance(366 * 86_400)
    assert scheduler.scan() == 1
    assert schedule.history()[1].since == DAY


# --- overlap ---------------------------------------------------------------------------------------------------------


def test_overlap_skip_leaves_out_times_while_a_job_is_unfinished(queue, scheduler, clock):
    schedule = hourly(queue, overlap="skip")
    for _ in range(3):
        clock.advance(3600)
        scheduler.scan()
    work()
    clock.advance(3600)
    scheduler.scan()
    assert [outcome for _, outcome in outcomes(schedule)] == ["enqueued", "skipped", "skipped", "enqueued"]


def test_overlap_wait_runs_jobs_one_after_the_other_however_they_end(queue, scheduler, clock):
    schedule = hourly(queue, fail, overlap="wait", catchup="all")
    clock.advance(4 * 3600)
    scheduler.scan()
    assert [(record.state, record.waiting) for record in records(schedule)] == [
        ("ready", 0), ("pending", 1), ("pending", 2), ("pending", 3),
    ]  # fmt: skip
    work()
    found = records(schedule)
    assert [record.state for record in found] == ["failed"] * 4
    assert [record.started_at for record in found] == sorted(record.started_at for record in found)


def test_a_cancelled_job_does_not_let_the_next_one_begin_beside_an_earlier_one(queue, scheduler, clock):
    schedule = hourly(queue, overlap="wait", catchup="all")
    clock.advance(3 * 3600)
    scheduler.scan()
    schedule.history()[1].job.cancel()
    assert [record.state for record in records(schedule)] == ["ready", "cancelled", "pending"]
    work()
    assert [record.state for record in records(schedule)] == ["succeeded", "cancelled", "succeeded"]


def test_jobs_of_other_schedules_are_no_overlap(queue, scheduler, clock):
    first, second = hourly(queue, name="first", overlap="skip"), hourly(queue, name="second", overlap="skip")
    clock.advance(3600)
    assert scheduler.scan() == 2
    assert outcomes(first) == outcomes(second)


# --- the jobs --------------------------------------------------------------------------------------------------------


def test_the_function_is_told_the_time_that_was_meant_in_the_zone_of_the_schedule(queue, scheduler, clock):
    schedule = queue.schedule("30 0 * * *", told, 1, kwargs={"x": 2}, zone="Asia/Tokyo", start=DAY)
    clock.advance(86_400)
    scheduler.scan()
    work()
    job = schedule.history()[0].job
    meant = datetime(2035, 3, 2, 0, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert job.result() == (meant, (1,), {"x": 2})
    assert job.result()[0].utcoffset() == timedelta(hours=9)
    assert job.logical_time == meant


def test_jobs_have_the_options_of_the_queue_and_followers_of_their_own(queue, scheduler, clock):
    handle = queue.with_options(priority=3, tags=["a"], meta={"b": 1}, retries=1, expires=60, on_failure=follow)
    schedule = hourly(handle, fail)
    clock.advance(3600)
    scheduler.scan()
    (record,) = records(schedule)
    assert (record.priority, json.loads(record.tags), json.loads(record.meta)) == (3, ["a"], {"b": 1})
    assert record.expires_at == clock.time() + 60
    with opened.database().read() as connection:
        (follower,) = [each for each in jobs.delayed(connection, "default") if each.name == "follow"]
    assert (follower.waiting, follower.schedule) == (1, None)


def test_followers_are_told_what_became_of_the_job(queue, scheduler, clock):
    schedule = hourly(queue.with_options(on_failure=follow), fail)
    schedule.trigger()
    work()
    with opened.database().read() as connection:
        assert sum(count for *_, count in jobs.counts(connection)) == 2
        assert jobs.delayed(connection, "default") == []
    assert records(schedule)[0].state == "failed"


def test_limits_hold_for_scheduled_jobs(queue, scheduler, clock):
    schedule = hourly(queue.with_options(limits=[Limit("one", 1)]), catchup="all")
    clock.advance(3 * 3600)
    scheduler.scan()
    assert sorted(record.state for record in records(schedule)) == ["pending", "pending", "ready"]
    assert work() == 3


def test_a_unique_key_that_is_taken_skips_the_time(queue, scheduler, clock):
    schedule = hourly(queue.with_options(unique="only one"), catchup="all")
    clock.advance(2 * 3600)
    assert scheduler.scan() == 1
    last, first = schedule.history()
    assert (first.outcome, last.outcome) == ("enqueued", "skipped")
    assert last.job.id == first.job.id


def test_jitter_delays_a_job_by_chance_but_always_by_the_same(queue, scheduler, clock):
    schedule = hourly(queue, jitter=600, catchup="all")
    clock.advance(5 * 3600)
    scheduler.scan()
    late = shots(schedule.record, [record.logical_time for record in records(schedule)], 0.0)
    delays = [shot.job.record.due_at - shot.logical_time for shot in late]
    assert all(0 <= delay <= 600 for delay in delays)
    assert len(set(delays)) == 5
    last = records(schedule)[-1]
    assert (last.state, last.due_at) == ("pending", last.logical_time + delays[-1])
    assert [record.state for record in records(schedule)[:-1]] == ["ready"] * 4  # their delay is over


# --- what is broken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [{"expression": "0 25 * * *"}, {"zone": "Nowhere"}, {"kind": "lunar"}, {"options": "{}"}, {"options": "no JSON"},
     {"payload": b"forged"}, {"payload": None}, {"catchup": "perhaps"}, {"queue": "gone"}],
    ids=lambda damage: "-".join(f"{name}={value}" for name, value in damage.items()),
)  # fmt: skip
def test_a_broken_schedule_is_paused_and_harms_no_other(queue, scheduler, clock, damage, caplog):
    broken, sound = hourly(queue, name="broken"), hourly(queue, name="sound")
    spoil("broken", **damage)
    clock.advance(3600)
    assert scheduler.scan() == 1
    assert broken.record.paused == 1
    assert broken.error
    assert "Schedule 'broken' is paused" in caplog.text
    assert outcomes(sound) == [(1, "enqueued")]
    assert scheduler.scan() == 0


def test_a_broken_schedule_goes_on_when_it_is_defined_again(queue, scheduler, clock):
    hourly(queue)
    spoil("told", payload=b"forged")
    clock.advance(3600)
    scheduler.scan()
    schedule = hourly(queue)
    assert (schedule.paused, schedule.error) == (False, None)
    assert scheduler.scan() == 1


def test_a_scheduler_with_another_key_ends_instead_of_taking_all_for_broken(queue, clock, monkeypatch):
    schedule = hourly(queue)
    monkeypatch.setenv("NBFLOW_SIGNING_KEY", "f" * 64)
    clock.advance(3600)
    with pytest.raises(SignatureError):
        Scheduler(opened.database(), value_store(settings.current()), clock).scan()
    assert not schedule.paused


def test_a_queue_that_is_drained_refuses_times_and_goes_on_afterwards(queue, scheduler, clock):
    Queue("reports").create()
    schedule, other = hourly(Queue("reports")), hourly(queue, name="other")
    Queue("reports").drain()
    clock.advance(3600)
    assert scheduler.scan() == 1
    Queue("reports").resume()
    clock.advance(3600)
    scheduler.scan()
    assert outcomes(schedule) == [(1, "refused"), (2, "enqueued")]
    assert outcomes(other) == [(1, "enqueued"), (2, "enqueued")]


def test_a_queue_that_is_gone_pauses_its_schedules(queue, scheduler, clock):
    Queue("reports").create()
    schedule = hourly(Queue("reports"))
    with opened.database().write() as connection:
        queues.remove(connection, "reports")
    clock.advance(3600)
    scheduler.scan()
    assert "There is no queue 'reports'" in schedule.error


# --- schedulers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def running():
    """Starts schedulers in threads, and stops them at the end."""
    started = []

    def start(**options):
        scheduler = Scheduler(opened.database(), value_store(settings.current()), **options)
        thread = threading.Thread(target=scheduler.run)
        thread.start()
        started.append((scheduler, thread))
        return scheduler

    yield start
    for scheduler, _ in started:
        scheduler.stop()
    for _, thread in started:
        thread.join(30)
        assert not thread.is_alive()


def test_a_scheduler_that_runs_hears_of_new_schedules_and_fires_them(queue, running):
    running()
    schedule = queue.every(0.2, told)
    wait_until(lambda: len(schedule.history()) >= 3)
    assert {each.outcome for each in schedule.history()} == {"enqueued"}


def test_schedulers_at_once_fire_each_time_once(queue, running):
    for number in range(40):
        queue.schedule("* * * * *", told, name=f"s{number}", zone="UTC", start=DAY, catchup="all")
    clock = VirtualClock(DAY.timestamp())
    for _ in range(4):
        running(clock=clock)
    clock.advance(20 * 60)
    every = [schedule for schedule in schedules() if schedule.name.startswith("s")]
    wait_until(lambda: all(schedule.next_at == DAY + timedelta(minutes=21) for schedule in every))
    with opened.database().read() as connection:
        found = Counter((each.schedule, each.logical_time) for each in jobs.waiting(connection, "default"))
    assert len(found) == 40 * 21
    assert set(found.values()) == {1}


def test_a_scheduler_that_is_stopped_before_it_runs_does_nothing(queue):
    scheduler = Scheduler(opened.database(), value_store(settings.current()))
    scheduler.stop()
    assert scheduler.run() == 0


def test_firings_are_forgotten_after_a_while(queue, running, scheduler, clock):
    schedule = hourly(queue, end=DAY + HOUR)
    clock.advance(3600)
    scheduler.scan()
    assert len(schedule.history()) == 1
    clock.advance(91 * 86_400)
    running(clock=clock)
    wait_until(lambda: schedule.history() == [])


def test_a_scheduler_ends_when_its_database_is_removed(tmp_path):
    nbflow.configure(db=str(tmp_path / "gone.db"))
    scheduler = Scheduler(opened.database(), value_store(settings.current()))
    (tmp_path / "gone.db").unlink()
    with pytest.raises(DatabaseMissingError):
        scheduler.run()
