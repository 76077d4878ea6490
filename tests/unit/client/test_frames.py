"""Frames hold the rows of the database, all of them and no others, whatever the history."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.client.columns import COLUMNS
from nbflow.client.frames import NbflowSource
from nbflow.model.queries import Query
from nbflow.model.states import State
from nbflow.storage import packed, queries
from nbflow.storage.database import open_database
from tests.unit.client.histories import BEGAN, FLOWS, QUEUES, STEPS, TAGS, History, histories, job, store
from tests.unit.storage import records

QUERIES = st.builds(
    Query,
    states=st.lists(st.sampled_from([state.value for state in State]), max_size=3, unique=True).map(tuple),
    queue=st.none() | st.sampled_from(QUEUES),
    flow=st.none() | st.sampled_from(FLOWS),
    step=st.none() | st.sampled_from(STEPS),
    run=st.none() | st.sampled_from(["run0", "run1"]),
    since=st.none() | st.floats(BEGAN, BEGAN + 100),
    until=st.none() | st.floats(BEGAN, BEGAN + 100),
    tags=st.lists(st.sampled_from(TAGS), max_size=1).map(tuple),
    limit=st.none() | st.integers(1, 4),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A database of the module."""
    found = NbflowSource(open_database(f"sqlite:///{tmp_path_factory.mktemp('frames') / 'nbflow.db'}"))
    yield found
    found.close()


def agrees(query, *, begins, ends, state, tags, **names):
    """Whether a row is what a query wants; what SQL says, in another way. Names are sets."""
    if query.states and state not in query.states:
        return False
    if any(getattr(query, name) not in (None, *found) for name, found in names.items()):
        return False
    if query.since is not None and ends is not None and ends < query.since:
        return False
    if query.until is not None and begins >= query.until:
        return False
    return set(query.tags) <= set(json.loads(tags or "[]"))


def rows_of(history: History, what: str):
    """(begin, key, the record, names) of all that may be in a frame."""
    flows = {run.id: run.flow for run in history.runs}
    tasks = {(task.run, task.seq): task for task in history.tasks}
    jobs = {job.id: job for job in history.jobs}
    if what == "runs":
        for run in history.runs:
            steps = {task.name for task in history.tasks if task.run == run.id}
            yield run.created_at, (run.id,), run, {"queue": (), "flow": {run.flow}, "run": {run.id}, "step": steps}
    elif what == "tasks":
        for task in history.tasks:
            if task.position:
                names = {"queue": (), "flow": {flows[task.run]}, "run": {task.run}, "step": {task.name}}
                yield task.created_at, (task.run, task.seq), task, names
    else:
        for each in history.jobs:
            names = {"queue": {each.queue}, "flow": (), "run": (), "step": {each.name}}
            if what == "jobs":
                yield each.enqueued_at, (each.id,), each, names
            elif each.state == "running" and each.started_at is not None:
                yield each.ready_at, (each.id, each.attempt), each, names
    for each in history.attempts if what == "attempts" else ():
        task, owner = tasks.get((each.run, each.seq)), jobs.get(each.run)
        names = {"queue": {owner.queue} if owner else (), "flow": {flows[each.run]} if task else (),
                 "run": {each.run} if task else (), "step": {(task or owner).name}}  # fmt: skip
        key = (task.key if task else each.run, each.number)
        yield each.queued_at, key, (each, (task or owner).tags), names


def wanted_rows(history: History, what: str, query: Query) -> list[tuple[float, tuple]]:
    """(begin, key) of the rows that a query wants."""
    found = []
    for begins, key, record, names in rows_of(history, what):
        record, tags = record if type(record) is tuple else (record, record.tags)
        if agrees(query, begins=begins, ends=record.finished_at, state=record.state, tags=tags, **names):
            found.append((begins, key))
    return found


BEGINS = {"runs": "created_at", "tasks": "created_at", "jobs": "enqueued_at", "attempts": "queued_at"}
MANY = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=20)
KEYS = {"runs": ["run"], "tasks": ["run", "seq"], "jobs": ["job"], "attempts": ["task", "attempt"]}


def keys_of(frame, what):
    """The keys of a frame's rows."""
    return [tuple(row) for row in frame[KEYS[what]].itertuples(index=False)]


def micros(moments):
    """Times as whole microseconds, in order."""
    return sorted(round(moment * 1e6) for moment in moments)


