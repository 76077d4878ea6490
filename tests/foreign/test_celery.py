"""Celery: a real worker, and what Celery itself says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
import redis
from celery.result import AsyncResult

from nbflow.client.foreign.celery import open_celery
from nbflow.client.sources import Query
from tests.foreign.conftest import changes_nothing, contents, rows
from tests.servers import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def app(empty):
    from tests.foreign.celery_app import app

    url = empty(2)
    app.conf.update(broker_url=url, result_backend=url)
    yield app
    app.close()


@pytest.fixture(scope="module")
def told(redis_server, app, start, tmp_path_factory):
    """A client that listens from the beginning, and a worker that did some tasks, is at two, and has some before it."""
    from tests.foreign import celery_app as tasks

    url, folder = redis_server.url(2), tmp_path_factory.mktemp("held")
    source = open_celery(url)
    ended = [
        tasks.add.apply_async((1, 2), task_id="added"),
        tasks.fail.apply_async(("no\ngood",), task_id="failed"),
        tasks.flaky.apply_async(task_id="flaky"),
        tasks.add.apply_async((1, 2), task_id="expired", expires=datetime.now(UTC) - timedelta(seconds=1)),
    ]
    due = datetime.now(UTC) + timedelta(hours=1)
    arguments = ("-A", "tests.foreign.celery_app", "worker", "-n", "bob@host", "-c", "2", "-E", "--without-mingle")
    start("-m", "celery", *arguments, TEST_REDIS_URL=url)
    wait_until(lambda: all(result.ready() for result in ended), 50)
    wait_until(lambda: _ended(source) == len(ended) + 1)  # events come a little later than results
    tasks.hold.apply_async((str(folder / "late"),), task_id="late", time_limit=0.5)  # which costs the process its life
    wait_until(lambda: _ended(source) == len(ended) + 2)
    tasks.hold.apply_async((str(folder / "running"),), task_id="running")
    tasks.slow.apply_async((str(folder / "slow"),), task_id="slow")
    wait_until(lambda: (folder / "running").exists() and (folder / "slow").exists())
    tasks.add.apply_async((1, 2), task_id="scheduled", eta=due)
    tasks.spare.apply_async((1, 2), task_id="waiting")
    tasks.spare.apply_async((1, 2), task_id="urgent", priority=3)
    wait_until(lambda: rows(source, "jobs").get("scheduled", {}).get("state") == "pending")
    yield SimpleNamespace(source=source, client=redis.Redis.from_url(url), app=app, due=due, url=url)
    source.close()
    for path in folder.iterdir():
        path.unlink()


def _ended(source):
    """How many tries have ended."""
    return source.frame("attempts", Query())[0]["finished_at"].count()


def test_every_task_is_there_in_its_state(told):
    found = {name: (row["state"], row["queue"], row["step"]) for name, row in rows(told.source, "jobs").items()}
    assert found == {
        "added": ("succeeded", "celery", "sums.add"),
        "failed": ("failed", "celery", "sums.fail"),
        "flaky": ("succeeded", "celery", "sums.flaky"),
        "expired": ("expired", "celery", "sums.add"),
        "late": ("timed_out", "celery", "sums.hold"),
        "running": ("running", "celery", "sums.hold"),
        "slow": ("running", "celery", "sums.slow"),
        "scheduled": ("pending", "celery", "sums.add"),
        "waiting": ("ready", "spare", "spare.add"),
        "urgent": ("ready", "spare", "spare.add"),
    }


def test_ends_and_workers_are_those_that_celery_tells(told):
    found = rows(told.source, "jobs")
    for name in ("added", "failed", "flaky", "expired", "late"):
        result = AsyncResult(name, app=told.app)
        assert found[name]["finished_at"] == pd.Timestamp(result.date_done)
        assert found[name]["worker"] == result.worker == "bob@host"
        assert found[name]["attempts"] == result.retries + 1


def test_a_task_that_tells_how_far_it_is_is_shown_so(told):
    row = rows(told.source, "jobs")["slow"]
    assert (row["progress"], row["message"]) == (0.75, "COUNTING")


def test_messages_tell_due_times_and_priorities(told):
    found = rows(told.source, "jobs")
    assert found["scheduled"]["due_at"] == told.due
    assert found["urgent"]["priority"] == 3


def test_errors_are_those_that_celery_stored(told):
    found = rows(told.source, "jobs")
    assert (found["failed"]["error_type"], found["failed"]["error"]) == ("ValueError", "no\ngood")
    assert found["late"]["error_type"] == "billiard.exceptions.TimeLimitExceeded"


def test_events_tell_every_try_with_its_times(told):
    found = rows(told.source, "attempts")
    states = {name: row["state"] for name, row in found.items()}
    assert states == {
        "added#1": "succeeded", "failed#1": "failed", "flaky#1": "failed", "flaky#2": "succeeded",
        "expired#1": "expired", "late#1": "timed_out", "running#1": "running", "slow#1": "running",
    }  # fmt: skip
    for name in ("added#1", "failed#1", "flaky#1", "flaky#2", "late#1"):
        row = found[name]
        assert row["queued_at"] <= row["started_at"] <= row["finished_at"]
        assert row["worker"] == "bob@host"
    assert (found["flaky#1"]["error_type"], found["flaky#1"]["error"]) == ("KeyError", "not yet")
    assert pd.isna(found["running#1"]["finished_at"])
    assert found["running#1"]["started_at"] > found["late#1"]["finished_at"]


def test_queues_have_the_lengths_of_their_lists_and_what_workers_hold(told):
    found = rows(told.source, "queues")
    counts = {name: (row["ready"], row["running"], row["delayed"]) for name, row in found.items()}
    with told.app.connection_for_read() as connection:
        declared = {name: connection.default_channel._size(name) for name in found}
    assert declared == {"celery": 0, "spare": 2}
    assert counts == {"celery": (0, 0, 1), "spare": (2, 0, 0)}


def test_the_worker_is_the_one_that_celery_tells(told):
    wait_until(lambda: rows(told.source, "workers")["bob@host"]["busy"] == 2)  # its next heartbeat
    stats = told.app.control.inspect(["bob@host"]).stats()["bob@host"]
    row = rows(told.source, "workers")["bob@host"]
    assert (row["state"], row["alive"], row["pid"], row["host"]) == ("running", True, stats["pid"], "host")


def test_a_client_that_comes_later_tells_what_is_stored_and_nothing_else(told):
    later = open_celery(told.url)
    found, jobs = rows(later, "attempts"), rows(later, "jobs")
    later.close()
    assert found.keys() == {"added#1", "failed#1", "flaky#2", "expired#1", "late#1", "running#1", "slow#1"}
    assert all(pd.isna(row["started_at"]) for row in found.values())
    assert jobs["running"]["state"] == "running"
    assert found["running#1"]["pid"] > 0
    assert {"jobs.started_at", "attempts.started_at"} <= later.missing.keys()


def test_reading_changes_nothing(told):
    wait_until(lambda: changes_nothing(told.source, lambda: contents(told.client)))
