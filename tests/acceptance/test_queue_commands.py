"""The commands of the queue as a user types them: what they print, what they change, how they end."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from nbflow import flow, settings, step
from nbflow.cli.main import main
from nbflow.model.errors import QueueClosedError, UnknownQueueError
from nbflow.queue.queue import Queue
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import jobs, opened
from nbflow.values.project import value_store
from tests.acceptance import worker_jobs
from tests.acceptance.workers import WorkerProcess, words
from tests.servers import wait_until


@step
def nothing():
    return 1


@flow
def one_step():
    return nothing()


@pytest.fixture(autouse=True)
def database(db_url, monkeypatch):
    monkeypatch.setenv("NBFLOW_DB", db_url)
    monkeypatch.setenv("NBFLOW_ECHO", "false")
    monkeypatch.setenv("COLUMNS", "200")
    return opened.database(db_url)


@pytest.fixture
def nbflow(capsys, monkeypatch):
    """Runs a command: (exit code, what it printed)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nbflow", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return ended.value.code or 0, told.out + told.err

    return run


@pytest.fixture
def queue():
    return Queue()


def work_off():
    """Run what there is, with the parent in this process."""
    Worker(opened.database(), value_store(settings.current()), WorkerOptions(burst=True, concurrency=1)).run()


# --- info ------------------------------------------------------------------------------------------------------------


def test_info_tells_queues_in_their_order_and_connected_workers(nbflow, queue, start_worker, database):
    Queue("fast").create(priority=1, max_running=2)
    Queue("slow").create(timeout=60)
    queue.enqueue(worker_jobs.fail, "x")
    work_off()
    worker = start_worker("--queues", "fast", "-c", "3").ready()
    queue.enqueue_many(worker_jobs.add, [(1, 2), (3, 4)])
    queue.with_options(eta=3600).enqueue(worker_jobs.add, 1, 1)
    queue.with_options(after=queue.enqueue(worker_jobs.add, 1, 1)).enqueue(worker_jobs.add, 1, 1)
    code, told = nbflow("info")
    found = json.loads(told)
    expected = {"state": "open", "pending": 0, "pending_eta": 0, "waiting": 0, "running": 0, "failed": 0, "ended": {}}
    assert (code, found["database"]) == (0, database.url)
    assert found["queues"] == [
        {"name": "fast", "priority": 1, **expected, "limits": {"max_running": 2}, "defaults": {}},
        {"name": "slow", "priority": None, **expected, "limits": {}, "defaults": {"timeout": 60.0}},
        {"name": "default", "priority": None, **expected, "pending": 3, "pending_eta": 1, "waiting": 1, "failed": 1,
         "ended": {"failed": 1}, "limits": {}, "defaults": {}},
    ]  # fmt: skip
    (row,) = found["workers"]
    assert (row["id"], row["pid"], row["queues"], row["concurrency"]) == (
        worker.ids[0], worker.process.pid, ["fast"], 3,
    )  # fmt: skip


def test_info_leaves_out_workers_that_were_killed(nbflow, start_worker):
    worker = start_worker().ready()
    assert len(json.loads(nbflow("info")[1])["workers"]) == 1
    worker.kill()
    assert json.loads(nbflow("info")[1])["workers"] == []


# --- queues ----------------------------------------------------------------------------------------------------------


def test_purge_drops_what_waits_and_prints_how_many(nbflow, queue):
    done = queue.enqueue(worker_jobs.add, 1, 1)
    work_off()
    queue.enqueue_many(worker_jobs.add, [(1, 2)] * 3)
    queue.with_options(eta=3600).enqueue(worker_jobs.add, 1, 1)
    assert nbflow("purge", "default") == (0, "Removed 4 jobs from queue default.\n")
    assert (len(queue), done.result()) == (0, 2)
    assert nbflow("purge")[0] == 2, "without a name it does nothing"


@pytest.mark.parametrize("command", [("purge",), ("queue", "pause"), ("queue", "drain"), ("queue", "list")])
def test_an_unknown_queue_is_told_with_those_that_there_are(nbflow, command):
    Queue("reports").create()
    code, told = nbflow(*command, "report")
    assert code == 2
    assert "There is no queue 'report'. Did you mean 'reports'? Known are default, reports" in told


