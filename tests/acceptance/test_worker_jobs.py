"""What can be seen of jobs while real workers run them, and how workers live through what is wrong with jobs."""

from __future__ import annotations

import json
import signal
import uuid
from importlib import import_module

import pytest
from sqlalchemy import update

from nbflow import settings
from nbflow.model.errors import (
    DefinitionError,
    SignatureError,
    UnpicklableError,
    ValueTooLargeError,
)
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import jobs as stored_jobs
from nbflow.storage import opened
from nbflow.storage.schema import version_table
from nbflow.values.project import value_store
from tests.acceptance import worker_jobs
from tests.acceptance.workers import WorkerProcess, wait_for, words
from tests.servers import wait_until


def burst(db_url, **options):
    """Work off what there is, with the parent in this process and real children."""
    options = WorkerOptions(burst=True, concurrency=1, **options)
    Worker(opened.database(db_url), value_store(settings.current(), db_url), options).run()


def change(db_url, job, **values):
    with opened.database(db_url).write() as connection:
        stored_jobs.change(connection, job.id, **values)


def new_function(folder, monkeypatch):
    """A module of a new name, and its function."""
    module = folder / f"module_{uuid.uuid4().hex}.py"
    module.write_text("def here():\n    return 'here'\n")
    monkeypatch.syspath_prepend(folder)
    return module, import_module(module.stem).here


# --- seen while it runs ----------------------------------------------------------------------------------------------


def test_progress_notes_and_output_are_seen_while_a_job_runs(queue, start_worker, go):
    start_worker("-c", "1").ready()
    job = queue.with_options(meta={"source": "test"}, tags=["slow"]).enqueue(worker_jobs.tell, str(go))
    wait_until(lambda: job.output() == "half way\n" and job.progress == 0.5 and "rows" in job.meta)
    record = job.record
    assert (record.state, record.message, json.loads(record.tags)) == ("running", "half", ["slow"])
    assert job.meta == {"source": "test", "rows": 3}
    job.note(seen=True)
    go.touch()
    assert job.result(timeout=30) == "done"
    assert job.meta == {"source": "test", "rows": 3, "seen": True}


def test_a_worker_lives_through_what_databases_do_not_take(queue, db_url):
    job = queue.enqueue(worker_jobs.hostile)
    after = queue.enqueue(worker_jobs.add, 1, 2)
    burst(db_url)
    record = job.record
    assert (record.state, record.error_message) == ("failed", "nul \\x00 and half a pair \\ud800")
    assert (job.output(), record.message) == ("nul \\x00 and half a pair \\ud800\n", "no number")
    assert after.result() == 3


# --- hooks -----------------------------------------------------------------------------------------------------------


