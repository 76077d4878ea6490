from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from nbflow.deploying.reports.period import Period, containing, latest, of_key, over, span
from nbflow.model.errors import ConfigError, ScheduleError

HOUR = 3600.0


def at(text: str, zone: str = "Europe/Paris") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


WEEK = containing("week", at("2026-11-21 14:00"), "UTC")


@pytest.mark.parametrize(
    ("kind", "moment", "begin", "end", "hours"),
    [
        ("day", "2026-11-21 14:00", "2026-11-21", "2026-11-22", 24),
        ("day", "2026-03-29 14:00", "2026-03-29", "2026-03-30", 23),  # clocks are put forward
        ("day", "2026-10-25 14:00", "2026-10-25", "2026-10-26", 25),  # and back
        ("week", "2026-11-22 23:59", "2026-11-16", "2026-11-23", 168),
        ("week", "2026-03-23 00:00", "2026-03-23", "2026-03-30", 167),
        ("week", "2026-12-31 12:00", "2026-12-28", "2027-01-04", 168),
        ("month", "2028-02-29 12:00", "2028-02-01", "2028-03-01", 29 * 24),
        ("month", "2026-12-01 00:00", "2026-12-01", "2027-01-01", 31 * 24),
        ("month", "2026-10-31 12:00", "2026-10-01", "2026-11-01", 31 * 24 + 1),
    ],
)
def test_a_period_goes_from_midnight_to_midnight_of_its_zone(kind, moment, begin, end, hours):
    found = containing(kind, at(moment), "Europe/Paris")
    assert (found.begin, found.end) == (at(begin), at(end))
    assert (found.end - found.begin) / HOUR == hours


def test_where_a_day_begins_at_one_since_clocks_are_put_forward_at_midnight():
    found = containing("day", at("2026-04-24 12:00", "Africa/Cairo"), "Africa/Cairo")
    assert found.begin == at("2026-04-24 01:00", "Africa/Cairo")
    assert (found.end - found.begin) / HOUR == 23


@pytest.mark.parametrize("kind", ["day", "week", "month"])
def test_the_latest_period_ends_where_the_next_one_begins(kind):
    begin = containing(kind, at("2026-10-26 06:00"), "Europe/Paris").begin
    assert latest(kind, begin, "Europe/Paris").end == begin
    assert latest(kind, begin + HOUR, "Europe/Paris").end == begin


@pytest.mark.parametrize(
    ("period", "label"),
    [
        (containing("day", at("2026-11-21 14:00"), "Europe/Paris"), "Saturday, 21 November 2026"),
        (containing("week", at("2026-11-21 14:00"), "Europe/Paris"), "Week 47, 16 to 22 November 2026"),
        (containing("week", at("2026-12-31 14:00"), "Europe/Paris"), "Week 53, 28 December 2026 to 3 January 2027"),
        (containing("week", at("2026-07-30 14:00"), "Europe/Paris"), "Week 31, 27 July to 2 August 2026"),
        (containing("month", at("2026-11-21 14:00"), "Europe/Paris"), "November 2026"),
        (span(at("2026-11-21 14:00"), at("2026-11-21 15:30"), "Europe/Paris"), "2026-11-21 14:00 to 2026-11-21 15:30"),
    ],
)
def test_a_period_has_a_name_for_people_and_a_key(period: Period, label):
    assert period.label == label
    assert of_key(period.key) == period


def test_keys_that_are_none_name_no_period():
    assert [of_key(text) for text in ("", "week", "week x y", "span 1 2 3", "year 2026-01-01 UTC")] == [None] * 5


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (lambda: containing("year", 0.0, "UTC"), "one of day, week, month, not 'year'"),
        (lambda: over(containing("week", at("2026-11-21 14:00"), "UTC"), at("2026-11-01 00:00")), "still to come"),
        (
            lambda: over(containing("week", at("2026-11-21 14:00"), "UTC"), at("2026-11-21 14:00")),
            "is over at 2026-11-23",
        ),
        (lambda: span(2.0, 1.0, "UTC"), "ends before it begins"),
    ],
)
def test_what_is_no_period_is_refused(wanted, message):
    with pytest.raises(ConfigError, match=message):
        wanted()


def test_a_zone_that_there_is_not_is_refused():
    with pytest.raises(ScheduleError, match="Europe/Paris"):
        containing("day", 0.0, "Europe/Pariss")