def test_a_queue_is_made_with_its_limits(nbflow):
    assert nbflow("queue", "create", "reports", "--priority", "3", "--rate", "5/30s", "--timeout", "60")[0] == 0
    (made, _) = json.loads(nbflow("info")[1])["queues"]
    assert (made["name"], made["priority"]) == ("reports", 3)
    assert (made["limits"], made["defaults"]) == ({"rate_count": 5, "rate_period": 30.0}, {"timeout": 60.0})


def test_a_rate_that_is_none_is_refused(nbflow):
    code, told = nbflow("queue", "create", "reports", "--rate", "often")
    assert (code, "such as 10/s, 100/m or 5/30s, not 'often'" in told) == (2, True)
    with pytest.raises(UnknownQueueError):
        Queue("reports").enqueue(worker_jobs.add, 1, 1)


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(nbflow, queue):
    job = queue.enqueue(worker_jobs.add, 1, 1)
    assert nbflow("queue", "pause", "default")[0] == 0
    work_off()
    assert job.state == "ready"
    assert nbflow("queue", "resume", "default")[0] == 0
    work_off()
    assert job.result() == 2


def test_a_drained_queue_takes_nothing_and_is_worked_off(nbflow, queue, start_worker):
    many = queue.enqueue_many(worker_jobs.add, [(1, 2)] * 50)
    start_worker()
    assert "Queue default is empty.\n" in nbflow("queue", "drain", "default", "--wait")[1]
    assert {str(job.state) for job in many} == {"succeeded"}
    with pytest.raises(QueueClosedError):
        queue.enqueue(worker_jobs.add, 1, 1)


def test_what_waits_is_listed_in_order_and_left_there(nbflow, queue):
    later = queue.with_options(eta=3600).enqueue(worker_jobs.add, 1, 1)
    much_later = queue.with_options(eta=7200).enqueue(worker_jobs.add, 1, 1)
    second, first = queue.enqueue(worker_jobs.add, 1, 1), queue.with_options(priority=-1).enqueue(worker_jobs.add, 1, 1)
    listed = json.loads(nbflow("queue", "list", "default", "--json")[1])
    assert [each["id"] for each in listed] == [job.id for job in (first, second, later, much_later)]
    soon = json.loads(nbflow("queue", "list", "default", "--before", "4000", "--json")[1])
    assert [each["id"] for each in soon] == [job.id for job in (first, second, later)]
    assert "a worker" in nbflow("queue", "list", "default", "-n", "1")[1]
    assert len(queue) == 4


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_by_queue_and_state(nbflow, queue):
    failed = queue.enqueue(worker_jobs.fail, "no")
    work_off()
    waiting = queue.enqueue(worker_jobs.add, 1, 1)
    assert [each["id"] for each in json.loads(nbflow("jobs", "--json")[1])] == [waiting.id, failed.id]
    assert [each["id"] for each in json.loads(nbflow("jobs", "--state", "failed", "--json")[1])] == [failed.id]
    assert nbflow("jobs", "--queue", "other")[1] == "No such jobs.\n"
    assert "ValueError: no" in nbflow("jobs")[1]


def test_a_job_shows_its_error_tries_and_output(nbflow, queue, tmp_path):
    (tmp_path / "go").touch()
    failed = queue.with_options(retries=1, tags=["night"]).enqueue(worker_jobs.fail, "[red]no[/red]")
    told = queue.enqueue(worker_jobs.tell, str(tmp_path / "go"))
    work_off()
    code, text = nbflow("job", failed.id)
    assert code == 0
    parts = [f"✗ failed job {failed.id}, fail on queue default", "tags night", "tries 2", "ValueError: [red]no[/red]"]
    assert [part for part in (*parts, "raise ValueError(word)", f"nbflow retry {failed.id}") if part not in text] == []
    assert all(part in nbflow("job", told.id)[1] for part in ("result: 'done'", "half way", "50% half"))
    found = json.loads(nbflow("job", "last", "--json")[1])
    assert (found["id"], found["output"], found["result"], found["meta"]) == (
        told.id, "half way\n", "'done'", {"rows": 3},
    )  # fmt: skip


