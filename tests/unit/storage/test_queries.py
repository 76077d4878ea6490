"""Statements behind frames: limits, counts, names, and that indexes are used where there are some."""

from __future__ import annotations

import pytest

from nbflow.model.queries import Query
from nbflow.storage import opened, queries
from nbflow.storage.database import open_database
from tests.unit.client.histories import BEGAN, History, job, store
from tests.unit.storage import records


@pytest.fixture
def database(db_url):
    with open_database(db_url) as found:
        runs = [records.run(f"run{n}", flow=("training", "report")[n % 2], created_at=BEGAN + n) for n in range(4)]
        tasks = [records.task(seq, "run0", name="fetch", created_at=BEGAN + seq) for seq in range(1, 8)]
        running = {"queue": "gpu", "name": "plot", "state": "running", "attempt": 1, "started_at": BEGAN}
        jobs = [job(f"job{n}", ready_at=BEGAN + n, **running) for n in range(3)]
        store(found, History(runs, tasks, [records.attempt(1, 1, "run0")], jobs))
        yield found


def test_a_limit_gives_the_newest_and_tells_how_many_there_are(database):
    found = queries.read(database, "tasks", Query(limit=3))
    assert sorted(found.columns["seq"]) == [5, 6, 7]
    assert found.total == 7


def test_a_limit_counts_over_all_tables_of_a_frame(database):
    found = queries.read(database, "attempts", Query(limit=2))
    assert found.total == 4
    assert len(found.columns["task"]) == 3  # the newest of each table, of which the newest of all are taken


def test_a_limit_that_is_not_reached_counts_nothing(database):
    assert queries.read(database, "runs", Query(limit=10)).total == 4


def test_what_rows_are_sorted_by_is_read_in_any_case(database):
    found = queries.read(database, "tasks", Query(columns=("task",)))
    assert set(found.columns) == {"task", "created_at"}
    assert found.order == "created_at"


@pytest.mark.parametrize(
    ("what", "names"), [("queue", ["gpu"]), ("flow", ["report", "training"]), ("step", ["fetch", "plot"])]
)
def test_the_names_that_there_are(database, what, names):
    with database.read() as connection:
        assert queries.names(connection, what) == names


def test_unfinished_runs_and_the_flows_of_all(database):
    with database.read() as connection:
        assert [record.id for record in queries.unfinished_runs(connection)] == ["run0", "run1", "run2", "run3"]
    assert queries.flows(database) == {"run0": "training", "run1": "report", "run2": "training", "run3": "report"}


def test_the_next_job_of_a_queue_tells_since_when_it_waits(database):
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET state = 'ready', priority = 1")
        connection.exec_driver_sql("UPDATE jobs SET priority = 0 WHERE id = 'job1'")
    with database.read() as connection:
        assert queries.waiting_since(connection, "gpu") == BEGAN + 1
        assert queries.waiting_since(connection, "default") is None


@pytest.mark.parametrize(
    ("what", "query", "index"),
    [
        ("tasks", Query(run="run0"), "sqlite_autoindex_tasks_1"),
        ("attempts", Query(run="run0"), "sqlite_autoindex_attempts_1"),
        ("jobs", Query(states=("ready",), queue="gpu"), "jobs_ready"),
        ("jobs", Query(states=("running",)), "jobs_running"),
        ("jobs", Query(run="run0"), "jobs_of_run"),
    ],
)
def test_what_has_an_index_is_found_by_it(what, query, index):
    statement = queries._Statement(queries.EVERYTHING[what][0], query, has_jobs=True)
    assert statement.packed().key in (None, f"{what[0]}.seq")  # and not part by part of the table
    sql = f"EXPLAIN QUERY PLAN {statement.packed().select} {statement.packed().tables}"
    with opened.database().read() as connection:
        plan = " ".join(row[3] for row in connection.exec_driver_sql(sql, tuple(statement.packed().values)))
    assert index in plan
