"""What is enqueued when a job ends: functions with its result or error, URLs that are told, each a job of its own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import nbflow
from nbflow import settings, step
from nbflow.model.errors import ConfigError, DefinitionError
from nbflow.queue import webhooks
from nbflow.queue.options import Limit
from nbflow.queue.patterns import call, chain, chord, group
from nbflow.queue.queue import Queue
from nbflow.storage import job_lists, jobs, opened
from tests.servers import wait_until
from tests.unit.queue.jobs import add, echo, fail, fail_with, note_outcome, stubborn, until
from tests.unit.queue.tables import Table

KINDS = ("success", "failure", "stopped")
NAMED = {f"on_{kind}": step(name=kind)(echo) for kind in KINDS}


@pytest.fixture
def table(queue):
    return Table(queue)


@pytest.fixture
def server():
    """A web server: what it was told, and which answers it is to give instead of 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.told.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(web.answers.pop() if web.answers else 200)
            self.end_headers()

        def log_message(self, *_):
            """Print nothing."""

    web = HTTPServer(("127.0.0.1", 0), Handler)
    web.told, web.answers = [], []
    web.url = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


def all_three(log):
    return {f"on_{kind}": call(note_outcome, log.path, kind) for kind in KINDS}


def callbacks(name="note_outcome"):
    """The jobs of a callback, the oldest first."""
    with opened.database().read() as connection:
        return [record for record in reversed(job_lists.listed(connection)) if record.name == name]


def soon(job):
    """Let a job that waits for its next try wait no longer."""
    with opened.database().write() as connection:
        jobs.change(connection, job.id, due_at=1.0)


# --- which one runs, with what ---------------------------------------------------------------------------------------


def test_a_success_is_told_with_the_result_and_a_failure_with_the_error(queue, workers, log):
    queue.with_options(**all_three(log)).enqueue(add, 1, 2)
    workers.burst()
    queue.with_options(**all_three(log)).enqueue(fail, "bad")
    workers.burst()
    assert log.lines() == [["success", "3"], ["failure", "ValueError:bad"]]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda table, job: table.claim() and table.end(job), "success"),
        (lambda table, job: table.claim() and table.fail(job), "failure"),
        (lambda table, job: table.claim() and table.end(job, state="timed_out"), "failure"),
        (lambda table, job: table.clock.advance(11) or table.tick(), "failure"),
        (lambda table, job: table.job(job).cancel(), "stopped"),
        (lambda table, job: table.job(job).revoke() or table.claim(), "stopped"),
        (lambda table, job: table.claim() and table.job(job).cancel() and table.fail(job), "stopped"),
    ],
    ids=["succeeded", "failed", "timed out", "expired", "cancelled", "revoked", "aborted"],
)
def test_each_end_has_its_callback_and_the_others_are_skipped(table, end, told):
    end(table, table.enqueue(expires=10, **NAMED))
    states = {kind: callbacks(kind)[0].state for kind in KINDS}
    assert states.pop(told) in ("ready", "running")
    assert set(states.values()) == {"skipped"}


def test_a_job_that_is_tried_again_has_not_ended(table):
    job = table.enqueue(**NAMED)
    table.claim()
    table.put_off(job, 5)
    assert [callbacks(kind)[0].state for kind in KINDS] == ["pending"] * 3
    table.clock.advance(5)
    assert table.claim() == [job]
    table.end(job)
    assert [callbacks(kind)[0].state for kind in KINDS] == ["ready", "skipped", "skipped"]


def test_a_callback_of_an_aborted_job_is_told_while_its_worker_goes_on(queue, workers, log, tmp_path):
    job = queue.with_options(on_stopped=call(note_outcome, log.path, "told")).enqueue(
        until, log.path, "begun", str(tmp_path / "never")
    )
    workers.start()
    wait_until(log.names)
    job.cancel()
    wait_until(lambda: "told" in log.names())
    assert log.lines()[1][1].startswith("TaskCancelledError:")


