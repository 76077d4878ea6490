"""Bars of a Gantt chart equal the rows of its frame."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.views.gantt import GanttError, gantt
from tests.unit.views.histories import BEGIN, OVER, TIMES, attempt, frame_of, histories, many

NOW = BEGIN + 100


def seconds(value: Any) -> float:
    return value.timestamp() if not pd.isna(value) else math.nan


def expected(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """What bars a frame has, row by row, in the words of the documentation."""
    found = []
    for row in frame.to_dict("records"):
        queued, started, finished = (seconds(row[name]) for name in TIMES)
        over, lane = row["state"] in OVER, "no worker yet" if pd.isna(row["worker"]) else row["worker"]
        begun = started if not math.isnan(started) else finished
        if not math.isnan(queued):
            end = begun if not math.isnan(begun) else (queued if over else NOW)
            begin = min(queued, end) if not math.isnan(started) else queued
            found.append((row["task"], "waiting", lane, row["state"], begin, max(begin, end)))
        if not math.isnan(started) or (math.isnan(queued) and not math.isnan(finished)):
            end = finished if not math.isnan(finished) else (begun if over else NOW)
            found.append((row["task"], "running", lane, row["state"], begun, max(begun, end)))
    return sorted(found)


def drawn(chart: Any) -> list[tuple[Any, ...]]:
    tasks = chart.frame["task"].tolist()
    return sorted(
        (tasks[bar.row], bar.kind, bar.lane, bar.state, seconds(bar.start), seconds(bar.finish))
        for bar in chart.bars.itertuples()
    )


def assert_same(found: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> None:
    assert [bar[:4] for bar in found] == [bar[:4] for bar in wanted]
    times = [time for bar in found for time in bar[4:]]
    assert times == pytest.approx([time for bar in wanted for time in bar[4:]], abs=2e-6)


@given(histories())
def test_each_wait_and_each_run_of_a_frame_is_one_bar_with_its_times(frame):
    assert_same(drawn(gantt(frame, now=NOW)), expected(frame))


@settings(max_examples=30)
@given(histories(), st.data())
def test_rows_that_come_later_and_change_are_the_same_bars_as_all_at_once(frame, data):
    first = data.draw(st.integers(0, len(frame)))
    early = frame.copy()
    early[["started_at", "finished_at"]] = early[["started_at", "finished_at"]].where(early["seq"] % 2 == 0)
    chart = gantt(early.head(first), now=NOW)
    for part in (frame.tail(len(frame) - first), frame.head(first)):
        chart.update(part, now=NOW)
    timed = frame[frame[list(TIMES)].notna().any(axis=1)]
    assert_same(drawn(chart), expected(timed))


def test_each_attempt_of_a_task_is_a_bar_of_its_own():
    rows = [attempt(1, state="failed"), attempt(1, attempt=2, queued_at=2, started_at=3, finished_at=4)]
    bars = gantt(frame_of(rows), now=NOW).bars
    assert bars["state"].tolist() == ["failed", "succeeded"] * 2
    assert bars["kind"].tolist() == ["waiting"] * 2 + ["running"] * 2


def test_open_bars_end_now_and_say_so():
    rows = [attempt(1, state="running", finished_at=None), attempt(2, state="ready", started_at=None, finished_at=None)]
    bars = gantt(frame_of(rows), now=NOW).bars
    opened = bars[bars["open"]]
    assert set(opened["kind"]) == {"waiting", "running"}
    assert {seconds(end) for end in opened["finish"]} == {NOW}


def test_what_ended_before_it_began_is_a_mark_and_is_told():
    chart = gantt(frame_of([attempt(1, finished_at=0.2), attempt(2, queued_at=2.4), attempt(3)]), now=NOW)
    assert chart.bars["mark"].sum() == 2
    assert "2 of 3 rows ended before they began: clocks differ" in str(chart)


def test_an_end_that_nobody_knows_is_a_mark_and_is_told():
    chart = gantt(frame_of([attempt(1, state="failed", finished_at=None), attempt(2)]), now=NOW)
    assert chart.bars["mark"].sum() == 1
    assert "1 of 2 rows ended, nobody knows when" in str(chart)


def test_rows_without_times_are_told_and_not_drawn():
    chart = gantt(frame_of([attempt(1), attempt(2, queued_at=None, started_at=None, finished_at=None)]), now=NOW)
    assert len(chart.bars) == 2
    assert "1 of 2 rows have no times and are not drawn" in str(chart)


def test_a_limited_frame_is_told():
    assert "3 of 52,000 rows are drawn" in str(gantt(many(3), total=52_000, now=NOW))


def test_a_frame_without_rows_says_that_there_is_nothing():
    chart = gantt(frame_of([]), now=NOW)
    assert len(chart.bars) == 0
    assert "Nothing to draw" in str(chart)
    assert "Nothing to draw" in chart.to_svg()


def test_what_a_user_does_to_the_frame_later_is_not_seen():
    frame = frame_of([attempt(1)])
    chart = gantt(frame, now=NOW)
    frame["task"] = "other"
    assert chart.frame["task"].tolist() == ["train#1"]


def test_many_updates_keep_every_row():
    chart = gantt(many(1), now=NOW)
    frame = many(90)
    for number in range(90):
        chart.update(frame.iloc[[number]], now=NOW)
    assert chart.frame["task"].tolist() == frame["task"].tolist()


def test_rows_that_come_again_as_they_were_are_no_changes():
    frame = many(50)
    rows = gantt(frame, now=NOW)._live.rows
    assert len(rows.put(frame)) == 0
    changed = frame.tail(30).assign(worker=["worker-1"] * 30)
    assert len(rows.put(changed)) == (frame.tail(30)["worker"] != "worker-1").sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="worker"), "no column 'worker', which the first frame"),
        (lambda frame: frame.assign(started_at=1.0, finished_at=2.0, queued_at=0.5), "of the kind 'clock'.*'elapsed'"),
    ],
)
def test_later_rows_of_another_kind_are_refused(change, message):
    chart = gantt(many(5), now=NOW)
    with pytest.raises(GanttError, match=message):
        chart.update(change(many(5)))
