from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nbflow.model import errors
from nbflow.storage import runs, sweeper, tasks
from nbflow.storage.database import Database, open_database
from nbflow.storage.writer import Writer
from tests.unit.storage import records

_STARTED = psutil.Process().create_time()


@pytest.fixture
def database(db_url: str) -> Iterator[Database]:
    with open_database(db_url) as opened:
        yield opened


def _create(database: Database, *given: object) -> None:
    with database.write() as connection:
        for record in given:
            runs.create(connection, record)  # type: ignore[arg-type]


def test_a_run_is_found_by_id_beginning_and_last(database: Database) -> None:
    _create(database, records.run("abc1", created_at=1.0), records.run("abd2", created_at=2.0))
    with database.read() as connection:
        assert [runs.find(connection, text).id for text in ("abc1", "abc", "last")] == ["abc1", "abc1", "abd2"]


@pytest.mark.parametrize(
    ("text", "told"), [("ab", "several runs: abc1, abd2"), ("zz", "latest are: abd2"), ("a%", "no run")]
)
def test_a_run_that_is_not_found_tells_which_there_are(database: Database, text: str, told: str) -> None:
    _create(database, records.run("abc1", created_at=1.0), records.run("abd2", created_at=2.0))
    with database.read() as connection, pytest.raises(errors.RunNotFoundError, match=told):
        runs.find(connection, text)


def test_the_last_of_no_runs_is_told(database: Database) -> None:
    with database.read() as connection, pytest.raises(errors.RunNotFoundError, match="no runs yet"):
        runs.find(connection, "last")


def test_a_run_of_a_living_process_cannot_be_claimed(database: Database) -> None:
    _create(database, records.run(owner_started=psutil.Process().create_time()))
    with pytest.raises(errors.RunActiveError, match=f"process {os.getpid()}"):
        runs.claim(database, "0run", "you", pid=1, process_started=0.0, lease=30.0, now=100.0)


def test_a_run_whose_process_is_dead_is_claimed_at_once(database: Database) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    _create(database, records.run(owner_pid=child.pid))
    assert runs.claim(database, "0run", "you", pid=7, process_started=0.0, lease=30.0, now=100.0).owner == "you"


def test_of_many_who_claim_a_free_run_at_once_one_gets_it(database: Database) -> None:
    rounds = [f"run{number}" for number in range(15)]
    _create(database, *(records.run(run, owner=None) for run in rounds))
    start, got = threading.Barrier(4), []

    def claim(owner: str) -> None:
        for run in rounds:
            start.wait()
            with contextlib.suppress(errors.RunActiveError):
                runs.claim(database, run, owner, pid=os.getpid(), process_started=_STARTED, lease=30.0, now=100.0)
                got.append(run)

    threads = [threading.Thread(target=claim, args=(f"owner {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(rounds)


def test_a_pid_that_is_used_again_by_another_process_does_not_count(database: Database) -> None:
    _create(database, records.run(owner_started=1.0))
    assert runs.claim(database, "0run", "you", pid=7, process_started=0.0, lease=30.0, now=100.0).owner_pid == 7


def test_of_two_that_claim_a_run_at_once_one_gets_it(database: Database) -> None:
    _create(database, *[records.run(f"run{number}", owner=None, owner_pid=None) for number in range(10)])
    started, together, won = psutil.Process().create_time(), threading.Barrier(2), []

    def claim_all(owner: str) -> None:
        for number in range(10):
            together.wait()
            try:
                runs.claim(
                    database, f"run{number}", owner, pid=os.getpid(), process_started=started, lease=30.0, now=100.0
                )
            except errors.RunActiveError:
                continue
            won.append(number)

    threads = [threading.Thread(target=claim_all, args=(owner,)) for owner in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(10))


@pytest.mark.parametrize(("now", "alive"), [(40.0, True), (60.0, False)])
def test_a_run_on_another_host_is_alive_until_its_lease_ends(now: float, alive: bool) -> None:
    assert runs.alive(records.run(host="elsewhere", lease_until=50.0), now) is alive


def test_cancelling_ends_the_run_and_its_open_tasks(database: Database) -> None:
    _create(database, records.run())
    writer = Writer(database, on_error=print)
    writer.put(records.task(1, state="succeeded"))
    writer.put(records.task(2, state="running"))
    writer.close()
    runs.cancel(database, "0run", 9.0)
    with database.read() as connection:
        assert runs.get(connection, "0run").state == "cancelled"
        assert [task.state for task in tasks.of_run(connection, "0run")] == ["succeeded", "cancelled"]


def test_old_runs_are_removed_with_all_that_belongs_to_them(database: Database) -> None:
    _create(database, records.run("old1", finished_at=5.0), records.run("new1", finished_at=50.0))
    writer = Writer(database, on_error=print)
    for run in ("old1", "new1"):
        writer.put(records.task(1, run, result_uri=f"{run}/uri"))
        writer.put(records.payload(1, run))
        writer.put(records.attempt(1, run=run))
    writer.close()
    with database.write() as connection:
        assert sweeper.older_than(connection, 10.0) == ["old1"]
        sweeper.delete_runs(connection, ["old1"])
    with database.read() as connection:
        assert [record.id for record in runs.latest(connection)] == ["new1"]
        assert tasks.of_run(connection, "old1") == []
        assert sweeper.referenced(connection) == {"new1/uri"}
    sweeper.vacuum(database)


def test_artifacts_of_any_number_of_removed_runs_do_not_count(database: Database) -> None:
    _create(database, records.run("kept", result_uri="kept/uri", inputs=b"kept"))
    _create(database, records.run("gone", result_uri="gone/uri", inputs=b"gone"))
    without = ["gone", *[f"gone{number}" for number in range(70_000)]]
    with database.read() as connection:
        assert sweeper.referenced(connection, without_runs=without) == {"kept/uri"}
        assert list(sweeper.packed(connection, without_runs=without)) == [b"kept"]


def test_a_vacuum_of_a_locked_database_is_told(tmp_path: Path) -> None:
    with open_database(f"sqlite:///{tmp_path}/x.db", timeout=0.05) as database:
        holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.DatabaseLockedError, match="Another process"):
            sweeper.vacuum(database)
        holder.close()
