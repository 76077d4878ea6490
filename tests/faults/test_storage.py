"""Databases and disks that fail under a flow: a clear error, nothing stored half, and a way to go on."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nbflow import Run, configure, errors, flow, runs, step
from nbflow.engine import stores
from tests.commands import run_command
from tests.servers import wait_until

DATABASE = Path(".nbflow/nbflow.db")
EXECUTORS = ["serial", "threads", "processes"]


@step
def double(x: int) -> int:
    return 2 * x


@flow
def few() -> int:
    return sum([double(n) for n in range(4)])


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    stores.close_all()


@pytest.mark.parametrize("shape", ["many", "large"])
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_space(shape: str, executor: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NBFLOW_ECHO": "false"}
    asked = [shape, executor, "400000"]
    done = run_command(asked, Path.cwd(), environment, module="tests.faults.full_disk")
    assert done.stdout.startswith("DiskFullError")
    assert "go on with" in done.stdout or "nbflow gc" in done.stdout or "nbflow resume" in done.stdout
    assert len(done.stderr) < 20_000
    (run,) = runs()
    assert {str(task.state) for task in run.tasks()} <= {"pending", "ready", "running", "succeeded", "failed"}
    assert not [
        path for path in Path(".nbflow/artifacts").rglob("*") if path.is_file() and path.stat().st_size == 400_000
    ]
    assert run.resume().result() == (8_002_000 if shape == "many" else 3_000_000)


def test_a_database_that_is_locked_all_the_time_is_told(executor: str) -> None:
    few.run()
    configure(lock_timeout=0.2)
    stores.close_all()
    with closing(sqlite3.connect(DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.DatabaseLockedError, match="Another process holds"):
            few.run(executor=executor)
    assert len(runs()) == 1
    assert few.run(executor=executor).result() == 12


def test_a_lock_in_the_middle_of_a_run_ends_it_and_it_can_be_resumed(executor: str, tmp_path: Path) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go on"

    @step
    def waits(x: int) -> int:
        begun.touch()
        wait_until(go_on.exists)
        return x + 1

    @flow
    def long() -> int:
        return double(waits(1))

    configure(lock_timeout=0.2)
    run = long.submit(executor=executor)
    wait_until(begun.exists)
    with closing(sqlite3.connect(DATABASE, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN IMMEDIATE")
        go_on.touch()
        with pytest.raises(errors.DatabaseLockedError):
            run.result(20)
    resumed = Run(run.id).resume(spec=long.spec)
    assert resumed.result() == 4


def test_a_lock_that_is_given_up_in_time_does_no_harm(executor: str, tmp_path: Path) -> None:
    few.run()
    with closing(sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        release.start()
        assert few.run(executor=executor).result() == 12
        release.join()


def test_a_newer_database_is_refused_before_anything_runs(executor: str) -> None:
    few.run()
    stores.close_all()
    with closing(sqlite3.connect(DATABASE)) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
        other.commit()
    with pytest.raises(errors.DatabaseNewerError, match="pip install -U nbflow"):
        few.run(executor=executor)


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(content: bytes, executor: str) -> None:
    DATABASE.write_bytes(content)
    with pytest.raises(errors.DatabaseCorruptError):
        few.run(executor=executor)
    assert DATABASE.read_bytes() == content


def test_a_database_that_is_damaged_between_runs_is_told(executor: str) -> None:
    few.run()
    stores.close_all()
    content = bytearray(DATABASE.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    DATABASE.write_bytes(content)
    with pytest.raises(errors.DatabaseCorruptError, match="damaged"):
        few.run(executor=executor)


def test_a_database_that_may_only_be_read_is_told(executor: str) -> None:
    few.run()
    stores.close_all()
    link = Path("elsewhere.db")
    link.symlink_to("/proc/nowhere/nbflow.db")  # no permission bits: tests may run as root
    with pytest.raises(errors.StorageError, match="elsewhere"):
        few.run(executor=executor, db=str(link))
