"""A Huey application, in Redis or an SQLite file, that keeps a record of its events. The environment says where."""

from __future__ import annotations

import os
from types import SimpleNamespace

from huey import PriorityRedisHuey, SqliteHuey
from huey.contrib import stats
from peewee import SqliteDatabase

from tests.foreign import work


def make(place: str, record: str) -> SimpleNamespace:
    """The application and its tasks. `place`: a URL of Redis or a path; `record`: the path of the file for events."""
    redis = place.startswith("redis:")
    huey = PriorityRedisHuey("shop", url=place) if redis else SqliteHuey("shop", filename=place)
    database = SqliteDatabase(record, timeout=10)
    stats.database.initialize(database)
    tried = []

    def flaky() -> str:
        tried.append(1)
        if len(tried) == 1:
            raise KeyError("not yet")
        return "well"

    return SimpleNamespace(
        huey=huey,
        stats=stats.HueyStats(huey, database, flush_interval=0.01),
        database=database,
        add=huey.task(name="add")(work.add),
        fail=huey.task(name="fail")(work.fail),
        hold=huey.task(name="hold")(work.hold),
        flaky=huey.task(name="flaky", retries=1)(flaky),
    )


if "TEST_HUEY_PLACE" in os.environ:
    app = make(os.environ["TEST_HUEY_PLACE"], os.environ["TEST_HUEY_RECORD"])
    app.stats.connect()
    huey = app.huey