def test_callbacks_of_a_pattern_are_told_of_the_whole(queue, workers, log):
    good = queue.with_options(**all_three(log)).enqueue(group(call(add, 1), chain(call(add, 1), call(add, 1))))
    workers.burst()
    queue.with_options(**all_three(log)).enqueue(chord([call(add, 1), call(fail)], sum))
    queue.with_options(**all_three(log)).enqueue(group())
    workers.burst()
    assert log.lines()[0] == ["success", "[1,_2]"]
    assert sorted(log.lines()[1:]) == [["failure", "ValueError:no"], ["success", "[]"]]
    assert len(good) == 3, "callbacks are no members"


def test_callbacks_of_one_part_are_its_own(queue, workers, log):
    own = call(fail).with_options(on_failure=call(note_outcome, log.path, "own"))
    queue.enqueue(chain(call(add, 1), own.alone(), call(add, 2)))
    workers.burst()
    assert log.lines() == [["own", "ValueError:no"]]


def test_a_call_whose_key_was_taken_has_its_callback_told_of_the_other(queue, workers, log):
    queue.with_options(unique="k").enqueue(add, 1)
    queue.with_options(unique="k", on_success=call(note_outcome, log.path)).enqueue(add, 2)
    workers.burst()
    assert log.lines() == [["told", "1"]]


def test_a_callback_knows_whose_outcome_it_has(queue, workers):
    def whose(_):
        return nbflow.current().needed

    job = queue.with_options(on_success=whose).enqueue(add, 1)
    workers.burst()
    assert queue.job(callbacks("whose")[0].id).result() == (job.id,)


def test_jobs_of_a_schedule_have_callbacks_on_their_own_queues(queue, workers, log):
    Queue("mail").create()
    told = call(note_outcome, log.path).with_options(queue="mail")
    schedule = queue.with_options(on_success=told).every(3600, add, kwargs={"x": 4})
    schedule.trigger()
    workers.burst()
    assert log.lines() == [["told", "4"]]
    assert callbacks()[0].queue == "mail"


# --- callbacks are jobs ----------------------------------------------------------------------------------------------


@step(queue="mail", timeout=300, soft_timeout=200, retries=2, tags=["mail"])
def mailed(outcome):
    return outcome


def test_a_callback_has_a_minute_unless_it_says_otherwise_and_nothing_of_its_jobs_options(queue):
    Queue("slow").create(timeout=7_200, soft_timeout=3_600)
    settings.configure(job_soft_timeout=90)
    handle = Queue("slow").with_options(
        timeout=5_000, lock="l", limits=Limit("k", 1), priority=7, retries=4, tags=["t"]
    )
    handle.with_options(on_success=echo, on_failure=call(add).with_options(timeout=5)).enqueue(add, 1)
    (plain,), (_, own) = callbacks("echo"), callbacks("add")
    assert (plain.timeout, plain.soft_timeout, own.timeout) == (60, None, 5)
    assert (plain.queue, plain.gates, plain.priority, plain.tags, plain.kind) == ("slow", None, 0, "", "job")
    assert "retries" not in plain.policy


def test_a_step_that_is_called_back_has_its_own_options(queue):
    Queue.define(["mail", "other"])
    queue.with_options(on_success=mailed, on_failure=call(mailed).with_options(queue="other")).enqueue(add, 1)
    first, second = callbacks("mailed")
    assert (first.queue, first.timeout, first.soft_timeout, first.tags) == ("mail", 300, 200, '["mail"]')
    assert (json.loads(first.policy)["retries"], second.queue) == (2, "other")


def test_a_failing_callback_changes_nothing_about_its_job(queue, workers):
    job = queue.with_options(on_success=fail).enqueue(add, 1)
    workers.burst()
    (told,) = callbacks("fail")
    assert (job.result(), str(job.state), told.state) == (1, "succeeded", "failed")
    assert told.error_message.startswith("1"), "it was called with the result"


def test_a_failing_callback_is_tried_again_and_requeued_as_any_job(queue, workers, log):
    again = call(fail_with, "no").with_options(retries=1)
    queue.with_options(on_failure=again).enqueue(fail)
    workers.burst()
    (told,) = callbacks("fail_with")
    assert (told.state, told.attempt) == ("failed", 2)
    queue.job(told.id).requeue()
    workers.burst()
    assert queue.job(told.id).record.attempt == 2, "two more, counted anew"


