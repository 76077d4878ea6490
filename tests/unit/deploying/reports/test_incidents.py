from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.deploying.reports.incidents import Happened, Known, Limits, of_runs, of_times
from nbflow.model.deployments import IncidentRecord
from nbflow.storage.alerts import EndedRun, FiredTime

NONE: tuple[IncidentRecord, ...] = ()


def story(text: str, *, flow: str = "training") -> list[Happened]:
    """What happened, a letter for each second from 1: "f" is a failure, "s" a success, "." nothing."""
    runs = [
        EndedRun(f"{flow}{at}", flow, None, None, "failed" if letter == "f" else "succeeded", float(at), "E", "no")
        for at, letter in enumerate(text, start=1)
        if letter != "."
    ]
    return of_runs(runs, None)


def told(text: str, records=NONE) -> list[tuple[str, float, float | None]]:
    changes = Known("a", 0.0, records).changes(story(text))
    return [(change.moment, change.incident.began_at, change.incident.ended_at) for change in changes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("sss", []),
        ("sf", [("began", 2, None)]),
        ("ffff", [("began", 1, None)]),
        ("sffs", [("passed", 2, 4)]),
        ("fsf", [("passed", 1, 2), ("began", 3, None)]),
        ("fsffss", [("passed", 1, 2), ("passed", 3, 5)]),
    ],
)
def test_an_incident_goes_from_the_first_failure_to_the_next_success(text, expected):
    assert told(text) == expected


@given(st.text("fs.", max_size=30), st.lists(st.integers(0, 30), max_size=6).map(sorted))
def test_however_often_somebody_looks_the_incidents_are_the_same_and_each_is_told_once(text, looks):
    records: dict[str, IncidentRecord] = {}
    moments: dict[str, list[str]] = {}
    for look in [*looks, 30]:
        open_ = [each for each in records.values() if each.ended_at is None]
        over = sorted([each for each in records.values() if each.ended_at is not None], key=lambda each: each.began_at)
        for change in Known("a", 0.0, [*open_, *over[-1:]]).changes(story(text[:look])):
            records[change.incident.id] = change.incident
            moments.setdefault(change.incident.id, []).append(change.moment)
    assert [(each.began_at, each.ended_at) for each in records.values()] == [each[1:] for each in told(text)]
    assert set(map(tuple, moments.values())) <= {("began",), ("passed",), ("began", "ended")}


def test_incidents_of_different_flows_are_different_ones():
    happened = story("ff.s") + story(".fff", flow="report")
    changes = Known("a", 0.0, NONE).changes(happened)
    assert [(each.incident.subject, each.moment) for each in changes] == [("training", "passed"), ("report", "began")]


def test_what_failed_before_there_was_an_alert_is_not_told():
    assert Known("a", 1.5, NONE).changes(story("f")) == []
    assert [change.incident.began_at for change in Known("a", 1.5, NONE).changes(story("ff"))] == [2]


def test_an_end_tells_how_often_it_failed():
    (change,) = Known("a", 0.0, NONE).changes(story("fffs"))
    assert json.loads(change.incident.details)["failures"] == 3
    assert change.incident.ended_by == "training4"


def time(at: float, start: float | None = None, end: float | None = None, state: str | None = None, **changes):
    return FiredTime(at, "enqueued", "r", start, end, state)._replace(**changes)


@pytest.mark.parametrize(
    ("row", "now", "late"),
    [
        (time(100, 105, 150, "succeeded"), 1000, []),
        (time(100, 105, None, "running"), 150, []),
        (time(100), 109, []),
        (time(100), 110, ["started"]),
        (time(100, 111, 150, "succeeded"), 1000, ["started"]),
        (time(100, 105, None, "running"), 160, ["finished"]),
        (time(100, 105, 170, "failed"), 1000, ["finished"]),
        (time(100, 105, 150, "failed"), 1000, []),  # which is a failure, and not late
        (time(100, outcome="missed"), 1000, ["started", "finished"]),
        (time(100, outcome="refused"), 1000, ["started", "finished"]),
        (time(100, outcome="skipped"), 1000, []),
    ],
)
def test_a_time_is_late_if_it_has_not_started_or_finished_so_long_after(row, now, late):
    found = of_times("daily", [row], Limits(10, 60), now)
    assert [each.details["what"] for each in found if not each.good] == late
    assert [each.at for each in found if not each.good] == [110 if what == "started" else 160 for what in late]


def test_a_time_that_no_scheduler_has_dealt_with_is_late_too():
    found = of_times("daily", [], Limits(10, None), 200, due=150)
    assert [(each.at, each.id) for each in found] == [(160, "late daily 150 started")]
    assert of_times("daily", [], Limits(10, None), 155, due=150) == []


def test_being_late_ends_when_it_has_succeeded():
    rows = [time(100, 120, 130, "succeeded"), time(200, 205, 230, "succeeded")]
    (change,) = Known("a", 0.0, NONE).changes(of_times("daily", rows, Limits(10, None), 1000))
    assert (change.moment, change.incident.began_at, change.incident.ended_at) == ("passed", 110, 130)
