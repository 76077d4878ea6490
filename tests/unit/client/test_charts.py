"""A run as a Gantt chart."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nbflow import QueueClient, flow, settings, step
from nbflow.client.charts import follow
from nbflow.client.frames import NbflowSource
from nbflow.client.task import Task
from nbflow.queue.queue import Queue
from nbflow.queue.worker import Worker, WorkerOptions
from nbflow.storage import opened
from nbflow.values.project import value_store
from tests.servers import wait_until

GO = threading.Event()
TRIES: list[int] = []


@step
def fetch() -> int:
    return 2


@step(retries=1)
def train(value: int) -> int:
    TRIES.append(value)
    if len(TRIES) == 1:
        raise ValueError("not yet")
    return value


@step
def slow(value: int) -> int:
    assert GO.wait(30)
    return value


@step(retries=1, delay=3600)
def fails() -> int:
    raise ValueError("never")


@flow
def unlucky() -> int:
    return fails()


@flow
def training() -> int:
    TRIES.clear()
    return train(fetch())


@flow
def waiting() -> list[int]:
    return [slow(number) for number in range(3)]


def test_a_run_is_drawn_with_a_bar_for_each_try_and_its_critical_path():
    run = training.run()
    chart = run.gantt()
    running = chart.bars[chart.bars["kind"] == "running"]
    assert running["state"].tolist() == ["succeeded", "failed", "succeeded"]
    assert chart.critical_path["task"].tolist() == ["fetch#1", "train#1", "train#1"]
    assert not chart.bars["open"].any()


def test_a_click_gives_the_task():
    run = training.run()
    chart = run.gantt(lanes="step")
    chart._live.clicked(0)
    assert chart.selected.key == "fetch#1"
    assert chart.selected.result() == 2


def test_a_chart_follows_its_run_from_what_waits_to_the_end():
    GO.clear()
    run = waiting.submit(executor="threads", workers=1)
    wait_until(lambda: [attempt.state for attempt in run.attempts()] == ["running"])
    chart = run.gantt()
    assert sorted(chart.frame["state"]) == ["ready", "ready", "running"]
    assert chart.bars["open"].sum() == 3
    GO.set()
    follow(run, chart)
    assert chart.frame["state"].tolist() == ["succeeded"] * 3
    assert chart.frame["task"].tolist() == ["slow#1", "slow#2", "slow#3"]
    assert not chart.bars["open"].any()


def test_a_task_that_begins_while_a_chart_looks_is_drawn_once(monkeypatch):
    GO.clear()
    run = waiting.submit(executor="threads", workers=1)
    wait_until(lambda: [attempt.state for attempt in run.attempts()] == ["running"])
    chart = run.gantt()
    read = NbflowSource.frame

    def begins_meanwhile(source, what, query):
        found = read(source, what, query)
        if what == "tasks" and not GO.is_set():
            GO.set()
            run.wait()
        return found

    monkeypatch.setattr(NbflowSource, "frame", begins_meanwhile)
    follow(run, chart)
    assert chart.frame["state"].tolist() == ["succeeded"] * 3
    assert not chart.bars["open"].any()


def test_a_task_that_is_cancelled_before_its_next_try_stays_open_no_longer():
    run = unlucky.submit(executor="threads", workers=1)
    wait_until(lambda: [attempt.state for attempt in run.attempts()] == ["failed"])
    chart = run.gantt()
    assert sorted(chart.frame["state"]) == ["failed", "ready"]
    run.cancel()
    run.wait()
    follow(run, chart)
    assert sorted(chart.frame["state"]) == ["cancelled", "failed"]
    assert not chart.bars["open"].any()


@pytest.mark.parametrize(
    ("option", "text"), [({"lanes": "task"}, "train#1"), ({"title": "mine"}, "mine"), ({}, "training")]
)
def test_options_are_those_of_the_chart(option: dict[str, Any], text: str):
    assert text in str(training.run().gantt(**option))


def test_a_click_on_the_chart_of_a_client_gives_the_task_or_the_job():
    training.run()
    job = Queue().enqueue(len, [1, 2])
    Worker(opened.database(), value_store(settings.current()), WorkerOptions(concurrency=1, burst=True)).run()
    with QueueClient() as client:
        chart = client.gantt()
        found = []
        for row in range(len(chart.frame)):
            chart._live.clicked(row)
            found.append(chart.selected)
    assert sorted(each.key for each in found if isinstance(each, Task)) == ["fetch#1", "train#1", "train#1"]
    assert [each.id for each in found if not isinstance(each, Task)] == [job.id]


def test_the_chart_of_a_limited_frame_says_how_many_there_are():
    training.run()
    assert "2 of 3 rows are drawn" in str(QueueClient().gantt(limit=2))
