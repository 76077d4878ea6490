"""Relative paths mean on a worker what they mean where the job was enqueued."""

from __future__ import annotations

import os

from nbflow import flow, step
from tests.workers import running_worker


@step
def here() -> str:
    """The current folder."""
    return os.getcwd()


@flow
def where() -> list[str]:
    """That of the flow function, and of a step."""
    return [os.getcwd(), here()]


def test_jobs_run_in_the_folder_that_they_were_enqueued_in(queue, workers, tmp_path, monkeypatch):
    jobs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        jobs.append(queue.enqueue(os.getcwd))
    monkeypatch.chdir(tmp_path)
    workers.burst(concurrency=1)
    assert [job.result() for job in jobs] == [str(tmp_path / "one"), str(tmp_path / "two")]


def test_where_there_is_no_such_folder_they_run_in_that_of_the_worker(queue, workers, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    first, second = queue.enqueue(os.getcwd), queue.enqueue(os.getcwd)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").rmdir()
    workers.burst(concurrency=1)
    assert (first.result(), second.result()) == (str(tmp_path), str(tmp_path))


def test_large_values_go_from_folder_to_folder(queue, db_url, tmp_path, monkeypatch):
    """They lie where the database is, not where whoever writes or reads them was started."""
    with running_worker(db_url):
        for name in ("one", "two"):
            (tmp_path / name / ".nbflow").mkdir(parents=True)
            monkeypatch.chdir(tmp_path / name)
            job = queue.enqueue(bytes.upper, b"x" * 50_000)
            (tmp_path / name / "reader").mkdir()
            monkeypatch.chdir(tmp_path / name / "reader")
            assert job.result(timeout=60) == b"X" * 50_000


def test_a_flow_and_its_steps_run_where_it_was_submitted(db_url, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("NBFLOW_DB", db_url)
    with running_worker():
        monkeypatch.chdir(tmp_path / "notebooks")
        found = where.submit(executor="queue").result(60)
    assert found == [str(tmp_path / "notebooks")] * 2
