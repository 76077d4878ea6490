"""The executor of the queue, where it differs from the others."""

import sqlite3
import time
from contextlib import closing

import psutil
from sqlalchemy import event

from nbflow import configure
from nbflow.model.ports import Due, Inputs, Work
from nbflow.model.records import RunRecord
from nbflow.model.specs import StepSpec
from nbflow.model.states import State
from nbflow.storage import jobs, opened, runs
from nbflow.testing import steps
from tests.servers import wait_until


def test_a_run_that_was_cancelled_puts_nothing_more_on_the_queue(bench_of):
    bench = bench_of("queue")
    texts = dict.fromkeys(("flow", "parameters", "tags", "cwd", "host", "executor"), "")
    fields = {**dict.fromkeys(RunRecord._fields), **texts, "id": "run", "state": "cancelled", "created_at": 0.0}
    with opened.database().write() as connection:
        runs.create(connection, RunRecord(**fields))
    assert bench.finished(bench.submit(steps.add, 1, 2)).state is State.CANCELLED
    with opened.database().read() as connection:
        assert jobs.of_run(connection, "run", [state.value for state in State]) == []


def test_many_tasks_are_put_on_the_queue_in_bounded_pieces(bench_of):
    """A fan-out of 10,000 keeps nobody else from the database for long."""
    bench = bench_of("queue")
    database = opened.database()
    added, known = [], 0

    def count(connection):
        nonlocal known
        now = connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar()
        added.append(now - known)
        known = now

    spec, inputs = StepSpec("add", steps.add), Inputs((1, 2))
    with database.write():  # meanwhile all of them come together
        for ticket in range(1, 10_001):
            bench.executor.submit(Work(ticket, spec, inputs, "run", ticket, f"add#{ticket}", 1))
        event.listen(database.engine, "commit", count)
    try:
        wait_until(lambda: known == 10_000)
    finally:
        event.remove(database.engine, "commit", count)
    pieces = [number for number in added if number]
    assert len(pieces) >= 10
    assert max(pieces) <= 1_000


def test_what_is_not_begun_in_time_expires_though_there_is_no_worker(bench_of):
    bench = bench_of("queue")
    now = time.time()
    late = bench.submit(steps.add, 1, 2, expires=Due(now + 0.2, 0.2))
    overdue = bench.submit(steps.add, 1, 2, deadline=Due(now + 0.3, 0.3))
    assert [bench.finished(ticket).state for ticket in (late, overdue)] == [State.EXPIRED, State.TIMED_OUT]
    assert "'add' was not begun in time, which was 0.2 seconds from when it became ready (add#1)" in str(
        bench.error(late)
    )
    assert "step 'add' reached its deadline of 0.3 seconds" in str(bench.error(overdue))


def test_what_could_not_be_put_on_the_queue_is_put_there_later_and_keeps_its_run(tmp_path, caplog, bench_of):
    configure(db=f"sqlite:///{tmp_path / 'locked.db'}", lock_timeout=0.2)
    bench = bench_of("queue")

    def jobs_there():
        with opened.database().read() as connection:
            return jobs.of_run(connection, "run", [state.value for state in State])

    with closing(sqlite3.connect(opened.database().file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        bench.submit(steps.add, 1, 2)
        wait_until(lambda: "The queue cannot be reached" in caplog.text)
        assert not bench.executor.quiesce()
        other.execute("ROLLBACK")
    wait_until(jobs_there)
    assert len(jobs_there()) == 1
    wait_until(bench.executor.quiesce)


def test_an_executor_leaves_no_file_open(bench_of):
    """The child of a worker makes one for each flow that it runs, thousands in its life."""
    process = psutil.Process()
    bench_of("queue").__exit__()  # opens the database, which stays open
    before = process.num_fds()
    for _ in range(5):
        bench_of("queue").__exit__()
    assert process.num_fds() == before