def test_hooks_run_in_the_children(queue, start_worker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start_worker("-c", "1", "--hooks", "tests.acceptance.worker_jobs:Hooks").ready()
    child = queue.enqueue(worker_jobs.pid).result(timeout=30)
    wait_for(queue.enqueue(worker_jobs.fail, "x"), "failed")
    waited = queue.enqueue(worker_jobs.time_out_later, str(tmp_path / "log"), 0)
    assert "declare it with `async def`" in wait_for(waited, "failed").error_message
    told = words(tmp_path / "hooks.log")
    assert told[:3] == [["started", str(child)], ["before", "pid"], ["after", "pid", "NoneType"]]
    assert ["after", "fail", "ValueError"] in told


# --- what is wrong with a job ----------------------------------------------------------------------------------------


def test_a_payload_that_somebody_else_signed_is_refused(queue, db_url, log):
    job = queue.enqueue(worker_jobs.mark, str(log), "ran")
    payload = job.record.payload
    change(db_url, job, payload=payload[:-1] + bytes([payload[-1] ^ 1]))
    burst(db_url)
    assert (job.state, type(job.error), words(log)) == ("failed", SignatureError, [])
    change(db_url, job, payload=payload)
    job.requeue()
    burst(db_url)
    assert (job.state, words(log)) == ("succeeded", [["ran"]])


def test_code_that_cannot_be_imported_says_what_to_do(queue, db_url, tmp_path, monkeypatch):
    module, here = new_function(tmp_path, monkeypatch)
    job = queue.enqueue(here)
    module.rename(tmp_path / "elsewhere.txt")
    burst(db_url)
    assert (job.state, type(job.error)) == ("failed", DefinitionError)
    assert f"{module.stem}.here cannot be imported by the worker: No module named" in str(job.error)
    (tmp_path / "elsewhere.txt").rename(module)
    job.requeue()
    burst(db_url)
    assert job.result() == "here"


def test_a_function_that_is_gone_from_its_module_says_so(queue, db_url, tmp_path, monkeypatch):
    module, here = new_function(tmp_path, monkeypatch)
    job = queue.enqueue(here)
    module.write_text("# nothing\n")
    burst(db_url)
    assert (job.state, type(job.error)) == ("failed", DefinitionError)
    assert f"{module.stem}.here cannot be imported" in str(job.error)


@pytest.mark.parametrize(
    ("function", "arguments", "kind"),
    [
        (worker_jobs.give, (5_000,), ValueTooLargeError),
        (worker_jobs.give_what_cannot_travel, (), UnpicklableError),
    ],
)
def test_a_result_that_cannot_be_kept_fails_its_job_and_no_other(queue, db_url, function, arguments, kind):
    settings.configure(max_value_size=4_000)
    job = queue.enqueue(function, *arguments)
    after = queue.enqueue(worker_jobs.give, 10)
    burst(db_url)
    assert (job.state, type(job.error)) == ("failed", kind)
    assert after.result() == bytes(10)
    settings.configure(max_value_size=None)
    job.requeue()
    burst(db_url)
    assert str(job.state) == ("succeeded" if kind is ValueTooLargeError else "failed")


def test_a_policy_that_cannot_be_read_stops_no_worker(queue, db_url, log):
    job = queue.enqueue(worker_jobs.mark, str(log), "ran")
    after = queue.enqueue(worker_jobs.add, 1, 2)
    change(db_url, job, policy="{broken")
    burst(db_url)
    assert (str(job.state), after.result()) == ("failed", 3)
    assert "policy" in job.record.error_message


# --- what is wrong with the database ---------------------------------------------------------------------------------


def newer(db_url):
    with opened.database(db_url).write() as connection:
        connection.execute(update(version_table).values(version_num="9999"))


def test_a_worker_does_not_start_on_tables_of_a_newer_nbflow(queue, db_url):
    queue.enqueue(worker_jobs.add, 1, 2)
    newer(db_url)
    worker = WorkerProcess(db_url, "--burst")
    assert worker.wait() == 4
    worker.kill()
    assert "was written by a newer nbflow (schema 9999" in "\n".join(worker.log)


def test_a_worker_ends_in_good_order_when_a_newer_nbflow_changes_the_tables(queue, start_worker, db_url, log, go):
    worker = start_worker("-c", "1", "--lease", "4").ready()
    running = queue.enqueue(worker_jobs.until, str(log), "first", str(go))
    waiting = queue.enqueue(worker_jobs.add, 1, 1)
    wait_until(lambda: words(log))
    newer(db_url)
    wait_until(lambda: any("newer nbflow" in line for line in list(worker.log)))
    go.touch()
    assert worker.wait() == 4
    assert (str(running.state), str(waiting.state)) == ("succeeded", "ready")


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)  # PostgreSQL is never locked as a whole
def test_a_worker_waits_for_a_database_that_is_locked_for_long(queue, start_worker, db_url, monkeypatch):
    monkeypatch.setenv("NBFLOW_LOCK_TIMEOUT", "0.2")
    worker = start_worker("-c", "1").ready()
    with opened.database(db_url).write():
        wait_until(lambda: any("begins anew" in line for line in list(worker.log)))
    worker.ready(times=2)
    assert queue.enqueue(worker_jobs.add, 1, 2).result(timeout=30) == 3
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
