"""Frames of any origin as Gantt charts: which columns are meant, what times are, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from nbflow.views.gantt import GanttError, gantt
from tests.unit.views.histories import BEGIN, attempt, frame_of

START = pd.to_datetime(["2026-05-01 10:00:00", "2026-05-01 10:00:05"])
TEN = datetime(2026, 5, 1, 10, tzinfo=UTC)
END = START + pd.Timedelta(seconds=4)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"Task": ["a", "b"], "Start": START, "Finish": END}),
        pd.DataFrame({"name": ["a", "b"], "start time": START, "end time": END}),
        pd.DataFrame({"begin": START.astype(str), "end": END.astype(str)}),
        pd.DataFrame({"start": START, "duration": [timedelta(seconds=4)] * 2}),
        pd.DataFrame({"start": START, "seconds": [4, 4]}),
        pd.DataFrame({"start": START.tz_localize("UTC"), "end": END.tz_localize("UTC")}),
        pd.DataFrame({"start": START.tz_localize("UTC").tz_convert("Asia/Tokyo"), "end": END.tz_localize("UTC")}),
        pd.DataFrame({"start": START.astype("int64") / 1e6, "end": END.astype("int64") / 1e6}),
        pd.DataFrame({"start": START.astype("int64") // 1000, "end": END.astype("int64") // 1000}),
        pd.DataFrame({"start": [1.0, 6.0], "end": [5.0, 10.0]}),
        pd.DataFrame({"start": [TEN, None], "end": [TEN + timedelta(seconds=4), None]}),
    ],
    ids=(
        "plotly's names",
        "blanks",
        "texts",
        "timedelta",
        "seconds",
        "zone",
        "two zones",
        "epoch",
        "millis",
        "elapsed",
        "objects",
    ),
)
def test_a_plain_frame_is_understood(frame):
    chart = gantt(frame)
    lengths = chart.bars["finish"] - chart.bars["start"]
    assert len(chart.bars) == frame.iloc[:, -1].notna().sum()
    assert lengths.nunique() == 1


def test_columns_can_be_named():
    frame = pd.DataFrame({"a": START, "b": END, "machine no": [1, 2], "how": ["fine", "broken"]})
    chart = gantt(frame, start="a", finish="b", lanes="machine no", state="how")
    assert chart.bars["lane"].tolist() == ["1", "2"]
    assert chart.bars["state"].tolist() == ["fine", "broken"]


def test_lanes_fall_back_to_what_the_frame_has():
    frame = pd.DataFrame({"task": ["a", "b"], "start": START, "end": END})
    assert gantt(frame).bars["lane"].tolist() == ["a", "b"]
    assert gantt(frame[["start", "end"]]).bars["lane"].tolist() == ["all", "all"]


def test_times_without_a_zone_are_shown_as_they_read():
    svg = gantt(pd.DataFrame({"start": START, "end": END})).to_svg()
    assert "10:00:02" in svg
    assert "1 May 2026<" in svg


def test_times_are_shown_in_the_zone_that_is_asked_for():
    frame = pd.DataFrame({"start": START.tz_localize("UTC"), "end": END.tz_localize("UTC")})
    assert "12:00:02" in gantt(frame, tz="Europe/Berlin").to_svg()


def test_tasks_of_several_runs_have_lanes_of_their_own():
    rows = [attempt(1), attempt(1, run="run-2", queued_at=5, started_at=6, finished_at=7)]
    assert set(gantt(frame_of(rows), lanes="task").bars["lane"]) == {"run-1 / train#1", "run-2 / train#1"}


def test_foreign_states_have_colours_of_their_own():
    rows = [attempt(1, state="SUCCESS"), attempt(2, state="REVOKED")]
    chart = gantt(frame_of(rows), now=BEGIN + 9)
    assert chart.bars["state"].unique().tolist() == ["SUCCESS", "REVOKED"]
    assert "1 SUCCESS" in str(chart)


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (pd.DataFrame({"x": [1]}), {}, "no column of times.*It has: x.*start="),
        (pd.DataFrame(), {}, "It has: no columns"),
        (pd.DataFrame({"start": START}), {"finish": "ende"}, "no column 'ende' for finish="),
        (pd.DataFrame({"start": START, "end": END}), {"lanes": "color"}, "no column for lanes='color'"),
        (pd.DataFrame({"start": ["soon"], "end": ["later"]}), {}, "'start' holds values that are no times"),
        (pd.DataFrame({"start": [True], "end": [False]}), {}, "'start' holds bool"),
        (pd.DataFrame({"start": START.tz_localize("UTC"), "end": END}), {}, "mix times with a zone"),
        (pd.DataFrame({"start": START, "duration": ["x", "y"]}), {}, "no durations"),
        (pd.DataFrame({"start": START, "end": END}), {"tz": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        (pd.DataFrame({"start": [1.0] * 300, "end": 2.0, "state": range(300)}), {}, "300 different values"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words_that_help(frame, options, message):
    with pytest.raises(GanttError, match=message):
        gantt(frame, **options)
