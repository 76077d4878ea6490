"""Sensors: files and tables, looked at under a clock that stands still; and two watchers that race."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import closing
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.deploying import files
from nbflow.deploying.watching import Watcher
from nbflow.model.errors import ConfigError, NbflowError, TriggerError
from nbflow.running.clock import SystemClock
from nbflow.storage import deployments, tables
from tests.servers import wait_until
from tests.unit.deploying.triggers.deployed import deploy, job_count, parameter, started
from tests.unit.deploying.triggers.test_triggers import begin


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "in"
    found.mkdir()
    return found


@pytest.fixture
def load(database):
    """A deployment that takes a path."""
    deploy(database, "load", parameter("path", "str"), parameter("since"), parameter("until"))
    return "load"


def write(path, text, at):
    """Write a file, last changed at a time."""
    path.write_text(text)
    os.utime(path, (at, at))


def looks(watcher, clock, count=1, seconds=10):
    for _ in range(count):
        clock.advance(seconds)
        watcher.scan()


def names(database):
    return [os.path.basename(parameters["path"]) for _, parameters in started(database)]


def test_sensors_of_a_paused_deployment_find_later_what_came(database, triggers, watcher, clock, folder, load):
    triggers.add("file", load, **{"pattern": f"{folder}/*.csv", "as": "path"})
    with database.write() as connection:
        deployments.change(connection, load, paused=1)
    write(folder / "new.csv", "1", 1)
    looks(watcher, clock, 3)
    assert names(database) == []
    with database.write() as connection:
        deployments.change(connection, load, paused=0)
    looks(watcher, clock, 3)
    assert names(database) == ["new.csv"]


# --- files -----------------------------------------------------------------------------------------------------------


def test_each_file_that_appears_starts_one_run_with_its_path(database, triggers, watcher, clock, folder, load):
    write(folder / "old.csv", "1", 1)
    triggers.add("file", load, **{"pattern": f"{folder}/*.csv", "as": "path"})
    looks(watcher, clock, 3)
    assert started(database) == []
    write(folder / "a.csv", "1", 2)
    write(folder / "b.txt", "1", 2)
    looks(watcher, clock, 5)
    assert started(database) == [("load", {"path": str(folder / "a.csv")})]


def test_files_that_are_there_already_count_where_that_is_asked_for(database, triggers, watcher, clock, folder, load):
    write(folder / "old.csv", "1", 1)
    triggers.add("file", load, **{"pattern": f"{folder}/*.csv", "as": "path", "existing": True})
    looks(watcher, clock, 3)
    assert names(database) == ["old.csv"]


def test_a_file_that_is_still_being_written_is_waited_for(database, triggers, watcher, clock, folder, load):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "every": "1s", "settle": "5s"})
    for size in range(8):
        write(folder / "a", "x" * size, size)
        looks(watcher, clock, 2, seconds=1)
    assert names(database) == []
    looks(watcher, clock, 7, seconds=1)
    assert names(database) == ["a"]


@pytest.mark.parametrize(("changes", "times"), [(False, 1), (True, 2)])
def test_a_file_that_changes_counts_anew_where_that_is_asked_for(
    database, triggers, watcher, clock, folder, load, changes, times
):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "changes": changes})
    for at in (1, 2):
        write(folder / "a", "x", at)
        looks(watcher, clock, 3)
    assert names(database) == ["a"] * times


def test_a_file_that_went_and_came_back_the_same_starts_nothing_twice(database, triggers, watcher, clock, folder, load):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path"})
    for _ in range(2):
        write(folder / "a", "x", 1)
        looks(watcher, clock, 3)
        (folder / "a").unlink()
        looks(watcher, clock)
    assert names(database) == ["a"]


def test_a_folder_that_goes_missing_is_told_and_its_files_start_nothing_when_it_is_back(
    database, triggers, watcher, clock, folder, load
):
    write(folder / "old", "x", 1)
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path"})
    folder.rename(folder.with_name("away"))
    looks(watcher, clock, 2)
    assert "There is no folder" in triggers.listed()[0].error
    folder.with_name("away").rename(folder)
    looks(watcher, clock, 3)
    assert (names(database), triggers.listed()[0].error) == ([], None)


def test_more_files_than_may_wait_start_one_after_the_other(database, triggers, watcher, clock, folder, load):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "most_waiting": 2})
    for number in range(5):
        write(folder / str(number), "x", number)
    looks(watcher, clock, 3)
    assert names(database) == ["0", "1"]
    assert "2 starts of deployment 'load' wait already" in triggers.listed()[0].error
    for _ in range(3):
        begin(database, *[each.job for each in triggers.history()])
        looks(watcher, clock)
    assert names(database) == ["0", "1", "2", "3", "4"]
    assert triggers.listed()[0].error is None


def test_a_parameter_that_a_new_version_lost_is_told_and_no_file_is_lost(
    database, triggers, watcher, clock, folder, load
):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path"})

    def declare(*parameters):
        with database.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE flow_versions SET parameters = '{json.dumps(parameters)}' WHERE flow = 'load'"
            )

    declare(parameter("file"))
    write(folder / "a", "x", 1)
    looks(watcher, clock, 3)
    assert "no parameter 'path'" in triggers.listed()[0].error
    declare(parameter("path"))
    looks(watcher, clock, 2)
    assert (names(database), triggers.listed()[0].error) == (["a"], None)


def test_files_behind_a_url_are_found_by_it(database, triggers, watcher, clock, load):
    import fsspec

    system = fsspec.filesystem("memory")
    system.makedirs("/sensor/in", exist_ok=True)
    triggers.add("file", load, **{"pattern": "memory://sensor/in/*.csv", "as": "path"})
    system.pipe("/sensor/in/a.csv", b"1")
    looks(watcher, clock, 3)
    assert started(database) == [("load", {"path": "memory:///sensor/in/a.csv"})]
    system.rm("/sensor", recursive=True)


def test_a_sensor_looks_no_more_often_than_it_was_told(database, triggers, watcher, clock, folder, load):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "every": "10m", "settle": "0"})
    watcher.scan()
    write(folder / "a", "x", 1)
    looks(watcher, clock, 5, seconds=60)
    assert names(database) == []
    looks(watcher, clock, 6, seconds=60)
    assert names(database) == ["a"]


_STAMP = st.sampled_from(["1", "2", "3"])


@given(st.lists(st.dictionaries(st.sampled_from("abc"), _STAMP, max_size=3), min_size=1, max_size=12), st.booleans())
def test_no_version_of_a_file_is_ready_twice_in_a_row_or_before_it_settled(states, changes):
    known, ready_before, stable = None, set(), {}
    for now, listing in enumerate(states):
        found = files.compared(listing, known, float(now), settle=2.0, changes=changes)
        for each in found.ready:
            assert (each.path, each.stamp) not in ready_before
            assert now - stable[each.path, each.stamp] >= 2
            ready_before.add((each.path, each.stamp))
        known = {
            path: seen._replace(done=seen.done or any(each.path == path for each in found.ready))
            for path, seen in found.seen.items()
        }
        for pair in list(stable):
            if listing.get(pair[0]) != pair[1]:
                del stable[pair]
                ready_before.discard(pair)
        for pair in listing.items():
            stable.setdefault(pair, now)
        assert files.unpacked(files.packed(known)) == known


# --- tables ----------------------------------------------------------------------------------------------------------


class Shop:
    """A table in a database of either kind."""

    def __init__(self, url, tmp_path):
        self.url = url if "postgresql" in url else f"sqlite:///{tmp_path / 'shop.db'}"
        self.run("CREATE TABLE orders (id INTEGER, at TIMESTAMP, note TEXT)")

    def run(self, statement):
        if "postgresql" in self.url:
            import psycopg

            with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(statement)
            return
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute(statement)

    def order(self, *ids):
        for number in ids:
            self.run(f"INSERT INTO orders VALUES ({number}, '2026-11-21 10:00:{number:02}', '50 %')")


@pytest.fixture
def shop(db_url, tmp_path):
    return Shop(db_url, tmp_path)


def test_new_rows_start_one_run_that_is_told_from_where_to_where(database, triggers, watcher, clock, shop, load):
    shop.order(1, 2)
    triggers.add("table", load, url=shop.url, table="orders", column="id", since_as="since", until_as="until")
    looks(watcher, clock, 3, seconds=30)
    assert started(database) == []
    shop.order(3, 4)
    looks(watcher, clock, 3, seconds=30)
    shop.order(5)
    looks(watcher, clock, 3, seconds=30)
    assert [parameters for _, parameters in started(database)] == [{"since": 2, "until": 4}, {"since": 4, "until": 5}]


def test_rows_that_are_there_already_count_where_that_is_asked_for(database, triggers, watcher, clock, shop, load):
    shop.order(1)
    triggers.add("table", load, url=shop.url, table="orders", column="id", until_as="until", existing=True)
    looks(watcher, clock, 2, seconds=30)
    assert started(database) == [("load", {"until": 1})]


def test_a_query_may_filter_and_a_time_may_be_the_mark(database, triggers, watcher, clock, shop, load):
    query = "SELECT at FROM orders WHERE id > 5 AND note LIKE '50 %' -- the large ones;"
    triggers.add("table", load, url=shop.url, query=query, column="at", until_as="until")
    shop.order(1, 6)
    looks(watcher, clock, 2, seconds=30)
    shop.order(7)
    looks(watcher, clock, 2, seconds=30)
    found = [datetime.fromisoformat(parameters["until"]) for _, parameters in started(database)]
    assert found == [datetime(2026, 11, 21, 10, 0, 6), datetime(2026, 11, 21, 10, 0, 7)]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders",
        "  -- a comment\n UPDATE orders SET id = 2",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT id FROM gone",
        "SELECT id FROM orders; DELETE FROM orders",
        "SELECT 1 AS id) AS x; DELETE FROM orders; SELECT * FROM (SELECT 1 AS id",
        "SELECT nothing FROM orders",
        "SELECT id FROM nowhere",
    ],
)
def test_what_writes_or_is_no_query_is_refused_and_nothing_is_changed(triggers, shop, load, query):
    shop.order(1)
    with pytest.raises(ConfigError):
        triggers.add("table", load, url=shop.url, query=query, column="id")
    assert triggers.listed() == []
    assert tables.news(shop.url, "SELECT * FROM orders", "id", None) == (1, 1)


def test_a_column_that_is_not_there_is_told_and_not_taken_for_a_text(triggers, shop, load):
    with pytest.raises(ConfigError, match="nosuch"):
        triggers.add("table", load, url=shop.url, table="orders", column="nosuch")


def test_a_column_of_another_kind_is_told(triggers, shop, load):
    shop.run("CREATE TABLE blobs (id {})".format("BYTEA" if "postgresql" in shop.url else "BLOB"))
    shop.run("INSERT INTO blobs VALUES ('\\x01')" if "postgresql" in shop.url else "INSERT INTO blobs VALUES (x'01')")
    with pytest.raises(NbflowError):
        triggers.add("table", load, url=shop.url, table="blobs", column="id")


def test_a_table_that_goes_missing_is_told_and_nothing_is_lost(database, triggers, watcher, clock, shop, load):
    triggers.add("table", load, url=shop.url, table="orders", column="id", until_as="until")
    shop.run("ALTER TABLE orders RENAME TO away")
    looks(watcher, clock, 2, seconds=30)
    assert "cannot answer" in triggers.listed()[0].error
    shop.run("ALTER TABLE away RENAME TO orders")
    shop.order(1)
    looks(watcher, clock, 2, seconds=30)
    assert (started(database), triggers.listed()[0].error) == ([("load", {"until": 1})], None)


def test_a_query_that_takes_too_long_is_ended(shop):
    endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
    with pytest.raises(NbflowError):
        tables.news(shop.url, endless, "id", None, timeout=0.2)


# --- more than one watcher -------------------------------------------------------------------------------------------


def test_watchers_that_race_start_each_file_once(database, starts, triggers, clock, folder, load):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "every": "1s", "settle": "0"})
    watchers = [Watcher(starts.broker, starts) for _ in range(2)]
    trouble = []

    def watch(one):
        try:
            for _ in range(10):
                one.scan()
        except BaseException as error:
            trouble.append(error)

    for turn in range(3):
        for number in range(5):
            write(folder / f"{turn}-{number}", "x", turn)
        clock.advance(5)
        threads = [threading.Thread(target=watch, args=(one,)) for one in watchers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert trouble == []
    assert sorted(names(database)) == sorted(f"{turn}-{number}" for turn in range(3) for number in range(5))
    assert job_count(database) == 15


def test_what_a_watcher_saw_counts_for_nothing_if_another_looked_since(
    database, starts, triggers, watcher, clock, folder, load
):
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "settle": "0"})
    write(folder / "a", "x", 1)
    clock.advance(60)
    slow = watcher._due(clock.time(), 8)  # it is about to look, and takes long
    clock.advance(60)
    Watcher(starts.broker, starts).scan()
    for trigger in slow:
        watcher.look(trigger)
    assert names(database) == ["a"]
    assert json.loads(triggers.listed()[0].seen)[str(folder / "a")][2] == 1


def test_a_watcher_in_a_thread_starts_what_appears_and_stops_when_it_is_told(database, starts, triggers, folder, load):
    starts.broker.clock = SystemClock()  # it waits in real time
    watcher = Watcher(starts.broker, starts)
    triggers.add("file", load, **{"pattern": f"{folder}/*", "as": "path", "every": "1s", "settle": "0"})
    thread = threading.Thread(target=watcher.run)
    thread.start()
    write(folder / "a", "x", 1)
    wait_until(lambda: names(database) == ["a"])
    watcher.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_pattern_that_matches_more_than_a_sensor_can_watch_is_told(folder):
    for number in range(3):
        write(folder / str(number), "x", 1)
    with pytest.raises(TriggerError, match="matches 3 files"):
        files.listed(f"{folder}/*", most=2)
