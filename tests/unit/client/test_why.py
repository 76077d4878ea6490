"""Why something waits: each reason, in words, with the tables of real queues and runs behind it."""

from __future__ import annotations

import threading

import pytest

from nbflow import Queue, QueueClient, errors, flow, step
from nbflow.client import why
from nbflow.queue.options import Limit
from nbflow.queue.patterns import call, chain
from nbflow.storage import opened, queues
from tests.servers import wait_until
from tests.unit.client.histories import BEGAN, History, store
from tests.unit.queue.jobs import add
from tests.unit.queue.tables import Table
from tests.unit.storage import records


@pytest.fixture
def queue(tmp_path):
    return Queue()


@pytest.fixture
def table(queue):
    opened.database()
    return Table(queue)


def told(table, job):
    """Why a job waits, at the time of the table."""
    return why.why(table.job(job), table.database, table.clock.time())


def the(table, job, kind):
    """The one reason of a kind."""
    (found,) = [reason for reason in told(table, job) if reason.kind == kind]
    return found


def test_a_ready_job_tells_its_place_in_the_queue(table):
    ids = [table.enqueue(n) for n in range(3)]
    assert the(table, ids[2], "position").text.startswith("It is number 3 of 3 ready jobs of queue 'default'.")
    assert the(table, ids[2], "position").data == {"ahead": 2, "total": 3}
    first = table.enqueue(priority=-1)
    assert the(table, first, "position").data["ahead"] == 0
    assert the(table, ids[0], "position").data["ahead"] == 1


def test_the_place_comes_with_the_time_that_it_took_so_far(table):
    with table.database.write() as connection:
        queues.renew(connection, table.worker, table.clock.time(), 2e9, done=600)
    table.clock.advance(60)
    ids = [table.enqueue(n) for n in range(31)]
    assert "those before it take about 3.0 s" in the(table, ids[-1], "position").text


def test_no_worker_serves_its_queue(queue):
    Queue("gpu").create()
    opened.database()
    job = Queue("gpu").enqueue(add, 1)
    found = QueueClient().why(job.id)
    assert found.kinds == ("no worker", "position")
    assert "No worker serves queue 'gpu'. None is alive. Start one: nbflow worker --queues gpu" in str(found)


def test_workers_of_other_queues_are_told_of(table):
    Queue("gpu").create()
    job = table.enqueue(queue="gpu")
    with table.database.write() as connection:
        queues.renew(connection, table.worker, table.clock.time(), 2e9, queues='["cpu"]')
    assert "1 other is alive" in the(table, job, "no worker").text
    with table.database.write() as connection:
        queues.renew(connection, table.worker, table.clock.time(), 2e9, queues="[]", excluded='["gpu"]')
    assert "no worker" in told(table, job).kinds


def test_all_places_of_its_workers_are_taken(table):
    job = table.enqueue()
    with table.database.write() as connection:
        queues.renew(connection, table.worker, table.clock.time(), 2e9, busy=1)
    assert the(table, job, "busy").text == "The one place of the worker that serves it is taken."


def test_its_queue_is_paused(table, queue):
    job = table.enqueue()
    queue.pause()
    assert "nbflow queue resume default" in the(table, job, "paused").text
    queue.resume()
    assert "paused" not in told(table, job).kinds


def test_it_is_not_due_yet(table):
    job = table.enqueue(eta=90)
    assert "in 1 min 30 s" in the(table, job, "due").text
    assert the(table, job, "due").data == {"due_at": table.clock.time() + 90}


def test_it_is_tried_again_later(table):
    job = table.enqueue(retries=3, delay=60)
    table.claim()
    table.put_off(job, 60)
    assert the(table, job, "retry").text.startswith("Try 1 of 4 ")
    assert "the next one is due" in the(table, job, "retry").text


def test_it_needs_jobs_that_have_not_finished(table):
    first, second = table.pattern(chain(call(add, 1), call(add, 2)))
    reason = the(table, second, "needs")
    assert reason.text == f"It needs a job that has not finished: {first} (add, ready)."
    assert reason.data == {"jobs": [first]}


def test_its_queue_runs_as_many_as_it_may(table):
    Queue("narrow").create(max_running=2)
    ids = [table.enqueue(n, queue="narrow") for n in range(4)]
    table.claim()
    table.begin(*ids[:2])
    table.clock.advance(12)
    reason = the(table, ids[3], "limit")
    assert reason.text == (
        f"All 2 places of queue 'narrow' are taken by {ids[0]} (add, for 12.0 s on table), {ids[1]} (add, for 12.0 s "
        "on table); 1 waits before it."
    )
    assert reason.data["holders"] == ids[:2]


def test_a_limit_of_its_own_is_used_up(table):
    ids = [table.enqueue(n, limits=Limit("tenant a", 1)) for n in range(2)]
    assert the(table, ids[1], "limit").text == (
        f"The one place of limit 'tenant a' is taken by {ids[0]} (add, ready); it is the next."
    )


def test_a_lock_is_held_by_another_job(table):
    ids = [table.enqueue(n, lock="report") for n in range(2)]
    assert the(table, ids[1], "lock").text == f"Lock 'report' is held by {ids[0]} (add, ready); it is the next."


