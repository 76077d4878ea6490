from __future__ import annotations

import numpy as np
import pytest

from nbflow.deploying.reports.code import changed_lines
from nbflow.deploying.reports.facts import Figures
from nbflow.deploying.reports.figures import figures
from nbflow.deploying.reports.outbox import draft
from nbflow.deploying.reports.period import containing, span
from tests.unit.deploying.reports import history
from tests.unit.deploying.reports.history import DAY, HOUR, MONDAY, NOW, WEEK, ZONE, Written


@pytest.fixture
def written(database):
    """Rows that are stored when they are asked for."""
    return Written()


def told(database, written: Written, period=WEEK) -> Figures:
    written.store(database)
    return figures(database, history.values_of(database), period, NOW)


def test_states_durations_and_waits_of_runs_are_those_of_what_ended_in_the_period(database, written):
    took = [10.0, 20.0, 40.0, 80.0]
    for number, seconds in enumerate(took):
        written.run(f"r{number}", "training", MONDAY + number * HOUR, seconds)
    written.run("bad", "training", MONDAY + DAY, 5.0, state="failed")
    written.run("stopped", "training", MONDAY + DAY, 1.0, state="cancelled")
    (flow,) = told(database, written).flows
    assert flow.runs.states == {"succeeded": 4, "failed": 1, "cancelled": 1}
    assert (flow.runs.ended, flow.runs.succeeded, flow.runs.failed, flow.runs.open) == (6, 4, 1, 0)
    durations = flow.runs.durations
    assert [durations.p50, durations.p95] == pytest.approx(np.quantile([*took, 5.0, 1.0], [0.5, 0.95]).tolist())
    assert (durations.count, durations.longest, durations.total) == (6, 80.0, 156.0)
    assert flow.runs.waits.p95 == pytest.approx(0.5)


def test_each_run_counts_in_the_period_in_which_it_ended_and_in_no_other(database, written):
    written.run("over-midnight", "training", MONDAY + DAY - 60, 120)
    written.run("to-the-end", "training", MONDAY + 2 * DAY - 60, 60)
    found = [told(database, Written(), containing("day", MONDAY + number * DAY, ZONE)) for number in range(-1, 4)]
    assert [each.flows for each in found] == [()] * 5
    written.store(database)
    days = [figures(database, history.values_of(database), containing("day", MONDAY + number * DAY, ZONE), NOW)
            for number in range(4)]  # fmt: skip
    ended = [sum(flow.runs.ended for flow in day.flows) for day in days]
    still = [sum(flow.runs.open for flow in day.flows) for day in days]
    assert (ended, still) == ([0, 1, 1, 0], [1, 1, 0, 0])


def test_steps_are_counted_by_flow_with_tries_and_known_results(database, written):
    for number in range(3):
        run = written.run(f"r{number}", "training", MONDAY, 100)
        written.task(run, "fetch", MONDAY, 10 + number, wait=2, attempts=1 + number)
        written.task(run, "train", MONDAY + 20, 0, cached_from="r0/2", started_at=None, attempts=0)
    written.task(written.run("x", "report", MONDAY, 5), "fetch", MONDAY, 1)
    steps = {(flow.name, step.name): step for flow in told(database, written).flows for step in flow.steps}
    assert list(steps) == [("training", "fetch"), ("training", "train"), ("report", "fetch")]
    fetch, train = steps["training", "fetch"], steps["training", "train"]
    assert (fetch.retries, fetch.durations.p50, fetch.waits.p50, fetch.cached) == (3, 11.0, 2.0, 0)
    assert (train.retries, train.durations.count, train.cached, train.ended) == (0, 0, 3, 3)


def test_failures_are_told_with_the_first_error_of_each_step(database, written):
    for number, at in enumerate([MONDAY + 2 * HOUR, MONDAY + HOUR, MONDAY + 3 * HOUR]):
        run = written.run(f"r{number}", "training", at, 60, state="failed", error_type="builtins.ValueError")
        written.task(
            run, "train", at, 30, state="failed", error_type="builtins.ValueError", error_message=f"no. {number}"
        )
        written.task(run, "report", at, None, state="skipped", finished_at=at + 30, started_at=None)
    written.run("alone", "nightly", MONDAY, 9, state="timed_out", error_type="TimeoutError", error_message="after 9 s")
    written.job("j1", "resize", MONDAY, 2, state="failed", error_type="OSError", error_message="disk\nfull")
    failures = told(database, written).failures
    assert [(each.flow, each.step, each.count, each.run, each.error) for each in failures] == [
        ("training", "train", 3, "r1", "ValueError: no. 1"),
        (None, "resize", 1, "j1", "OSError: disk full"),
        ("nightly", None, 1, "alone", "TimeoutError: after 9 s"),
    ]
    assert failures[0].at == MONDAY + HOUR + 30