@pytest.mark.parametrize("command", ["job", "cancel", "retry"])
def test_an_id_that_nothing_has_is_told(nbflow, queue, command):
    queue.enqueue(worker_jobs.add, 1, 1)
    code, told = nbflow(command, "zzzz")
    assert (code, "'zzzz'" in told) == (3, True)


def test_a_job_is_found_by_a_beginning_of_its_id_that_no_other_has(nbflow, queue):
    one, other = queue.enqueue_many(worker_jobs.add, [(1, 1)] * 2)
    code, told = nbflow("job", one.id[:4])
    assert (code, "is the beginning of several jobs" in told) == (3, True)
    assert one.id[:-2] != other.id[:-2]
    assert f"job {one.id}" in nbflow("job", one.id[:-2])[1]


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_jobs_that_wait_and_that_run(nbflow, queue, start_worker, tmp_path):
    start_worker("-c", "1").ready()
    running = queue.enqueue(worker_jobs.until, str(tmp_path / "log"), "first", str(tmp_path / "never"))
    waiting = queue.enqueue(worker_jobs.add, 1, 1)
    wait_until(lambda: words(tmp_path / "log"))
    code, told = nbflow("cancel", waiting.id, running.id)
    assert (code, told) == (0, f"job {waiting.id} is cancelled.\njob {running.id} is being ended.\n")
    wait_until(lambda: running.finished)
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    assert nbflow("cancel", running.id)[1] == f"job {running.id} has ended before: it was cancelled.\n"


def test_cancel_and_retry_take_ids_of_runs_too(nbflow):
    run = one_step.run()
    assert nbflow("cancel", run.id) == (0, f"run {run.id} has ended before: it succeeded.\n")
    assert json.loads(nbflow("cancel", "last", "--json")[1]) == [{"run": run.id, "was": "succeeded"}]
    code, told = nbflow("retry", run.id, "--json")
    assert (code, json.loads(told)["state"]) == (0, "succeeded")


def test_a_beginning_of_a_run_and_of_a_job_is_refused(nbflow, queue, database):
    run, job = one_step.run(), queue.enqueue(worker_jobs.add, 1, 1)
    record = job.record._replace(id=run.id[:8] + "0000")
    with database.write() as connection:
        jobs.insert(connection, [record])
    code, told = nbflow("cancel", run.id[:8])
    assert (code, f"is the beginning of several ids: {run.id}, {record.id}" in told) == (3, True)
    assert nbflow("cancel", record.id) == (0, f"job {record.id} is cancelled.\n")


# --- retry -----------------------------------------------------------------------------------------------------------


def test_one_dead_letter_is_requeued(nbflow, queue, tmp_path):
    job = queue.with_options(most_losses=0).enqueue(worker_jobs.segfault_unless, str(tmp_path / "mended"))
    work_off()
    assert job.state == "failed"
    (tmp_path / "mended").touch()
    assert nbflow("retry", job.id) == (0, f"Requeued job {job.id}.\n")
    work_off()
    assert (job.result(), job.record.attempt, len(job.attempts())) == ("alive", 1, 1)


def test_all_dead_letters_of_a_queue_are_requeued(nbflow, queue, tmp_path):
    other = Queue("other").create().enqueue(worker_jobs.fail, "x")
    failed = [*queue.enqueue_many(worker_jobs.fail, [("x",)] * 3),
              queue.with_options(timeout=0.2).enqueue(worker_jobs.time_out, str(tmp_path / "log"), 30)]  # fmt: skip
    good = queue.enqueue(worker_jobs.add, 1, 1)
    work_off()
    assert nbflow("retry", "--failed", "--queue", "default") == (0, "Requeued 4 jobs.\n")
    assert {str(job.state) for job in failed} == {"ready"}
    assert (other.state, good.state) == ("failed", "succeeded")
    assert json.loads(nbflow("retry", "--failed", "--json")[1]) == {"requeued": [other.id]}


