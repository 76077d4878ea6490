"""Foreign queues through the same door as nbflow's own: `QueueClient`."""

from __future__ import annotations

import pytest
import redis
from rq import Queue
from rq.worker import SimpleWorker

from nbflow import QueueClient
from nbflow.client.columns import COLUMNS
from nbflow.client.sources import known
from nbflow.model.errors import ConfigError
from tests.foreign import work


@pytest.fixture(scope="module")
def client(empty):
    """A client of an RQ queue on which two jobs have ended and one waits."""
    url = empty(5)
    connection = redis.Redis.from_url(url)
    queue = Queue(connection=connection)
    for message in ("one", "two"):
        queue.enqueue(work.fail, message)
    worker = SimpleWorker([queue], connection=connection, name="ann")
    worker.work(burst=True, logging_level="CRITICAL")
    queue.enqueue(work.add, 1, 2)
    with QueueClient(url, kind="rq") as client:
        yield client


def test_all_systems_are_known():
    assert {"celery", "dask", "huey", "rq"} <= set(known())


@pytest.mark.redis
def test_frames_say_what_was_asked_and_what_cannot_be_told(client):
    failed = client.jobs(state="failed", queue="default", since="1h")
    assert list(failed["error"]) == ["one", "two"]
    assert list(failed.columns) == list(COLUMNS["jobs"])
    assert "jobs.progress" in failed.attrs["missing"]
    assert len(client.jobs(limit=1)) == 1
    assert client.jobs(limit=1).attrs["total"] == 3


@pytest.mark.redis
def test_the_gantt_has_a_bar_for_each_attempt(client):
    assert list(client.attempts()["worker"]) == ["ann", "ann"]
    assert "tests.foreign.work.fail" in client.gantt(lanes="queue").to_html()


@pytest.mark.redis
def test_foreign_queues_can_only_be_read(client, redis_server):
    with pytest.raises(ConfigError, match="only be read"):
        QueueClient(redis_server.url(5), kind="rq", write=True)
    with pytest.raises(ConfigError, match="no handles"):
        client.run("last")