def test_queues_tell_how_long_jobs_waited(database, written):
    for number in range(20):
        written.job(f"j{number}", "resize", MONDAY + number, 1, wait=number, queue="gpu" if number % 2 else "default")
    written.job("flow", "training", MONDAY, 500, wait=400, kind="flow")
    queues = {each.name: each for each in told(database, written).queues}
    assert (queues["gpu"].ended, queues["default"].ended) == (10, 10)
    assert queues["gpu"].waits.p95 == pytest.approx(float(np.quantile(range(1, 20, 2), 0.95)))
    assert queues["default"].waits.longest == 18


def test_the_jobs_that_report_and_alert_are_not_told_of(database, written):
    written.job("check", "check_alerts", MONDAY, 1, tags='["nbflow"]')
    written.job("mine", "check_alerts", MONDAY, 1, tags='["own"]')
    found = told(database, written)
    assert [each.ended for each in (*found.functions, *found.queues)] == [1, 1]


def test_the_slowest_steps_stand_with_the_run_that_took_longest(database, written):
    for number in range(8):
        run = written.run(f"r{number}", "training", MONDAY, 100)
        written.task(run, f"step{number % 6}", MONDAY, 10 * number + 1)
    slowest = told(database, written).slowest
    assert [(each.step, each.longest, each.run) for each in slowest] == [
        ("step1", 71, "r7"), ("step0", 61, "r6"), ("step5", 51, "r5"), ("step4", 41, "r4"), ("step3", 31, "r3"),
    ]  # fmt: skip


def test_code_tells_size_changes_and_time_by_cell(database):
    history.a_week(database)
    (code,) = figures(database, history.values_of(database), WEEK, NOW).code
    assert (code.flow, code.kind, code.cells, code.lines, code.versions) == ("sales", "notebook", 4, 6, 2)
    assert (code.added, code.removed) == (3, 0)  # since the week before
    assert code.executions == 15
    cells = {cell.number: (cell.line, cell.durations.count) for cell in code.slowest}
    assert cells == {2: ("df = pd.read_csv('in.csv')", 4), 3: ("df.mean()", 5), 1: ("import pandas as pd", 5)}
    assert code.slowest[0].durations.p50 == pytest.approx(1890.0)


def test_a_notebook_that_ran_for_the_first_time_is_new(database, written):
    version = written.version(history.values_of(database), "v1", "sales", history.NEW, MONDAY)
    written.run("r", "sales", MONDAY, 60, version=version)
    (code,) = told(database, written).code
    assert (code.added, code.removed, code.versions, code.executions) == (None, None, 1, 0)


def test_cells_are_found_by_what_they_are_where_parameters_were_set(database, written):
    cells = ["rate = 1", "train(rate)"]
    version = written.version(history.values_of(database), "v1", "sales", cells, MONDAY)
    run = written.run("r", "sales", MONDAY, 60, version=version, parameters='{"rate": "2"}')
    written.cell(run, 1, MONDAY, 1.0)
    written.cell(run, 2, MONDAY + 2, 7.0)
    written.cell(run, 9, MONDAY + 10, 7.0)  # of no cell that there is
    written.cell(run, 1, MONDAY + 20, None)  # killed
    (code,) = told(database, written).code
    assert code.executions == 3
    assert {cell.number: cell.durations.total for cell in code.slowest} == {1: 1.0, 2: 7.0}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("abc", "abc", (0, 0)),
        ("abc", "abxc", (1, 0)),
        ("abc", "ac", (0, 1)),
        ("abc", "axc", (1, 1)),
        ("", "ab", (2, 0)),
    ],
)
def test_changed_lines_are_added_and_removed_ones(old, new, expected):
    assert changed_lines(list(old), list(new)) == expected


def test_the_next_report_tells_of_mail_that_may_not_have_arrived(database, written):
    sent = draft(database, "k", "alert", "ann@example.org", subject="s", now=MONDAY + HOUR)
    written.mailings += [sent._replace(key=state, state=state) for state in ("sent", "doubtful", "failed", "held")]
    (note,) = told(database, written).notes
    assert "1 doubtful, 1 failed, 1 held" in note


def test_a_period_without_anything_is_empty(database):
    found = figures(database, history.values_of(database), span(MONDAY, MONDAY + 1, ZONE), NOW)
    assert found.empty
    assert (found.failures, found.queues, found.slowest, found.code, found.notes) == ((), (), (), (), ())