@MANY
@given(history=histories(), query=QUERIES)
def test_frames_hold_the_rows_that_were_asked_for_and_no_others(source, history, query):
    store(source.database, history)
    for what in KEYS:
        frame, total = source.frame(what, query)
        wanted = wanted_rows(history, what, query)
        assert total == len(wanted)
        count = min(total, query.limit or total)
        begins = frame[BEGINS[what]]
        assert begins.is_monotonic_increasing
        assert micros(begin.timestamp() for begin in begins) == micros(begin for begin, _ in wanted)[total - count :]
        found, keys = keys_of(frame, what), [key for _, key in wanted]
        assert all(found.count(key) <= keys.count(key) for key in found)


@MANY
@given(history=histories())
def test_frames_count_what_sql_counts(source, history):
    store(source.database, history)
    sql = sqlite3.connect(source.database.file)
    for what, statement in {
        "runs": "SELECT state, count(*) FROM runs GROUP BY state",
        "tasks": "SELECT state, count(*) FROM tasks WHERE position > 0 GROUP BY state",
        "jobs": "SELECT state, count(*) FROM jobs GROUP BY state",
    }.items():
        frame, _ = source.frame(what, Query())
        assert {state: count for state, count in frame.state.value_counts().items() if count} == dict(
            sql.execute(statement)
        )
    tries = source.frame("attempts", Query())[0]
    begun = "SELECT count(*) FROM jobs WHERE state = 'running' AND started_at IS NOT NULL"
    (count,) = sql.execute(f"SELECT (SELECT count(*) FROM attempts) + ({begun})").fetchone()
    assert len(tries) == count
    for row in source.frame("runs", Query())[0].itertuples():
        of_run = "SELECT count(*), sum(state IN ('failed', 'timed_out')) FROM tasks WHERE run = ? AND position > 0"
        assert (row.tasks, row.failed) == tuple(value or 0 for value in sql.execute(of_run, (row.run,)).fetchone())
    sql.close()


@MANY
@given(history=histories(), query=QUERIES.map(lambda query: replace(query, limit=None)))
def test_rows_are_the_same_in_whichever_way_they_are_read(source, history, query):
    store(source.database, history)
    for what in ("tasks", "attempts", "jobs", "runs"):
        fast = source.frame(what, query)[0]
        slow = source.frame(what, replace(query, limit=500))[0]  # few rows are fetched one by one
        fast, slow = (frame.sort_values(KEYS[what], ignore_index=True) for frame in (fast, slow))
        pd.testing.assert_frame_equal(fast, slow, check_categorical=False)


def some_history() -> History:
    """One of everything."""
    task = records.task(1, "run0", state="succeeded", created_at=BEGAN, ready_at=BEGAN + 1, started_at=BEGAN + 2.5,
                        finished_at=BEGAN + 4, attempts=2, result_size=3, tags='["daily"]')  # fmt: skip
    tries = [records.attempt(1, 1, "run0", "failed"), records.attempt(1, 2, "run0")]
    jobs = [job("plain", state="running", started_at=BEGAN + 1, attempt=1, worker="w1", queue="gpu"),
            job("run0.1.2", state="succeeded", kind="task", run="run0", seq=1, queue="gpu")]  # fmt: skip
    return History([records.run("run0", created_at=BEGAN, started_at=BEGAN)], [task], tries, jobs)


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        (Query(), (1, 3, 2)),
        (Query(limit=1), (1, 1, 1)),
        (Query(queue="gpu"), (1, 2, 2)),
        (Query(tags=("daily",)), (1, 2, 0)),
        (Query(states=("running",)), (0, 1, 1)),
        (Query(run="run0", since=BEGAN, until=BEGAN + 3), (1, 0, 1)),
    ],
    ids=str,
)
def test_both_databases_give_the_same_frames(db_url, query, counts):
    with open_database(db_url) as database:
        store(database, some_history())
        found = [NbflowSource(database).frame(what, query)[0] for what in ("tasks", "attempts", "jobs")]
    assert tuple(len(frame) for frame in found) == counts


def test_a_task_tells_of_its_latest_try_and_its_job(db_url):
    with open_database(db_url) as database:
        store(database, some_history())
        (task,) = NbflowSource(database).frame("tasks", Query())[0].itertuples()
    assert (task.worker, task.queue, task.tags, task.size) == ("threads-1", "gpu", "daily", 3)
    assert (task.wait.total_seconds(), task.duration.total_seconds()) == (1.5, 1.5)


