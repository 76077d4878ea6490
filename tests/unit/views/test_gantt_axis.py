"""The time axis."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nbflow.views.gantt import axis

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("begin", "span", "texts"),
    [
        (NOON, 0.01, ["12:00:00.000", "12:00:00.002", "12:00:00.004"]),
        (NOON, 10, ["12:00:00", "12:00:02", "12:00:04"]),
        (NOON, 600, ["12:00", "12:02", "12:04"]),
        (NOON, 86400, ["12:00", "18:00", "2 May"]),
        (NOON, 86400 * 10, ["3 May", "5 May", "7 May"]),
        (NOON, 86400 * 900, ["Jul 2026", "Jan 2027", "Jul 2027"]),
        (NOON, 86400 * 9000, ["2030", "2035", "2040"]),
    ],
)
def test_ticks_are_at_round_times_of_the_clock(begin, span, texts):
    found = [tick.text for tick in axis.clock_ticks(begin, begin + span, 6, UTC)]
    assert found[: len(texts)] == texts


def test_ticks_of_hours_stay_round_when_the_clocks_are_changed():
    before = datetime(2026, 3, 28, 20, tzinfo=UTC).timestamp()
    texts = [tick.text for tick in axis.clock_ticks(before, before + 43200, 12, axis.zone_of("Europe/Berlin"))]
    assert {text[-2:] for text in texts} <= {"00", "ar"}
    assert "02:00" not in texts


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (0.25, 0.05, "0.25 s"),
        (5, 1, "5 s"),
        (90, 30, "1 min 30 s"),
        (120, 60, "2 min"),
        (7200, 3600, "2 h 00 min"),
        (-5, 1, "-5 s"),
    ],
)
def test_elapsed_times_have_their_units(seconds, step, text):
    assert axis.elapsed_text(seconds, step) == text


def test_there_are_never_too_many_ticks():
    for power in range(-6, 12):
        assert len(list(axis.clock_ticks(NOON, NOON + 10.0**power, 8, UTC))) <= 20


@pytest.mark.parametrize(("zone", "text"), [(None, "UTC"), ("Asia/Kolkata", "Asia/Kolkata")])
def test_the_axis_names_its_zone(zone, text):
    assert axis.zone_text(NOON, UTC if zone is None else axis.zone_of(zone), zone) == text


def test_a_zone_without_a_name_is_told_as_its_distance_from_utc():
    assert axis.zone_text(NOON, axis.zone_of("Asia/Kolkata"), None) == "UTC+05:30"
