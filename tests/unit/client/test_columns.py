"""Typed frames: whatever is handed in, the same columns of the same types come out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbflow.client.columns import COLUMNS, typed

KINDS = {"time": "datetime64[us, UTC]", "duration": "timedelta64[us]", "count": "int64", "number": "Int64",
         "real": "float64", "flag": "bool"}  # fmt: skip


@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("length", [0, 2])
def test_each_column_has_the_type_of_its_kind(what, length):
    first = next(iter(COLUMNS[what]))
    frame = typed(what, {first: ["x"] * length})
    assert list(frame.columns) == list(COLUMNS[what])
    assert len(frame) == length
    for name, kind in COLUMNS[what].items():
        if kind in ("name", "state"):
            assert isinstance(frame[name].dtype, pd.CategoricalDtype)
        elif kind != "text":
            assert str(frame[name].dtype) == KINDS[kind], name


def test_times_are_utc_to_the_microsecond_and_what_is_no_time_is_missing():
    moments = [1_700_000_000.123456, 0, None, float("nan"), float("inf"), 1e300, -1.5]
    frame = typed("runs", {"created_at": moments})
    assert frame.created_at[0] == pd.Timestamp("2023-11-14 22:13:20.123456", tz="UTC")
    assert frame.created_at[1] == pd.Timestamp(0, tz="UTC")
    assert frame.created_at.isna().tolist() == [False, False, True, True, True, True, False]


def test_waits_and_durations_follow_from_the_times():
    frame = typed("jobs", {"ready_at": [1, 2, 3], "started_at": [2.5, 1, None], "finished_at": [4, None, None]})
    assert frame.wait.tolist() == [pd.Timedelta("1.5s"), pd.Timedelta("-1s"), pd.NaT]  # clocks differ
    assert frame.duration.tolist() == [pd.Timedelta("1.5s"), pd.NaT, pd.NaT]


def test_waits_that_are_known_are_not_computed():
    assert typed("jobs", {"enqueued_at": [1], "started_at": [5], "wait": [1.0]}).wait.tolist() == [pd.Timedelta("1s")]


def test_states_are_in_their_order_and_foreign_ones_come_last():
    states = typed("jobs", {"state": ["revoked", "failed", None]}).state
    assert states.cat.categories.tolist()[:3] == ["pending", "ready", "running"]
    assert states.cat.categories.tolist()[-1] == "revoked"
    assert states.isna().tolist() == [False, False, True]


def test_names_that_are_no_texts_become_texts():
    assert typed("jobs", {"queue": [1, None, 2]}).queue.tolist()[::2] == ["1", "2"]


def test_missing_numbers_stay_missing_and_missing_counts_are_zero():
    frame = typed("tasks", {"size": [None, 2**40], "attempts": [None, 2], "cached": [None, 1]})
    assert frame["size"].tolist() == [pd.NA, 2**40]
    assert frame.attempts.tolist() == [0, 2]
    assert frame.cached.tolist() == [False, True]


def test_columns_of_numpy_are_taken_as_they_are():
    times = np.array(["2026-01-01T00:00:00.5", "NaT"], dtype="datetime64[us]")
    frame = typed("runs", {"started_at": times, "state": pd.Categorical(["failed", None])})
    assert frame.started_at[0] == pd.Timestamp("2026-01-01 00:00:00.5", tz="UTC")
    assert frame.started_at.isna()[1]
    assert frame.state.tolist()[0] == "failed"


def test_frames_of_several_sources_can_be_put_together():
    both = pd.concat([typed("jobs", {"job": ["a"], "state": ["failed"]}), typed("jobs", {"job": ["b"]})])
    assert both.enqueued_at.dtype == "datetime64[us, UTC]"


def test_columns_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="no column 'task'"):
        typed("jobs", {"task": ["a"]})


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="same length"):
        typed("jobs", {"job": ["a"], "queue": []})


def test_some_columns_alone_can_be_asked_for():
    frame = typed("jobs", {"job": ["a"], "started_at": [1], "finished_at": [2]}, only=["duration", "job"])
    assert list(frame.columns) == ["job", "duration"]