@pytest.mark.parametrize("arguments", [(), ("--failed", "65r00000000a"), ("65r00000000a", "--queue", "default")])
def test_retry_says_what_it_takes(nbflow, arguments):
    assert nbflow("retry", *arguments)[0] == 2


def test_a_job_that_has_not_finished_is_not_requeued(nbflow, queue):
    code, told = nbflow("retry", queue.enqueue(worker_jobs.add, 1, 1).id)
    assert (code, "only what has finished can be requeued" in told) == (2, True)


# --- gc --------------------------------------------------------------------------------------------------------------


def test_gc_keeps_what_jobs_need_and_gave(nbflow, queue):
    """Large values lie beside the database; they are old here, so that nothing but being needed keeps them."""
    done, gone = queue.enqueue(worker_jobs.give, 50_000), queue.enqueue(worker_jobs.give, 60_000)
    failed = queue.enqueue(worker_jobs.fail, "x" * 50_000)
    work_off()
    waiting = queue.with_options(retries=1).enqueue(worker_jobs.add, bytes(range(256)) * 200, b"!")
    artifacts = [path for path in Path(settings.current().artifacts_of()).rglob("*") if path.is_file()]
    for path in artifacts:
        os.utime(path, (1_000_000_000, 1_000_000_000))
    with opened.database().write() as connection:
        jobs.delete(connection, [gone.id])
    code, told = nbflow("gc", "--yes", "--json")
    assert (code, json.loads(told)["artifacts"]) == (0, 1)
    work_off()
    assert waiting.result() == bytes(range(256)) * 200 + b"!"
    assert (done.result(), str(failed.error)) == (bytes(50_000), "x" * 50_000)


# --- worker and up ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--concurrency", "__import__('os').system('true')"), "is no concurrency"),
        (("--concurrency", "0"), "not between 1 and 10,000"),
        (("--queues", "a,,b"), "--queues takes names of queues"),
        (("--queues", "a", "--exclude", "a"), "serve queue 'a' and leave it out"),
        (("--max-tasks", "0"), "a child runs 1 job at least"),
        (("--max-memory-percent", "100"), "between 1 and 99"),
        (("--hooks", "nowhere:Hooks"), "cannot be imported"),
        (("--db", "mysql://host/name"), "is no database that nbflow can use"),
    ],
)
@pytest.mark.parametrize("command", ["worker", "up"])
def test_options_that_make_no_sense_are_told_before_anything_starts(nbflow, command, arguments, message):
    code, told = nbflow(command, *arguments)
    assert code == 2
    assert message in told


def test_up_runs_workers_and_a_scheduler_until_it_is_stopped(queue, db_url):
    worker = WorkerProcess(db_url, "--workers", "2", "-c", "1", command="up")
    wait_until(lambda: any(line.startswith("up is ready: 2 workers and a scheduler") for line in list(worker.lines)))
    assert queue.enqueue(worker_jobs.add, 1, 2).result(timeout=30) == 3
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    worker.kill()


def test_up_starts_a_worker_again_that_died_and_leaves_none_behind(queue, db_url, nbflow):
    up = WorkerProcess(db_url, "-c", "1", command="up").ready()

    def pids():
        return [each["pid"] for each in json.loads(nbflow("info")[1])["workers"]]

    (first,) = pids()
    os.kill(first, signal.SIGKILL)
    up.ready(times=2)
    (second,) = pids()
    assert second != first
    up.kill()
    wait_until(lambda: pids() == [])


@pytest.mark.parametrize("command", ["worker", "up", "info", "purge", "jobs", "job", "cancel", "retry"])
def test_every_command_says_what_it_does(nbflow, command):
    code, told = nbflow(command, "--help")
    assert (code, f"Usage: nbflow {command}" in told) == (0, True)


@pytest.mark.parametrize("command", ["create", "pause", "resume", "drain", "list"])
def test_every_command_for_queues_says_what_it_does(nbflow, command):
    code, told = nbflow("queue", command, "--help")
    assert (code, f"Usage: nbflow queue {command}" in told) == (0, True)
