"""What is shown while a run goes on."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from nbflow.model.events import PROGRESS, RUN_FINISHED, RUN_STARTED, TASK_CREATED, TASK_STATE, Event
from nbflow.views import screens
from nbflow.views.progress import RunProgress
from tests.servers import wait_until


class Told:
    """A run that tells what happens, and what was shown of it."""

    def __init__(self, *, terminal=False):
        self.written = io.StringIO()
        console = Console(file=self.written, force_terminal=terminal, width=100, color_system=None)
        self.progress = RunProgress(console)
        self.tell(RUN_STARTED, None, flow="training", executor="threads", resumed=False)

    def tell(self, event, seq, /, **data):
        self.progress([Event(event, "r1", 100.0, seq, data)])

    def task(self, event, seq, state, /, name="train", **data):
        self.tell(event, seq, name=name, kind="step", state=state, key=f"{name}#{seq}", **data)

    def finish(self, state="succeeded"):
        self.tell(RUN_FINISHED, None, state=state, error=None)
        return self.written.getvalue()

    @property
    def rows(self):
        return self.progress.status().rows


@pytest.fixture
def told():
    run = Told()
    yield run
    run.finish()


def test_tasks_of_one_step_are_one_row(told):
    for seq, state in enumerate(["succeeded", "running", "pending"], 1):
        told.task(TASK_CREATED, seq, "pending")
        told.task(TASK_STATE, seq, state)
    (row,) = told.rows
    assert (row.done, row.total, row.state) == (1, 3, "running")


def test_a_task_that_moves_on_is_counted_once(told):
    for state in ("pending", "ready", "running", "ready", "running", "succeeded"):
        told.task(TASK_STATE, 1, state)
    assert [(row.done, row.total, row.state) for row in told.rows] == [(1, 1, "succeeded")]


def test_a_failure_stands_for_the_step_and_is_counted(told):
    for seq in range(1, 5):
        told.task(TASK_STATE, seq, "failed" if seq == 2 else "succeeded")
    assert told.rows[0].state == "failed"
    assert told.rows[0].counted() == "4/4, 1 ✗"


def test_results_that_were_there_are_told_apart(told):
    told.task(TASK_STATE, 1, "succeeded", cached=True)
    told.task(TASK_STATE, 2, "succeeded", cached=False)
    assert told.rows[0].counted() == "2/2, 1 kept"


def test_the_progress_of_running_tasks_counts(told):
    told.task(TASK_STATE, 1, "running")
    told.task(TASK_STATE, 2, "succeeded")
    told.task(PROGRESS, 1, "running", value=0.5, message="")
    assert told.rows[0].share == 0.75


def test_a_record_of_the_flow_is_no_step(told):
    told.tell(TASK_CREATED, 1, name="@now", kind="record", state="succeeded", key="@now#1")
    assert told.rows == []


def test_a_pipe_gets_the_beginning_and_each_step_at_the_end():
    run = Told()
    for seq in range(1, 31):
        run.task(TASK_STATE, seq, "succeeded")
    assert run.finish().splitlines() == ["training on threads, run r1", "  ✓ train  30/30"]


def test_a_terminal_shows_the_last_state_when_all_is_over():
    run = Told(terminal=True)
    run.task(TASK_STATE, 1, "failed", name="[red]x[/red]\x1b[31m")
    shown = run.finish("failed")
    assert "✗ [red]x[/red]" in shown
    assert "\x1b[31m" not in shown


def test_nothing_is_left_running_after_the_block():
    run = Told(terminal=True)
    before = threading.active_count()
    with run.progress as listeners:
        assert listeners == (run.progress,)
    run.finish()
    wait_until(lambda: threading.active_count() <= before, 5)


def test_a_notebook_shows_one_fold_with_everything_escaped():
    rows = [screens.Row("<b>train</b>", "failed", 2, 4, 1, "1 ✗", 0.5, 2.0)]
    html = screens.html(screens.Status("f on threads", "r1", "failed", 3.0, rows))
    assert html.startswith("<details open>")
    assert "&lt;b&gt;train&lt;/b&gt;" in html
    assert "2/4, 1 kept, 1 ✗" in html


def test_of_very_many_steps_those_that_are_not_finished_are_shown():
    rows = [screens.Row(f"s{n}", "running" if n == 40 else "succeeded", 1, 1, 0, "", 1.0, 1.0) for n in range(50)]
    html = screens.html(screens.Status("f", "r1", "running", 3.0, rows))
    assert ">" in html
    assert " s40</td>" in html
    assert "30 more steps" in html


def test_ten_thousand_tasks_are_one_row_and_a_few_lines():
    run = Told()
    for state in ("pending", "running", "succeeded"):
        run.progress([
            Event(TASK_STATE, "r1", 1.0, seq, {"name": "t", "kind": "step", "state": state}) for seq in range(10_000)
        ])  # fmt: skip
    assert [(row.done, row.total) for row in run.rows] == [(10_000, 10_000)]
    assert run.finish().count("\n") < 20
