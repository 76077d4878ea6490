"""Brokers that are down or other than was said, and payloads that would do harm if they were loaded."""

from __future__ import annotations

import base64
import json
import pickle
import sqlite3
import zlib

import pytest
import redis

from nbflow.client.foreign.celery import open_celery
from nbflow.client.foreign.dask import open_dask
from nbflow.client.foreign.huey import open_huey
from nbflow.client.foreign.redis_reading import ReadingRedis
from nbflow.client.foreign.rq import open_rq
from nbflow.client.sources import Query
from nbflow.model.errors import ConfigError, DatabaseUnreachableError, StorageError
from tests.foreign.test_pickles import Trap
from tests.servers import RedisServer, free_port

SECRET = "a-secret"
OF_REDIS = pytest.mark.parametrize("opened", [open_rq, open_celery, open_huey])


@OF_REDIS
def test_a_redis_that_is_down_is_named_without_its_password(opened):
    port = free_port()
    with pytest.raises(DatabaseUnreachableError, match=f"127.0.0.1:{port}/2 does not answer") as told:
        opened(f"redis://user:{SECRET}@127.0.0.1:{port}/2")
    assert SECRET not in str(told.value)


@pytest.mark.redis
def test_a_wrong_password_is_said_and_not_shown(redis_server):
    server = RedisServer(password=SECRET).start()
    try:
        with pytest.raises(DatabaseUnreachableError, match="does not let us in") as told:
            open_rq(server.url().replace(SECRET, "another-one"))
        assert "another-one" not in str(told.value)
        with pytest.raises(DatabaseUnreachableError, match="does not let us in"):
            open_rq(f"redis://127.0.0.1:{server.port}")
        open_rq(server.url()).close()
    finally:
        server.stop()


@pytest.mark.redis
def test_a_redis_that_goes_away_is_an_error_and_no_end(redis_server):
    server = RedisServer().start()
    source = open_celery(server.url())
    server.stop()
    for what in ("jobs", "queues", "workers"):
        with pytest.raises(StorageError, match="does not answer"):
            source.frame(what, Query())
    source.close()


@pytest.mark.parametrize(
    ("opened", "url", "said"),
    [
        (open_rq, f"sqlite:///{SECRET}.db", "'rq' are read from Redis"),
        (open_rq, None, "'rq' are read from Redis"),
        (open_celery, f"amqp://guest:{SECRET}@localhost//", "begins with amqp://"),
        (open_celery, f"redis://:{SECRET}#x@localhost/0", "cannot be read"),
        (open_celery, f"redis://:{SECRET}@localhost:port/0", "cannot be read"),
        (open_huey, f"postgresql://me:{SECRET}@localhost/huey", "not from postgresql://"),
        (open_huey, "", "by the path of a file"),
        (open_dask, f"redis://:{SECRET}@localhost/0", "begins with redis://"),
        (open_dask, 8786, "tcp://HOST:PORT, not by a int"),
    ],
)
def test_another_kind_of_address_is_refused_without_its_password(opened, url, said):
    with pytest.raises(ConfigError) as told:
        opened(url)
    assert said in str(told.value)
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None


def test_a_dask_scheduler_that_is_down_is_named():
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(DatabaseUnreachableError, match=address):
        open_dask(address, timeout=0.2)


def test_an_sqlite_file_that_does_not_exist_is_not_made(tmp_path):
    with pytest.raises(StorageError, match="There is no database"):
        open_huey(tmp_path / "huey.db")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_queue_of_hueys_are_refused(tmp_path):
    (tmp_path / "text.db").write_text("this is no database " * 100)
    with pytest.raises(StorageError, match="no SQLite database"):
        open_huey(str(tmp_path / "text.db"))
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE other (id)").connection.close()
    with pytest.raises(ConfigError, match="no queue of Huey"):
        open_huey(f"sqlite:///{tmp_path / 'other.db'}")


@pytest.mark.redis
def test_a_command_that_may_write_is_refused_here(redis_server):
    reading = ReadingRedis(redis_server.url(9), kind="rq")
    for command in (("SET", "key", 1), ("DEL", "key"), ("LPOP", "list"), ("EVAL", "return 1", 0), ("FLUSHALL",)):
        with pytest.raises(AssertionError, match="may write"):
            reading.do(*command)
        with pytest.raises(AssertionError, match="may write"):
            reading.many([command])
    reading.close()


@pytest.mark.redis
def test_payloads_are_never_loaded(empty, tmp_path):
    url = empty(10)
    trap = pickle.dumps(("name", Trap(tmp_path / "sprung"), (), {}))
    client = redis.Redis.from_url(url)
    client.sadd("rq:queues", "rq:queue:q")
    client.rpush("rq:queue:q", "trap")
    client.hset("rq:job:trap", mapping={"status": "queued", "origin": "q", "data": zlib.compress(trap)})
    client.lpush("huey.redis.q", trap)
    client.hset("huey.results.q", "result", trap)
    client.set("celery-task-meta-trap", trap)
    client.sadd("_kombu.binding.q", "q\x06\x16\x06\x16q")
    message = {"body": base64.b64encode(trap).decode(), "properties": {"body_encoding": "base64"}, "headers": {}}
    client.lpush("q", json.dumps(message), "no JSON", json.dumps([1]), json.dumps({"headers": {"task": 3}}))
    for opened in (open_rq, open_huey, open_celery):
        source = opened(url)
        for what in ("jobs", "attempts", "queues"):
            source.frame(what, Query())
        source.close()
    assert list(tmp_path.iterdir()) == []
