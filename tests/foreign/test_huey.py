"""Huey: a real consumer on Redis and on an SQLite file, and what Huey itself says."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
import redis

from nbflow.client.foreign.huey import open_huey
from tests.foreign.conftest import changes_nothing, contents, rows
from tests.foreign.huey_app import make
from tests.servers import wait_until

DUE = datetime(2100, 1, 2, 3, 4, 5)  # naive, as Huey wants it, and UTC


@pytest.fixture(scope="module", params=[pytest.param("redis", marks=pytest.mark.redis), "sqlite"])
def told(request, start, tmp_path_factory):
    """A consumer that did some tasks, is at one, and has some before it, with a record of events."""
    folder = tmp_path_factory.mktemp("huey")
    in_redis = request.param == "redis"
    place = request.getfixturevalue("empty")(3) if in_redis else str(folder / "huey.db")
    record = str(folder / ("stats.db" if in_redis else "huey.db"))
    app = make(place, record)
    app.stats.connect()
    app.add(1, 2, id="added")
    app.fail("no\ngood", id="failed")
    app.flaky(id="flaky")
    consumer = ("-m", "huey.bin.huey_consumer", "tests.foreign.huey_app.huey", "-w", "2", "-n", "-d", "0.05", "-q")
    start(*consumer, TEST_HUEY_PLACE=place, TEST_HUEY_RECORD=record)
    source = open_huey(place, stats=record if in_redis else None)
    wait_until(lambda: _states(source) == {"added": "succeeded", "failed": "failed", "flaky": "succeeded"})
    for name in ("one", "two"):
        app.hold(str(folder / name), id=name)
    wait_until(lambda: list(_states(source).values()).count("running") == 2)
    app.add(1, 2, id="waiting", priority=5)
    app.add(1, 2, id="revoked").revoke()
    app.add.schedule((1, 2), eta=DUE, id="scheduled")
    yield SimpleNamespace(source=source, app=app, place=place, folder=folder)
    source.close()
    app.stats.close()
    app.database.close()
    app.huey.storage.close()
    for name in ("one", "two"):
        (folder / name).unlink()


def _states(source):
    return {name: row["state"] for name, row in rows(source, "jobs").items()}


def test_every_task_is_there_in_its_state(told):
    found = {name: (row["state"], row["step"].rpartition(".")[2]) for name, row in rows(told.source, "jobs").items()}
    assert found == {
        "added": ("succeeded", "add"),
        "failed": ("failed", "fail"),
        "flaky": ("succeeded", "flaky"),
        "one": ("running", "hold"),
        "two": ("running", "hold"),
        "waiting": ("ready", "add"),
        "revoked": ("ready", "add"),
        "scheduled": ("pending", "add"),
    }
    assert {row["queue"] for row in rows(told.source, "jobs").values()} == {"shop"}


def test_what_waits_is_what_huey_has_before_it(told):
    found = rows(told.source, "jobs")
    waiting = {task.id for task in (*told.app.huey.pending(), *told.app.huey.scheduled())}
    assert waiting == {name for name, row in found.items() if row["state"] in ("ready", "pending")}
    assert found["scheduled"]["due_at"] == DUE.replace(tzinfo=UTC)
    assert found["waiting"]["priority"] == 5
    assert found["revoked"]["message"] == "revoked"


def test_errors_are_those_of_the_stored_results(told):
    row = rows(told.source, "jobs")["failed"]
    assert (row["error_type"], row["error"]) == ("ValueError", "no\ngood")


def test_the_record_tells_every_try_with_its_times(told):
    found = rows(told.source, "attempts")
    states = {name: row["state"] for name, row in found.items()}
    assert states == {
        "added#1": "succeeded", "failed#1": "failed", "flaky#1": "failed", "flaky#2": "succeeded",
        "one#1": "running", "two#1": "running",
    }  # fmt: skip
    for event in told.app.stats.recent_events():
        if event["signal"] == "complete":
            row = found[event["task_id"] + ("#2" if event["task_id"] == "flaky" else "#1")]
            assert row["finished_at"].timestamp() == pytest.approx(event["ts"], abs=1e-5)
            assert row["duration"].total_seconds() == pytest.approx(event["duration"], abs=1e-4)
    assert pd.isna(found["one#1"]["finished_at"])
    assert (found["flaky#1"]["error_type"], found["flaky#1"]["error"]) == ("KeyError", "not yet")


def test_queues_have_the_counts_that_huey_tells(told):
    row = rows(told.source, "queues")["shop"]
    huey = told.app.huey
    assert (row["ready"], row["delayed"], row["running"]) == (huey.pending_count(), huey.scheduled_count(), 2)


def test_without_a_record_it_tells_what_huey_keeps(told, tmp_path):
    if told.place.startswith("redis:"):
        bare = open_huey(told.place)
        found = rows(bare, "jobs")
        assert rows(bare, "attempts") == {}
        bare.close()
        assert {name: row["state"] for name, row in found.items()} == {
            "added": "succeeded", "failed": "failed", "flaky": "succeeded", "waiting": "ready", "revoked": "ready",
            "scheduled": "pending",
        }  # fmt: skip
        assert abs(found["waiting"]["enqueued_at"] - datetime.now(UTC)) < timedelta(minutes=1)
        assert "jobs.started_at" in bare.missing


def test_reading_changes_nothing(told):
    def kept():
        if told.place.startswith("redis:"):
            return contents(redis.Redis.from_url(told.place))
        return hashlib.sha256((told.folder / "huey.db").read_bytes()).hexdigest()

    wait_until(lambda: changes_nothing(told.source, kept))
