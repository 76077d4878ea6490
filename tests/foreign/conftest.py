"""One Redis for each process of tests; each module has databases of its own on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from nbflow.client.columns import COLUMNS
from nbflow.client.sources import Query
from tests.servers import RedisServer, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server, empty at first."""
    with running(RedisServer) as server:
        yield server


@pytest.fixture(scope="session")
def empty(redis_server: RedisServer) -> Callable[[int], str]:
    """Gives the URL of a database of Redis by its number, emptied: a module may have its turn more than once."""

    def url(database: int) -> str:
        client = redis.Redis.from_url(redis_server.url(database))
        client.flushdb()
        client.close()
        return redis_server.url(database)

    return url


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a Python program by its arguments; ended with the module. It finds what `tests.foreign` has."""
    folder = tmp_path_factory.mktemp("foreign")
    processes = []

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
        with open(folder / "log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=folder, env=environment, stdout=log, stderr=log
            )
        processes.append(process)
        return process

    yield begin
    for process in reversed(processes):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rows(source: Any, what: str, **query: Any) -> dict[str, dict[str, Any]]:
    """The rows of a frame by what names them: job, task and number, queue, worker or schedule."""
    frame, count = source.frame(what, Query(**query))
    assert len(frame) == count or query.get("limit")
    names = {"jobs": ["job"], "attempts": ["task", "attempt"]}.get(what, [what[:-1]])
    return {"#".join(str(row[name]) for name in names): row for row in frame.to_dict("records")}


def contents(client: Any) -> dict[bytes, Any]:
    """All that is in a database of Redis."""
    return {key: client.dump(key) for key in client.scan_iter(count=1000)}


def changes_nothing(source: Any, kept: Callable[[], Any]) -> bool:
    """Whether what is kept is the same after all frames were read. To be tried again: workers write meanwhile."""
    before = kept()
    for what in COLUMNS:
        source.frame(what, Query())
    return bool(kept() == before)