def test_a_callback_that_never_ends_is_ended_when_its_time_is_over(queue, workers, log):
    slow = call(stubborn_with, log.path).with_options(timeout=0.2)
    job = queue.with_options(on_success=slow).enqueue(add, 1)
    workers.burst()
    assert (job.result(), callbacks("stubborn_with")[0].state) == (1, "timed_out")


def stubborn_with(_, path):
    stubborn(path, "begun")


def test_callbacks_are_enqueued_with_their_job_or_not_at_all(queue):
    with pytest.raises(DefinitionError, match="a job calls a function"):
        queue.with_options(on_success=3).enqueue(add, 1)
    assert len(queue) == 0


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_a_url_is_told_of_every_kind_of_end(queue, workers, server):
    told = {f"on_{kind}": f"{server.url}/{kind}?key=1" for kind in KINDS}
    good = queue.with_options(**told).enqueue(echo, {"rows": [1, 2.5, None]})
    bad = queue.with_options(**told).enqueue(fail, "bad")
    stopped = queue.with_options(**told).enqueue(add, 1)
    stopped.cancel()
    workers.burst()
    found = {path: body for path, _, body in server.told}
    cancelled = {"type": "TaskCancelledError", "message": f"'add' was cancelled: asked to ({stopped.id})."}
    assert found == {
        "/success?key=1": {"outcome": "success", "jobs": [good.id], "result": {"rows": [1, 2.5, None]}},
        "/failure?key=1": {"outcome": "failure", "jobs": [bad.id], "error": {"type": "ValueError", "message": "bad"}},
        "/stopped?key=1": {"outcome": "stopped", "jobs": [stopped.id], "error": cancelled},
    }
    assert {kind for _, kind, _ in server.told} == {"application/json"}


def test_a_url_is_told_of_a_whole_pattern(queue, workers, server):
    made = queue.with_options(on_failure=server.url).enqueue(group(call(add, 1), call(fail)))
    workers.burst()
    error = {"type": "ValueError", "message": "no"}
    assert server.told[0][2] == {"outcome": "failure", "jobs": [job.id for job in made], "result": [1, error]}


def test_a_server_that_fails_is_told_again(queue, workers, server):
    server.answers = [500, 503]
    queue.with_options(on_success=f"{server.url}/x").enqueue(add, 1)
    workers.burst()
    for tries in (2, 3):
        (told,) = callbacks("post")
        assert (told.state, told.due_at is not None) == ("pending", True)
        soon(told)
        workers.burst()
        assert len(server.told) == tries
    assert (callbacks("post")[0].state, queue.job(told.id).result()) == ("succeeded", 200)


def test_a_url_that_nobody_serves_fails_its_own_job_alone(queue, workers, server):
    server.shutdown()
    server.server_close()
    job = queue.with_options(on_success=server.url).enqueue(add, 1)
    workers.burst()
    (told,) = callbacks("post")
    while told.state == "pending":
        soon(told)
        workers.burst()
        (told,) = callbacks("post")
    assert (job.result(), told.state, told.attempt) == (1, "failed", 6)
    with pytest.raises(OSError, match="refused"):
        queue.job(told.id).result()


NESTED = [1]
NESTED.append(NESTED)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({1, 2}, "{1, 2}"),
        ([complex(1, 2)], ["(1+2j)"]),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (float("nan"), "nan"),
        ([float("inf")], "[inf]"),
        (NESTED, "[1, [...]]"),
        ([KeyError("k")], [{"type": "KeyError", "message": "'k'"}]),
        ("half a pair \ud800", "half a pair \ud800"),
    ],
    ids=["set", "complex", "tuple as key", "nan", "inf", "in itself", "error", "half a pair"],
)
def test_what_json_has_no_form_for_is_sent_as_text(server, value, sent):
    assert webhooks.post(value, server.url, "success") == 200
    assert server.told[0][2] == {"outcome": "success", "jobs": [], "result": sent}


@pytest.mark.parametrize("url", ["ftp://host/x", "host/path", "http://", "file:///etc/passwd", ""])
def test_what_is_no_url_of_the_web_is_refused_where_it_is_enqueued(queue, url):
    with pytest.raises(ConfigError, match="on_success is a function, call"):
        queue.with_options(on_success=url).enqueue(add, 1)
    assert len(queue) == 0