def test_tries_of_plain_jobs_stand_under_their_ids(source):
    store(source.database, some_history())
    frame, _ = source.frame("attempts", Query())
    (row,) = frame[frame.task == "plain"].itertuples()
    assert (row.seq, row.step, row.queue, row.worker, row.attempt, row.state) == (0, "train", "gpu", "w1", 1, "running")
    assert frame.run.isna().tolist() == [False, False, True]


@pytest.mark.parametrize("what", COLUMNS)
def test_frames_of_an_empty_database_have_their_columns_with_their_types(source, what):
    store(source.database, History([], [], [], []))
    empty, _ = source.frame(what, Query())
    store(source.database, some_history())
    filled, _ = source.frame(what, Query())
    plain = {name: str(dtype).partition("[")[0].partition("(")[0] for name, dtype in empty.dtypes.items()}
    assert plain == {name: str(dtype).partition("[")[0].partition("(")[0] for name, dtype in filled.dtypes.items()}


def test_only_the_columns_that_were_asked_for_are_read(source):
    store(source.database, some_history())
    frame, _ = source.frame("tasks", Query(columns=("duration", "flow", "task")))
    assert list(frame.columns) == ["flow", "task", "duration"]
    assert frame.flow.tolist() == ["training"]


def test_large_tables_are_read_in_parts_and_in_order(tmp_path, monkeypatch, caplog):
    caplog.set_level("DEBUG", "nbflow")
    monkeypatch.setattr(packed, "_PART", 100)
    tasks = [records.task(seq, "run0", created_at=BEGAN + (seq * 7919) % 1000) for seq in range(1, 951)]
    with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        store(database, History([records.run("run0")], tasks, [], []))
        frame, total = NbflowSource(database).frame("tasks", Query())
    assert (len(frame), total) == (950, 950)
    assert frame.created_at.is_monotonic_increasing
    assert set(frame.seq) == set(range(1, 951))
    assert "one by one" not in caplog.text


def test_one_large_run_is_read_in_parts_and_nothing_of_others(tmp_path, monkeypatch, caplog):
    caplog.set_level("DEBUG", "nbflow")
    monkeypatch.setattr(packed, "_PART", 100)
    runs = [records.run(name) for name in ("run0", "run1")]
    tasks = [records.task(seq, run.id, created_at=BEGAN + seq) for run in runs for seq in range(1, 351)]
    tries = [records.attempt(task.seq, number, task.run) for task in tasks for number in (1, 2)]
    with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        store(database, History(runs, tasks, tries, []))
        source = NbflowSource(database)
        assert source.frame("tasks", Query(run="run1"))[0].seq.tolist() == list(range(1, 351))
        frame, _ = source.frame("attempts", Query(run="run1"))
    assert len(frame) == 700
    assert set(frame.run) == {"run1"}
    assert "one by one" not in caplog.text


def test_rows_that_cannot_be_read_from_pages_are_fetched(tmp_path):
    long = "x" * 100_000
    with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        tasks = [records.task(1, "run0", state="failed", error_type="E", error_message=long), records.task(2, "run0")]
        store(database, History([records.run("run0")], tasks, [], []))
        frame, _ = NbflowSource(database).frame("tasks", Query())
    assert frame.error.tolist()[0] == long


def test_names_of_filters_are_values_and_never_sql(source):
    store(source.database, some_history())
    nasty = "x' OR '1'='1"
    for name in ("queue", "flow", "step", "run"):
        assert source.frame("tasks", Query(**{name: nasty}))[1] == 0
    assert source.frame("tasks", Query(tags=(nasty,)))[1] == 0
    with pytest.raises(ValueError, match="not a valid State"):
        source.frame("tasks", Query(states=("x') OR ('1'='1",)))


def test_all_threads_see_one_state_of_a_database_that_is_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "_PART", 10)
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with open_database(url) as database, open_database(url) as other:
        store(database, History([records.run("run0")], [records.task(seq, "run0") for seq in range(1, 101)], [], []))
        begin = packed._Session.begin

        def begin_while_somebody_writes(session):
            begin(session)
            if next(writes, None) is not None:
                with other.write() as connection:
                    connection.exec_driver_sql("UPDATE tasks SET created_at = created_at + 1")

        writes = iter(range(3))
        monkeypatch.setattr(packed._Session, "begin", begin_while_somebody_writes)
        found = queries.read(database, "tasks", Query())
    assert len(set(found.columns["created_at"])) == 1
    assert next(writes, None) is None