def test_a_rate_is_used_up(table):
    Queue("slow").create(rate=(1, 60))
    ids = [table.enqueue(n, queue="slow") for n in range(2)]
    table.claim()
    table.begin(ids[0])
    table.clock.advance(20)
    text = the(table, ids[1], "rate").text
    assert text.startswith("The rate of queue 'slow' is used up (1 start in 1 min 00 s); the next place is free in 40")


def test_each_worker_takes_few_of_its_queue(table):
    Queue("few").create(max_per_worker=1)
    job = table.enqueue(queue="few")
    assert "at most one job of queue 'few'" in the(table, job, "limit").text


def test_it_was_revoked(table):
    job = table.enqueue()
    table.job(job).revoke()
    assert the(table, job, "revoked").text.startswith("It was revoked: ")


def test_it_expires_if_it_is_not_begun(table):
    job = table.enqueue(expires=30)
    assert "in 30.0 s" in the(table, job, "expires").text


def test_a_job_that_runs_tells_where_and_for_how_long(table):
    job = table.enqueue()
    table.claim()
    assert "begins as soon as" in the(table, job, "running").text
    table.begin(job)
    table.clock.advance(3)
    assert the(table, job, "running").text == (
        "It has been running for 3.0 s on worker table (process 1 on elsewhere), try 1."
    )
    table.job(job).cancel()
    assert told(table, job).kinds == ("running", "cancelling")


def test_the_worker_of_a_job_is_gone(table):
    job = table.enqueue()
    table.claim()
    table.begin(job)
    table.clock.advance(2e9)
    assert told(table, job).kinds == ("running", "lost")


def test_a_finished_job_tells_how_it_ended(table):
    job = table.enqueue()
    table.claim()
    table.fail(job)
    assert told(table, job).kinds == ("ended",)
    assert "(ValueError: no)" in str(told(table, job))


def test_a_flow_on_the_queue_tells_what_its_job_waits_for():
    @flow
    def later():
        return 1

    later.submit(executor="queue")
    found = QueueClient().why("last")
    assert found.kinds == ("no worker", "position")
    assert str(found).startswith("run ")


# --- tasks and runs of a kernel ------------------------------------------------------------------------------------


@pytest.fixture
def held():
    """A run of which one step is held, with the client that looks at it."""
    hold = threading.Event()

    @step
    def slow(n):
        hold.wait(30)
        return n

    @step
    def total(values):
        return sum(values)

    @flow
    def waits():
        return total([slow(n) for n in range(3)])

    run = waits.submit(executor="threads", workers=1)
    client = QueueClient()
    wait_until(lambda: len(client.tasks(state="running")) == 1 and len(client.tasks()) == 4, 30)
    yield client
    hold.set()
    run.wait(30)


def test_a_task_needs_others_that_have_not_finished(held):
    reason = next(iter(held.why("last", "total")))
    assert reason.kind == "upstream"
    assert reason.text.startswith("It needs 3 of 3 tasks that have not finished: slow#1 (running), slow#2 (ready)")


def test_a_ready_task_waits_for_a_place_of_its_executor(held):
    (reason,) = held.why("last", "slow#2")
    assert reason.text == "Executor 'threads' (1 at a time) has no place free: it runs slow#1."


def test_a_task_that_runs_tells_where(held):
    (reason,) = held.why("last", "slow#1")
    assert reason.text.startswith("It has been running for ")
    assert "on threads-1, try 1." in reason.text


def test_a_run_tells_which_of_its_tasks_run(held):
    texts = [reason.text for reason in held.why("last")]
    assert texts[0].startswith("1 of its tasks run: slow#1 (for ")
    assert texts[1] == "2 of its tasks could run and wait for a place: slow#2, slow#3."


def test_a_flow_function_that_runs_itself_is_told():
    hold = threading.Event()

    @flow
    def thinks():
        hold.wait(30)

    run = thinks.submit(executor="threads")
    assert QueueClient().why(run).kinds == ("flow",)
    hold.set()
    run.wait(30)
    assert QueueClient().why(run).kinds == ("ended",)


def test_a_run_whose_process_died_says_how_to_go_on():
    lost = records.run("lost", owner_pid=2**22 + 1, lease_until=BEGAN, created_at=BEGAN)
    tries = [records.attempt(1, 1, "lost", "failed")._replace(error_type="builtins.ValueError", error_message="no")]
    tasks = [records.task(1, "lost", attempts=1), records.task(2, "lost", state="failed", cause=1)]
    store(opened.database(), History([lost], tasks, tries, []))
    client = QueueClient()
    assert "nbflow resume lost" in str(client.why("lost"))
    task = client.why("lost", "train#1")
    assert task.kinds == ("interrupted", "retry")
    assert "Try 1 failed (ValueError: no); it is tried again." in str(task)
    assert "because of train#1" in str(client.why("lost", "train#2"))


def test_what_is_neither_a_run_nor_a_job_is_refused():
    opened.database()
    with pytest.raises(errors.RunNotFoundError, match="no run 'zzz'"):
        QueueClient().why("zzz")
    with pytest.raises(errors.ConfigError, match="no run, task or job"):
        QueueClient().why(3)


def test_names_are_shown_as_text_and_never_as_html(table):
    job = table.enqueue(lock="<script>alert(1)</script>")
    other = table.enqueue(lock="<script>alert(1)</script>")
    shown = told(table, other)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert job in shown
