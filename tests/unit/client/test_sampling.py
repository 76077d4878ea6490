"""Numbers of a monitor: equal to what SQL counts, however often and late it looks."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update

from nbflow.client import sampling
from nbflow.client.monitor import Monitor
from nbflow.client.sampling import Paced, Sampler
from nbflow.model.records import RunRecord, TaskRecord
from nbflow.queue.queue import Queue
from nbflow.storage import opened
from nbflow.storage.schema import runs, tasks

NOW = 1_000_000.0


def quick(number):
    return number


class History:
    """Runs and tasks that are written as an engine would."""

    def __init__(self, database):
        self.database = database
        self.sampler = Sampler(database, lambda: NOW)

    def run(self, id="r1", state="running", owner="me", finished_at=None):
        row = dict.fromkeys(RunRecord._fields) | {
            "id": id, "flow": "training", "state": state, "executor": "threads", "parameters": '{"rate": "0.1"}',
            "tags": "[]", "cwd": "/", "host": "here", "created_at": NOW, "started_at": NOW, "owner": owner,
            "finished_at": finished_at,
        }  # fmt: skip
        with self.database.write() as connection:
            connection.execute(insert(runs), [row])

    def tasks(self, states, run="r1", first=1):
        empty = dict.fromkeys(TaskRecord._fields)
        rows = [
            empty | {
                "run": run, "seq": seq, "key": f"train#{seq}", "name": "train", "kind": "step", "state": state,
                "position": seq, "upstream": "[]", "code_digest": "", "tags": "", "created_at": NOW, "attempts": 1,
                "started_at": NOW,
            }
            for seq, state in enumerate(states, first)
        ]  # fmt: skip
        with self.database.write() as connection:
            connection.execute(insert(tasks), rows)

    def becomes(self, state, *seqs):
        with self.database.write() as connection:
            connection.execute(update(tasks).where(tasks.c.seq.in_(seqs)).values(state=state))

    def run_becomes(self, **values):
        with self.database.write() as connection:
            connection.execute(update(runs).values(**values))

    @property
    def states(self):
        (found,) = self.sampler.sample()["runs"]
        return found["states"]


@pytest.fixture
def history(db_url):
    yield History(opened.database(db_url))
    opened.close_all()


@pytest.fixture
def small_window(monkeypatch):
    monkeypatch.setattr(sampling, "_WINDOW", 4)
    monkeypatch.setattr(sampling, "_STRIDES", 2)


def test_tasks_are_counted_by_state(history):
    history.run()
    history.tasks(["succeeded", "failed", "running", "pending"])
    assert history.states == {"succeeded": 1, "failed": 1, "running": 1, "pending": 1}
    assert [task["name"] for task in history.sampler.sample()["running"]] == ["train#3"]


def test_finished_tasks_are_counted_once_and_never_again(history, small_window):
    history.run()
    history.tasks(["succeeded"] * 6 + ["running", "pending"])
    assert history.states == {"succeeded": 6, "running": 1, "pending": 1}
    history.becomes("succeeded", 7, 8)
    assert history.states == {"succeeded": 8}


def test_tasks_beyond_the_window_count_as_pending_until_they_are_weighed(history, small_window):
    history.run()
    history.tasks(["running"] + ["succeeded"] * 9)
    assert history.states == {"running": 1, "succeeded": 3, "pending": 6}
    history.sampler.weigh()
    assert history.states == {"running": 1, "succeeded": 9}


def test_a_long_past_is_skipped_in_one_leap(history, small_window):
    history.run()
    history.tasks(["succeeded"] * 50 + ["running"] + ["pending"] * 9)
    history.sampler.sample()
    history.sampler.weigh()
    assert history.states == {"succeeded": 50, "running": 1, "pending": 9}


def test_a_run_that_is_resumed_is_counted_anew(history):
    history.run(state="failed", owner=None, finished_at=NOW)
    history.tasks(["succeeded", "failed"])
    assert history.states == {"succeeded": 1, "failed": 1}
    history.run_becomes(state="running", owner="another", finished_at=None)
    history.becomes("succeeded", 2)
    assert history.states == {"succeeded": 2}


def test_what_belongs_to_no_step_is_not_counted(history):
    history.run()
    history.tasks(["succeeded"])
    with history.database.write() as connection:
        connection.execute(update(tasks).values(kind="record"))
    assert history.states == {}


def test_an_old_run_that_goes_on_is_shown_beside_the_latest(history, monkeypatch):
    monkeypatch.setattr(sampling, "_RUNS", 2)
    history.run("old")
    history.run_becomes(created_at=NOW - 90_000)
    for number in range(3):
        history.run(f"new{number}", state="succeeded", owner=None, finished_at=NOW)
    history.sampler.weigh()
    found = history.sampler.sample()
    assert [run["id"] for run in found["runs"]] == ["new2", "new1", "old"]
    assert found["totals"]["day"] == {"succeeded": 3}


def test_jobs_are_counted_by_queue(history):
    queue = Queue("mail", db=history.database.full_url)
    queue.create(priority=1)
    queue.enqueue_many(quick, [(number,) for number in range(5)])
    queue.with_options(eta=600).enqueue(quick, 1)
    queue.pause()
    history.sampler.weigh()
    mail, default = history.sampler.sample()["queues"]
    assert (mail["name"], mail["state"], mail["ready"] + mail["held"], mail["later"]) == ("mail", "paused", 5, 1)
    assert (default["name"], default["ready"]) == ("default", 0)


def test_throughput_is_the_number_of_attempts_that_were_begun(history):
    clock = iter(range(100))
    sampler = Sampler(history.database, lambda: float(next(clock)))
    assert sampler.sample()["rates"] == []
    assert sampler.sample()["rates"] == [0.0]


def test_what_is_dear_is_looked_at_as_seldom_as_it_is_dear():
    now = [0.0]
    looks = []

    def find(_):
        looks.append(now[0])
        now[0] += 0.5
        return len(looks)

    paced = Paced(find, 0)
    for _ in range(60):
        paced.look(None, lambda: now[0])
        now[0] += 1
    assert looks == [0.0, 50.5]


def test_the_picture_that_stands_still_escapes_every_name(history):
    history.run("<script>r</script>")
    history.run_becomes(flow="<img src=x>", error_type="E", error_message="<script>alert(1)</script>")
    history.tasks(["running"], run="<script>r</script>")
    monitor = Monitor(history.database.full_url)
    bundle = monitor._repr_mimebundle_()
    monitor.stop()
    assert "<script" not in bundle["text/html"]
    assert "<img" not in bundle["text/html"]
    assert "&lt;script&gt;" in bundle["text/html"]
    assert "1 running" in bundle["text/plain"]
