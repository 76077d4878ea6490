"""What the tests of schedules have in common, and functions that they have run by workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nbflow import settings
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.running.context import current
from nbflow.storage import jobs, opened
from nbflow.storage import schedules as stored
from nbflow.values.project import value_store

DAY = datetime(2035, 3, 1, tzinfo=UTC)  # so far ahead that nothing is due by itself
HOUR = timedelta(hours=1)


def told(*args, **kwargs):
    """The time that was meant, and what else was given."""
    context = current()
    assert context is not None
    return context.logical_time, args, kwargs


def fail():
    raise ValueError("no")


def follow(outcome):
    return outcome


def hourly(queue, function=told, *args, **options):
    """A schedule whose first time is one hour after `DAY`."""
    return queue.schedule("0 * * * *", function, *args, zone="UTC", **{"start": DAY + HOUR, **options})


def outcomes(schedule):
    """(hour, outcome) of what became of its times, the earliest first."""
    return [(each.logical_time.hour, each.outcome) for each in reversed(schedule.history(1000))]


def records(schedule):
    with opened.database().read() as connection:
        ids = [each.job.id for each in reversed(schedule.history(1000)) if each.job is not None]
        found = jobs.get(connection, ids)
    return [found[id_] for id_ in ids]


def work():
    """Run all that can be run now."""
    return Worker(opened.database(), value_store(settings.current()), WorkerOptions(concurrency=1, burst=True)).run()


def spoil(name, **values):
    """Damage the row of a schedule."""
    with opened.database().write() as connection:
        assert stored.change(connection, name, **values)
