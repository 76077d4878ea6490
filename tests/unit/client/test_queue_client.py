"""`QueueClient`: opened where there is something to read, read-only, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
import threading

import nbformat
import pytest

import nbflow
from nbflow import Queue, QueueClient, configure, errors, flow, from_notebook, step
from nbflow.client import sources
from nbflow.client.columns import typed
from nbflow.queue.overview import overview
from nbflow.storage import opened, schema
from nbflow.storage.database import open_database
from tests.servers import wait_until
from tests.unit.client.histories import BEGAN, History, job, store
from tests.unit.storage import records


@step
def double(x):
    print("doubling", x)
    return 2 * x


@step
def fail_on(x, bad):
    if x == bad:
        raise ValueError(f"{x} is bad")
    return x


@flow
def doubled(count):
    return sum([double(n) for n in range(count)])


@flow
def fragile(bad):
    return fail_on(double(1), bad)


@pytest.fixture
def client():
    with QueueClient(write=True) as found:
        yield found


# --- opening -------------------------------------------------------------------------------------------------------


def test_a_database_that_does_not_exist_is_not_created():
    with pytest.raises(errors.DatabaseMissingError, match="no database"):
        QueueClient().runs()
    assert os.listdir(".nbflow") == []


def test_it_finds_the_database_of_the_project_and_takes_paths_and_urls(tmp_path):
    doubled.run(1)
    assert len(QueueClient().runs()) == 1
    file = tmp_path / "other.db"
    doubled.run(2, db=str(file))
    assert len(QueueClient(str(file)).tasks()) == len(QueueClient(f"sqlite:///{file}").tasks()) == 2


def test_a_database_may_come_after_the_client(client):
    with pytest.raises(errors.DatabaseMissingError):
        client.runs()
    doubled.run(1)
    assert len(client.runs()) == 1


def test_a_newer_database_is_refused():
    doubled.run(1)
    with opened.database().write() as connection:
        connection.execute(schema.version_table.update().values(version_num="9999"))
    with pytest.raises(errors.DatabaseNewerError, match="Update nbflow"):
        QueueClient().runs()


def test_an_older_database_is_left_as_it_is():
    doubled.run(1)
    with opened.database().write() as connection:
        connection.execute(schema.version_table.update().values(version_num="0001"))
    with pytest.raises(errors.DatabaseReadOnlyError, match="older nbflow"):
        QueueClient().runs()


def test_a_locked_database_is_told():
    doubled.run(1)
    file = opened.database().file
    nbflow.configure(lock_timeout=0.05)
    opened.close_all()
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(errors.DatabaseLockedError, match="Another process"):
        QueueClient().runs()
    holder.close()


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("my notes, which are longer than a header")
    with pytest.raises(errors.DatabaseCorruptError, match="not an SQLite database"):
        QueueClient(str(tmp_path / "notes.txt")).runs()


def test_passwords_are_not_shown():
    shown = repr(QueueClient("postgresql://me:secret@nowhere/x"))
    assert "secret" not in shown
    assert "me:***@nowhere" in shown


# --- kinds ---------------------------------------------------------------------------------------------------------


def test_an_unknown_kind_is_refused_with_those_that_there_are():
    with pytest.raises(errors.ConfigError, match=r"no kind of queue 'nbflw'\. Did you mean 'nbflow'"):
        QueueClient("redis://nowhere", kind="nbflw")
    with pytest.raises(errors.ConfigError, match="Known are nbflow"):
        QueueClient("redis://nowhere", kind="carrier pigeon")


def test_a_url_of_something_else_asks_for_its_kind():
    with pytest.raises(errors.ConfigError, match="Say what kind"):
        QueueClient("redis://nowhere")


class Pigeons:
    """A queue of another system."""

    kind = "pigeons"
    missing = {"jobs.worker": "pigeons have no names", "runs": "pigeons know no flows"}  # noqa: RUF012

    def __init__(self, url, coop=None):
        self.url, self.coop = url, coop

    def frame(self, what, query):
        columns = {"job": ["p1", "p2"], "state": ["running", "failed"], "started_at": [1.0, 2.0]}
        return typed(what, columns if what == "jobs" else {}), 5 if what == "jobs" else 0

    def close(self):
        self.url = None


def test_other_kinds_give_the_same_frames_and_say_what_they_cannot_tell(monkeypatch):
    monkeypatch.setitem(sources.BUILT_IN, "pigeons", f"{__name__}:Pigeons")
    client = QueueClient("loft://roof", kind="pigeons", coop=3)
    frame = client.jobs(columns=["job", "state"])
    assert list(frame.columns) == ["job", "state"]
    assert frame.attrs["total"] == 5
    assert frame.attrs["missing"] == {"jobs.worker": "pigeons have no names"}
    assert client.runs().attrs["missing"] == {"runs": "pigeons know no flows"}
    assert client.source.coop == 3
    with pytest.raises(errors.ConfigError, match="no handles"):
        client.run("last")


def test_other_kinds_cannot_be_written_to(monkeypatch):
    monkeypatch.setitem(sources.BUILT_IN, "pigeons", f"{__name__}:Pigeons")
    with pytest.raises(errors.ConfigError, match="only be read"):
        QueueClient("loft://roof", kind="pigeons", write=True)


def test_a_kind_that_cannot_be_loaded_says_why(monkeypatch):
    monkeypatch.setitem(sources.BUILT_IN, "broken", "no.such.module:Source")
    with pytest.raises(errors.ConfigError, match="cannot be loaded: ModuleNotFoundError"):
        QueueClient("x://y", kind="broken").jobs()


def test_options_are_for_other_kinds_only():
    with pytest.raises(errors.ConfigError, match="no option 'coop'"):
        QueueClient(coop=3)


# --- frames --------------------------------------------------------------------------------------------------------


def test_a_frame_tells_how_many_rows_there_are_when_it_is_cut(client):
    doubled.run(5)
    frame = client.tasks(limit=2)
    assert len(frame) == 2
    assert frame.attrs["total"] == 5
    assert "2 of 5 tasks" in repr(frame)
    assert "2 of 5 tasks" in frame._repr_html_()
    assert "of 5" not in repr(client.tasks())


def test_a_cut_frame_is_a_frame_like_any_other(client):
    doubled.run(3)
    frame = client.tasks(limit=2)
    again = pickle.loads(pickle.dumps(frame))
    assert "2 of 3 tasks" in repr(again)
    assert type(frame[frame.state == "succeeded"]).__name__ == "DataFrame"
    assert frame.groupby("step", observed=True).size().tolist() == [2]


def test_names_that_nothing_has_are_refused_with_near_matches(client):
    doubled.run(1)
    with pytest.raises(errors.UnknownStepError, match=r"no step 'doubel' here\. Did you mean 'double'"):
        client.tasks(step="doubel")
    with pytest.raises(errors.FlowNotFoundError, match=r"no flow 'x' here\. There are doubled"):
        client.runs(flow="x")
    with pytest.raises(errors.UnknownQueueError, match="no queue 'gpu' here"):
        client.jobs(queue="gpu")
    with pytest.raises(errors.RunNotFoundError, match="no run 'zzz'"):
        client.tasks(run="zzz")
    assert len(client.tasks(step="double", state="failed")) == 0


def test_runs_are_named_by_id_by_handle_or_as_the_last_one(client):
    doubled.run(1)
    run = doubled.run(3)
    assert len(client.tasks(run=run.id)) == len(client.tasks(run=run)) == len(client.tasks(run="last")) == 3


def test_queues_and_workers_are_those_that_the_command_line_tells_of(client):
    Queue("gpu").create(priority=1, max_running=2, rate=(5, 10.0))
    Queue("gpu").enqueue(print)
    Queue().with_options(eta=3600).enqueue(print)
    told = overview(opened.database(), 0.0)["queues"]
    frame = client.queues().set_index("queue")
    assert list(frame.index) == [each["name"] for each in told]
    for each in told:
        row = frame.loc[each["name"]]
        assert (row.ready, row.delayed, row.waiting, row.running, row.state) == (
            each["pending"], each["pending_eta"], each["waiting"], each["running"], each["state"],
        )  # fmt: skip
    assert frame.loc["gpu", "max_running"] == 2
    assert frame.loc["gpu", "rate_period"].total_seconds() == 10
    assert list(client.queues(queue="gpu").queue) == ["gpu"]


def test_schedules_are_listed(client):
    Queue("gpu").create()
    made = Queue("gpu").every(3600, print)
    made.pause()
    (row,) = client.schedules().itertuples()
    assert (row.schedule, row.kind, row.queue, row.target, row.paused) == (made.name, "interval", "gpu", "print", True)
    assert len(client.schedules(queue="gpu")) == 1
    assert len(client.schedules(queue="default")) == 0


def test_events_and_artifacts_are_listed(client):
    configure(inline_limit=100)

    @step
    def large(text):
        return text * 100

    @flow
    def careless(text):
        fail_on(text * 100, text * 100)  # nobody looks at its error
        return len(large(text))

    careless.run("long")
    (event,) = client.events(run="last").itertuples()
    assert (event.kind, event.flow, event.task) == ("ignored_error", "careless", "fail_on#1")
    (row,) = client.artifacts().itertuples()
    assert (row.run, row.flow, row.task, row.type) == (event.run, "careless", "large#1", "str")
    assert row.size > 400
    assert client.artifacts(step="large").uri.tolist() == [row.uri]
    assert client.lineage(row.uri).task.tolist() == ["large#1"]


def test_frames_equal_what_the_handles_tell(client):
    run = doubled.run(4)
    frame = client.tasks(run=run)
    assert frame.task.tolist() == [task.key for task in run.tasks()]
    assert frame.state.tolist() == [task.state for task in run.tasks()]
    assert client.attempts(run=run).worker.tolist() == [attempt.worker for attempt in run.attempts()]


# --- reading beside others ---------------------------------------------------------------------------------------


def test_nothing_is_written_by_reading(tmp_path):
    doubled.run(3)
    opened.close_all()
    file = opened.database().file
    opened.close_all()
    before = file.read_bytes()
    with QueueClient() as client:
        for what in ("runs", "tasks", "jobs", "attempts", "queues", "workers", "schedules", "events", "artifacts"):
            getattr(client, what)()
        client.run("last").result()
        client.why("last")
    assert file.read_bytes() == before


def test_it_reads_a_file_that_nobody_may_write_to():
    doubled.run(2)
    file = opened.database().file
    opened.close_all()
    file.chmod(0o400)
    assert len(QueueClient().tasks()) == 2


def test_it_reads_while_the_database_is_written_to(client):
    seen, ended = [], threading.Event()

    def run():
        doubled.run(300)
        ended.set()

    doubled.run(1)
    thread = threading.Thread(target=run)
    thread.start()
    while not ended.is_set():
        seen.append(len(client.tasks()))
    thread.join()
    assert seen == sorted(seen)
    assert len(client.tasks()) == 301


def test_a_new_process_finds_what_an_earlier_one_did(tmp_path):
    code = """
