"""RQ: a real worker, and what RQ itself says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
import redis
from rq import Queue, Retry, Worker
from rq.cron import CronScheduler
from rq.results import Result

from nbflow.client.foreign.rq import open_rq
from nbflow.client.sources import Query
from tests.foreign import work
from tests.foreign.conftest import changes_nothing, contents, rows
from tests.servers import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def told(empty, start, tmp_path_factory):
    """A worker that has done some jobs, is at one, and has some before it."""
    url = empty(1)
    client = redis.Redis.from_url(url)
    queue, spare = Queue("work", connection=client), Queue("spare", connection=client, serializer="json")
    held = tmp_path_factory.mktemp("held") / "running"
    ended = [
        queue.enqueue(work.add, 1, 2, job_id="added", result_ttl=-1),
        queue.enqueue(work.fail, "no\ngood", job_id="failed", description="a text of its own"),
        queue.enqueue(work.hold, str(held), job_id="late", job_timeout=1),
        queue.enqueue(work.fail, "again", job_id="retried", retry=Retry(max=1)),
    ]
    start("-m", "rq.cli", "worker", "--url", url, "--name", "ann", "--with-scheduler", "work")
    wait_until(lambda: all(job.is_finished or job.is_failed for job in ended))
    held.unlink(missing_ok=True)
    queue.enqueue(work.hold, str(held), job_id="running")
    queue.enqueue(work.add, 1, 2, job_id="waiting")
    queue.enqueue(work.add, 1, 2, job_id="behind", depends_on="running")
    queue.enqueue_in(timedelta(hours=1), work.add, 1, 2, job_id="scheduled")
    spare.enqueue(work.add, "x" * 5_000, 2, job_id="json")
    spare.enqueue(work.add, 1, 2, job_id="cancelled").cancel()
    wait_until(held.exists)
    source = open_rq(url)
    yield SimpleNamespace(source=source, client=client, queue=queue, spare=spare)
    source.close()
    held.unlink()


def test_every_job_is_there_in_its_state(told):
    found = {name: (row["state"], row["queue"], row["step"]) for name, row in rows(told.source, "jobs").items()}
    assert found == {
        "added": ("succeeded", "work", "tests.foreign.work.add"),
        "failed": ("failed", "work", "tests.foreign.work.fail"),
        "late": ("timed_out", "work", "tests.foreign.work.hold"),
        "retried": ("failed", "work", "tests.foreign.work.fail"),
        "running": ("running", "work", "tests.foreign.work.hold"),
        "waiting": ("ready", "work", "tests.foreign.work.add"),
        "behind": ("pending", "work", "tests.foreign.work.add"),
        "scheduled": ("pending", "work", "tests.foreign.work.add"),
        "json": ("ready", "spare", "tests.foreign.work.add"),
        "cancelled": ("cancelled", "spare", "tests.foreign.work.add"),
    }


def test_times_and_workers_are_those_that_rq_tells(told):
    for name, row in rows(told.source, "jobs").items():
        job = (told.spare if row["queue"] == "spare" else told.queue).fetch_job(name)
        times = {"enqueued_at": job.created_at, "ready_at": job.enqueued_at, "started_at": job.started_at}
        times["finished_at"] = job.ended_at
        assert {key: row[key] for key in times} == {key: pd.Timestamp(value) for key, value in times.items()}
        assert row["worker"] == (job.worker_name or None) or pd.isna(row["worker"])


def test_a_scheduled_job_tells_when_it_is_due(told):
    due = told.queue.scheduled_job_registry.get_scheduled_time("scheduled")
    assert rows(told.source, "jobs")["scheduled"]["due_at"] == due


def test_errors_are_those_of_the_traceback(told):
    found = rows(told.source, "jobs")
    assert (found["failed"]["error_type"], found["failed"]["error"]) == ("ValueError", "no\ngood")
    assert found["late"]["error_type"] == "rq.timeouts.JobTimeoutException"


def test_attempts_are_the_results_that_rq_recorded_and_what_runs(told):
    found = rows(told.source, "attempts")
    assert found.keys() == {"added#1", "failed#1", "late#1", "retried#1", "running#1"}
    for name in ("added", "failed"):
        result = Result.fetch_latest(told.queue.fetch_job(name))
        assert found[f"{name}#1"]["started_at"] == result.execution_started_at
        assert found[f"{name}#1"]["finished_at"] == result.execution_ended_at
    assert found["running#1"]["worker"] == "ann"
    assert found["running#1"]["started_at"] > found["added#1"]["finished_at"]
    assert pd.isna(found["running#1"]["finished_at"])


def test_queues_have_the_counts_that_rq_tells(told):
    found = rows(told.source, "queues")
    assert found.keys() == {"work", "spare"}
    assert {name: row["ready"] for name, row in found.items()} == {"work": len(told.queue), "spare": len(told.spare)}
    work_row = {name: found["work"][name] for name in ("running", "delayed", "waiting", "failed", "ended", "workers")}
    assert work_row == {"running": 1, "delayed": 1, "waiting": 1, "failed": 3, "ended": 4, "workers": 1}
    assert found["spare"]["waiting_since"] == pd.Timestamp(told.spare.fetch_job("json").enqueued_at)
    assert found["spare"]["ended"] == 1


def test_the_worker_is_the_one_that_rq_tells(told):
    (worker,) = Worker.all(connection=told.client)
    found = rows(told.source, "workers")["ann"]
    assert found["state"], found["alive"] == ("running", True)
    assert (found["host"], found["pid"], found["queues"]) == (worker.hostname, worker.pid, "work")
    assert (found["busy"], found["done"]) == (1, worker.successful_job_count + worker.failed_job_count)
    assert found["started_at"] == worker.birth_date


def test_schedules_are_those_of_the_cron_scheduler(empty):
    url = empty(6)
    client = redis.Redis.from_url(url)
    cron = CronScheduler(connection=client, name="beat")
    cron.register(work.add, "work", args=(1, 2), interval=60, name="often")
    cron.register(work.add, "work", cron="0 3 * * *")
    cron.register_birth()
    (job,) = [each.get_job_ids(client)[0] for each in cron.enqueue_jobs()]
    cron.save()
    source = open_rq(url)
    found = rows(source, "schedules")
    assert rows(source, "jobs")[job]["schedule"] == "often"
    source.close()
    told = {name: (row["kind"], row["expression"], row["queue"]) for name, row in found.items()}
    assert told == {
        "often": ("interval", "60 s", "work"),
        "tests.foreign.work.add": ("cron", "0 3 * * *", "work"),
    }
    often, daily = cron.get_jobs()
    assert (found["often"]["last_at"], found["often"]["next_at"]) == (
        often.latest_enqueue_time,
        often.next_enqueue_time,
    )
    assert found["tests.foreign.work.add"]["next_at"] == daily.next_enqueue_time


def test_queries_choose_rows_and_tell_how_many_there_are(told):
    assert rows(told.source, "jobs", states=("ready",), queue="work").keys() == {"waiting"}
    assert rows(told.source, "jobs", step="hold").keys() == {"late", "running"}
    assert rows(told.source, "jobs", flow="any") == {}
    now = datetime.now(UTC).timestamp()
    assert "added" not in rows(told.source, "jobs", since=now)
    assert rows(told.source, "jobs", until=0.0) == {}
    frame, count = told.source.frame("jobs", Query(limit=2))
    assert (list(frame["job"]), count) == (["json", "cancelled"], 10)


def test_reading_changes_nothing(told):
    wait_until(lambda: changes_nothing(told.source, lambda: contents(told.client)))
