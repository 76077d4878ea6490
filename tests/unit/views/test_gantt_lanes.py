"""Lanes and tracks of Gantt charts, and the critical path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.views.gantt import gantt
from nbflow.views.gantt.critical import Links, critical_path
from nbflow.views.gantt.lanes import covered, lay_out
from tests.unit.views.histories import BEGIN, attempt, frame_of, histories

NOW = BEGIN + 100


@given(histories(), st.sampled_from(["worker", "queue", "step", "flow", "run", "task"]))
def test_every_row_is_in_one_lane_and_bars_of_a_track_do_not_overlap(frame, kind):
    rows = gantt(frame, now=NOW)._live.rows
    lanes = lay_out(rows, kind) if rows.count and kind in rows.lanes else []
    assert sorted(row for lane in lanes for row in lane.rows) == list(range(rows.count)) * bool(lanes)
    for lane in lanes:
        for track in range(lane.height):
            mine = lane.rows[(lane.tracks == track) & ~np.isnan(rows["run"][lane.rows])]
            ends = rows["at"][mine] + np.maximum(rows["run"][mine], 0)
            assert (rows["at"][mine][1:] >= ends[:-1] - 1e-6).all()


def test_a_lane_has_as_many_tracks_as_things_ran_in_it_at_once():
    rows = [
        attempt(n, queued_at=0, started_at=start, finished_at=start + 2) for n, start in enumerate((1, 2, 3, 3.5), 1)
    ]
    (lane,) = lay_out(gantt(frame_of(rows), now=NOW)._live.rows, "worker")
    assert lane.tracks.tolist() == [0, 1, 0, 2]


def test_lanes_of_workers_are_in_the_order_of_their_numbers_and_the_unknown_one_is_last():
    names = ["worker-10", "worker-9", None]
    rows = [attempt(n, worker=name) for n, name in enumerate(names, 1)]
    found = [lane.name for lane in lay_out(gantt(frame_of(rows), now=NOW)._live.rows, "worker")]
    assert found == ["worker-9", "worker-10", "no worker yet"]


def test_lanes_of_steps_are_in_the_order_in_which_they_began():
    rows = [attempt(1, step="z"), attempt(2, step="a"), attempt(3, step="z")]
    assert [lane.name for lane in lay_out(gantt(frame_of(rows), now=NOW)._live.rows, "step")] == ["z", "a"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 19), st.integers(0, 19)), max_size=20))
def test_covered_pixels_are_those_of_any_stretch(stretches):
    wanted = np.zeros((3, 20), bool)
    for track, *ends in stretches:
        wanted[track, min(ends) : max(ends) + 1] = True
    columns = np.array([(track, min(ends), max(ends)) for track, *ends in stretches], int).reshape(-1, 3).T
    assert (covered(*columns, (3, 20)) == wanted).all()


@pytest.mark.parametrize(
    ("ends", "upstream", "parents", "path"),
    [
        ({1: 1.0, 2: 5.0, 3: 3.0, 4: 6.0}, {4: [2, 3], 2: [1], 3: [1]}, {}, [1, 2, 4]),
        ({1: 1.0, 2: 9.0}, {}, {}, [2]),
        ({1: 1.0, 2: 2.0, 3: 4.0, 4: 5.0}, {2: [1], 4: [2]}, {3: 2}, [1, 3, 2, 4]),
        ({1: 1.0, 3: 4.0, 4: 5.0}, {2: [1], 4: [2]}, {3: 2}, [1, 3, 4]),
        ({1: 1.0, 2: 2.0}, {1: [2], 2: [1]}, {}, [1, 2]),
        ({}, {1: [2]}, {}, []),
    ],
    ids=["the slower branch", "no links", "through a sub-flow", "a sub-flow without a bar", "a circle", "nothing"],
)
def test_the_critical_path_goes_back_from_the_end_by_what_ended_last(ends, upstream, parents, path):
    assert critical_path(ends, Links(upstream, parents)) == path


def test_the_chart_tells_its_critical_path_with_every_attempt_on_it():
    rows = [
        attempt(1, state="failed"),
        attempt(1, attempt=2, queued_at=2, started_at=2, finished_at=3),
        attempt(2, queued_at=0, started_at=0, finished_at=1),
        attempt(3, queued_at=3, started_at=3, finished_at=4),
    ]
    chart = gantt(frame_of(rows), now=NOW, links=Links({3: [1, 2]}))
    assert chart.critical_path[["task", "attempt"]].values.tolist() == [["train#1", 1], ["train#1", 2], ["train#3", 1]]