import os, signal
from nbflow import flow, step
@step
def fetch(x): return x
@step
def hang(x): os.kill(os.getpid(), signal.SIGKILL)
@flow
def doomed(): return hang(fetch(1) + 1)
doomed.run(executor="serial")
"""
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False, timeout=60)
    assert ended.returncode == -9
    client = QueueClient()
    (run,) = client.runs().itertuples()
    assert (run.flow, run.state, run.interrupted) == ("doomed", "running", True)
    assert client.tasks(state="succeeded").step.tolist() == ["fetch"]
    assert client.why(run.run).kinds[0] == "interrupted"


def test_progress_and_states_of_a_live_run_are_seen_from_outside():
    held = threading.Event()

    @step
    def slow():
        held.wait(30)

    @flow
    def waits():
        slow()

    run = waits.submit(executor="threads")
    client = QueueClient()
    wait_until(lambda: len(client.tasks(state="running")) == 1, 30)
    assert client.attempts(state="running").finished_at.isna().all()
    held.set()
    run.wait(30)
    assert client.tasks().state.tolist() == ["succeeded"]


# --- handles -------------------------------------------------------------------------------------------------------


def test_handles_read_and_refuse_to_act_unless_the_client_may_write():
    with pytest.raises(ValueError, match="bad"):
        fragile.run(2).result()
    Queue().enqueue(print)
    client = QueueClient()
    run, task, waiting = client.run("last"), client.task("last", "fail_on"), client.job("last")
    assert (str(run.state), str(task.state), str(waiting.state)) == ("failed", "failed", "ready")
    assert isinstance(task.error, ValueError)
    assert client.task("last", "double").result() == 2
    for act in (run.resume, run.retry, run.again, task.retry, waiting.cancel, waiting.requeue, waiting.revoke):
        with pytest.raises(errors.DatabaseReadOnlyError, match=r"QueueClient\(write=True\)"):
            act()
    assert len(client.runs()) == 1


def test_a_run_is_gone_on_with_and_run_again(client, monkeypatch):
    monkeypatch.setenv("NBFLOW_TEST_BAD", "2")

    @step
    def fragile_step(x):
        if str(x) == os.environ.get("NBFLOW_TEST_BAD"):
            raise ValueError("bad")
        return x

    @flow
    def recovers(x):
        return fragile_step(double(x))

    with pytest.raises(ValueError, match="bad"):
        recovers.run(1).result()
    monkeypatch.delenv("NBFLOW_TEST_BAD")
    mended = client.run("last").retry()
    assert mended.result() == 2
    again = client.run(mended.id).again()
    assert (again.result(), again.id != mended.id, again.parameters) == (2, True, mended.parameters)


def test_tries_are_handles_with_their_own_output(client):
    calls = []

    @step(retries=1, delay=0)
    def flaky():
        calls.append(1)
        print("try", len(calls))
        if len(calls) == 1:
            raise ValueError("once")
        return 1

    @flow
    def once():
        return flaky()

    once.run()
    first, second = client.task("last", "flaky").attempts()
    assert (first.number, first.state, first.error) == (1, "failed", "ValueError: once")
    assert (second.number, second.state, second.error) == (2, "succeeded", None)
    assert (first.output(), second.output()) == ("try 1\n", "try 2\n")
    assert second.duration >= 0


def test_a_task_is_waited_for():
    held = threading.Event()

    @step
    def slow(x):
        held.wait(30)
        return x

    @flow
    def waits():
        return slow(3)

    run = waits.submit(executor="threads")
    wait_until(lambda: bool(run.tasks()), 30)
    with pytest.raises(TimeoutError, match="is still"):
        run["slow"].wait(0.01)
    held.set()
    assert run["slow"].wait(30).result() == 3


def test_a_task_is_cancelled_alone_only_on_the_queue(client):
    doubled.run(1)
    task = client.task("last", "double")
    task.cancel()  # it has finished
    assert task.state == "succeeded"


def test_the_lineage_of_a_value_is_what_made_it_and_what_took_it(client):
    @step
    def join(a, b):
        return a + b

    @flow
    def diamond():
        top = double(20)
        return join(join(top, double(1)), 5)

    diamond.run(executor="serial")
    frame = client.lineage(client.task("last", "join#1"))
    assert list(zip(frame.role, frame.task, strict=True)) == [
        ("input", "double#1"), ("input", "double#2"), ("source", "join#1"), ("took it", "join#2"),
    ]  # fmt: skip
    assert [task.key for task in client.task("last", "join#2").lineage()] == ["double#1", "double#2", "join#1"]
    by_value = client.lineage(42)
    assert by_value[by_value.role == "source"].task.tolist() == ["join#1"]
    digest = client.task("last", "join#1").record.result_digest
    assert client.lineage(digest).task.tolist() == by_value.task.tolist()
    with pytest.raises(errors.ConfigError, match="No task made this value"):
        client.lineage("something else")


def test_a_gantt_chart_has_a_bar_for_each_try(client):
    doubled.run(3)
    assert len(json.dumps(client.gantt(run="last", lanes="step").to_trace())) > 0
    assert client.graph() is not None


def test_foreign_keys_of_history_do_not_matter(tmp_path):
    with open_database(f"sqlite:///{tmp_path / 'x.db'}") as database:
        store(database, History([], [], [], [job("a", state="failed", error_message="<b>", enqueued_at=BEGAN)]))
        store(database, History([records.run()], [], [], [job("b")]))
    assert QueueClient(str(tmp_path / "x.db")).jobs().job.tolist() == ["b"]


def test_the_lineage_of_a_value_of_a_notebook_goes_by_its_name(client, tmp_path):
    node = nbformat.v4.new_notebook()
    cells = {"load": "rows = [1, 2]", "sum": "total = sum(rows)", "show": "print(total)"}
    node.cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": [f"step:{name}"]}) for name, source in cells.items()
    ]
    nbformat.write(node, tmp_path / "book.ipynb")
    run = from_notebook(tmp_path / "book.ipynb").run(executor="serial")
    frame = client.lineage(run, "total")
    assert list(zip(frame.role, frame.step, strict=True)) == [
        ("input", "load"), ("source", "sum"), ("took it", "show"),
    ]  # fmt: skip
    assert frame.deployment.isna().all()
    assert set(frame.version) == {run.record.version}
    assert client.lineage(run, "sum#1").task.tolist() == frame.task.tolist()
    with pytest.raises(errors.ConfigError, match=r"no value 'totals'\. Did you mean 'total'"):
        client.lineage(run, "totals")
    with pytest.raises(errors.ConfigError, match="name one, or give a task"):
        client.lineage(run)
