from __future__ import annotations

import time
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from itertools import accumulate, islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.model.errors import ScheduleError
from nbflow.queue import cron, zones
from nbflow.queue.cron import Cron, Interval, Timetable, monthly_expression

PARIS, NEW_YORK, CAIRO, HOWE = "Europe/Paris", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe"


def at(text: str) -> float:
    """Seconds since 1970 of an ISO time."""
    return datetime.fromisoformat(text).timestamp()


def times(table: Timetable, start: str, count: int) -> list[str]:
    """The first times after `start`, as the clocks of the zone show them, with their offset in hours."""
    found, moment = [], table.after(at(start))
    while moment is not None and len(found) < count:
        found.append(f"{zones.in_zone(moment, table.zone):%d %H:%M %z}"[:-2])
        moment = table.after(moment)
    return found


def table(expression: str, zone: str = "UTC", start: float | None = None, end: float | None = None) -> Timetable:
    return Timetable("cron", expression, zone, start, end)


CLOCKS_CHANGE = [
    # Paris skips 2:00 to 3:00 on 29 March 2026, and shows it twice on 25 October.
    ("30 2 * * *", PARIS, "2026-03-28T00:00+01:00", ["28 02:30 +01", "29 03:00 +02", "30 02:30 +02"]),
    ("0,30 2 * * *", PARIS, "2026-03-29T00:00+01:00", ["29 03:00 +02", "30 02:00 +02"]),
    ("30 2,3 * * *", PARIS, "2026-03-29T00:00+01:00", ["29 03:00 +02", "29 03:30 +02", "30 02:30 +02"]),
    ("30 2 * * *", PARIS, "2026-10-24T12:00+02:00", ["25 02:30 +02", "26 02:30 +01"]),
    ("30 2 * * *", PARIS, "2026-10-25T02:10+01:00", ["26 02:30 +01"]),
    ("*/30 * * * *", PARIS, "2026-03-29T01:00+01:00", ["29 01:30 +01", "29 03:00 +02", "29 03:30 +02"]),
    ("*/30 2 * * *", PARIS, "2026-03-29T01:00+01:00", ["30 02:00 +02", "30 02:30 +02"]),
    ("*/30 2 * * *", PARIS, "2026-10-25T00:00+02:00", ["25 02:00 +02", "25 02:30 +02", "25 02:00 +01", "25 02:30 +01"]),
    ("15 * * * *", PARIS, "2026-10-25T02:00+02:00", ["25 02:15 +02", "25 02:15 +01", "25 03:15 +01"]),
    ("0 */2 * * *", PARIS, "2026-03-29T00:30+01:00", ["29 04:00 +02", "29 06:00 +02"]),
    ("30 1 * * SUN", NEW_YORK, "2026-10-31T12:00-04:00", ["01 01:30 -04", "08 01:30 -05"]),
    ("30 2 8 * *", NEW_YORK, "2026-03-01T00:00-05:00", ["08 03:00 -04", "08 02:30 -04"]),
    # Cairo skips midnight, Lord Howe half an hour.
    ("0 0 * * *", CAIRO, "2024-04-25T12:00+02:00", ["26 01:00 +03", "27 00:00 +03"]),
    ("* 0 * * *", CAIRO, "2024-04-25T23:59+02:00", ["27 00:00 +03", "27 00:01 +03"]),
    ("*/15 2 * * *", HOWE, "2026-10-04T01:50+10:30", ["04 02:30 +11", "04 02:45 +11", "05 02:00 +11"]),
]


@pytest.mark.parametrize(("expression", "zone", "start", "expected"), CLOCKS_CHANGE)
def test_clocks_that_change_are_dealt_with_as_cron_does(expression, zone, start, expected):
    assert times(table(expression, zone), start, len(expected)) == expected


@pytest.mark.parametrize(("expression", "zone", "start", "expected"), CLOCKS_CHANGE)
def test_the_way_back_leads_over_the_same_times(expression, zone, start, expected):
    found = Cron(expression, ZoneInfo(zone))
    forth = list(islice(table(expression, zone).between(at(start), at(start) + 3e6), len(expected)))
    for earlier, later in pairwise(forth):
        assert found.upto(later) == later
        assert found.upto(later - 1) == earlier
        assert found.after(earlier) == later


ELEMENTS = {
    "minute": ["0", "30", "*", "*/7", "5-50/15", "1,2,59"],
    "hour": ["*", "0", "1", "2", "23", "*/3", "1-3", "0-23"],
    "day": ["*", "L", "LW", "31", "1-7", "*/10", "29"],
    "month": ["*", "2", "3,10", "*/2"],
    "weekday": ["*", "SUN", "MON-FRI", "1#2", "5L", "7"],
}
expressions = st.tuples(*(st.sampled_from(each) for each in ELEMENTS.values())).map(" ".join)
moments = st.floats(at("2020-01-01T00:00+00:00"), at("2030-01-01T00:00+00:00"))
some_zones = st.sampled_from(["UTC", PARIS, NEW_YORK, CAIRO, HOWE, "Asia/Kolkata", "Africa/Casablanca", "Asia/Beirut"])


def is_due_at_times(expression: str) -> bool:
    try:
        return bool(cron.checked(expression))
    except ScheduleError:
        return False  # such as 31 February


@given(expressions.filter(is_due_at_times), some_zones, moments)
def test_the_next_time_and_the_last_one_are_neighbours(expression, zone, moment):
    found = Cron(expression, ZoneInfo(zone))
    later = found.after(moment)
    if later is None:
        return
    assert later > moment
    assert found.upto(later) == later
    earlier = found.upto(moment)
    if earlier is not None:
        assert earlier <= moment
        assert found.after(earlier) == later
        assert found.upto(later - 0.001) == earlier


CHANGES = [(PARIS, "2026-03-29"), (PARIS, "2026-10-25"), (HOWE, "2026-04-05"), (HOWE, "2026-10-04"),
           (CAIRO, "2024-04-26"), (CAIRO, "2024-10-31"), ("Asia/Beirut", "2024-10-27")]  # fmt: skip


@settings(max_examples=40)
@given(st.sampled_from(ELEMENTS["minute"]), st.sampled_from(ELEMENTS["hour"]), st.sampled_from(CHANGES))
def test_all_minutes_of_a_day_on_which_clocks_change_are_as_they_should_be(minute, hour, change):
    where, day, expression = ZoneInfo(change[0]), datetime.fromisoformat(change[1]), f"{minute} {hour} * * *"
    begin, end = (int((day + timedelta(hours=hours)).replace(tzinfo=where).timestamp()) for hours in (-12, 36))
    walk = CronSim(expression, day - timedelta(days=2))
    meant = list(takewhile(lambda shown: shown < day + timedelta(days=3), walk))
    shown = {t: datetime.fromtimestamp(t, where).replace(tzinfo=None) for t in range(begin, end + 60, 60)}
    if minute[0] != "*" and hour[0] != "*":  # once for each: when the clocks first show it, or more
        passed = [bisect_right(meant, latest) for latest in accumulate(shown.values(), max)]
        expected = [t for t, before, now in zip(list(shown)[1:], passed, passed[1:], strict=False) if now > before]
    else:  # whenever clocks show it
        found = set(meant)
        expected = [t for t, what in shown.items() if what in found]
    assert list(table(expression, change[0]).between(begin + 60, end)) == [t for t in expected if t > begin]


@pytest.mark.parametrize(
    ("day", "at_", "months", "start", "expected"),
    [
        (31, "06:00", 1, "2024-01-15T00:00+01:00", ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
        ("last", "06:00", 1, "2026-02-01T00:00+01:00", ["2026-02-28", "2026-03-31"]),
        (30, "06:00", 1, "2026-01-30T07:00+01:00", ["2026-02-28", "2026-03-30", "2026-04-30"]),
        (29, "6:00", 12, "2026-01-30T07:00+01:00", ["2027-01-29", "2028-01-29"]),
        (1, "00:00", 3, "2026-01-01T00:00+01:00", ["2026-04-01", "2026-07-01", "2026-10-01", "2027-01-01"]),
        (1, time_of_day(23, 59, 59), 1, "2025-12-31T23:00+01:00", ["2026-01-01", "2026-02-01"]),
    ],
)
def test_a_day_of_the_month_is_the_last_one_where_the_month_is_too_short(day, at_, months, start, expected):
    found = Timetable("calendar", monthly_expression(day, at_, months), PARIS, None, None)
    assert [str(zones.in_zone(t, PARIS).date()) for t in found.between(at(start) + 1, at(start) + 1e9)][
        : len(expected)
    ] == expected


def test_several_months_are_counted_from_the_month_of_the_start():
    found = Timetable("calendar", monthly_expression(10, "06:00", 3), PARIS, at("2026-02-20T00:00+01:00"), None)
    assert [t[:2] for t in times(found, "2026-01-01T00:00+01:00", 3)] == ["10", "10", "10"]
    first = found.after(0.0)
    assert first is not None
    assert zones.in_zone(first, PARIS).isoformat() == "2026-05-10T06:00:00+02:00"


def test_a_day_of_the_month_keeps_its_hour_when_clocks_change():
    found = Timetable("calendar", monthly_expression(29, "02:30", 1), PARIS, None, None)
    assert times(found, "2026-02-01T00:00+01:00", 3) == ["28 02:30 +01", "29 03:00 +02", "29 02:30 +02"]


@given(st.integers(1, 31), st.integers(1, 30), some_zones, moments)
def test_days_of_months_are_neighbours_too(day, months, zone, moment):
    found = Timetable("calendar", monthly_expression(day, "01:30", months), zone, None, None).times
    later, earlier = found.after(moment), found.upto(moment)
    assert earlier <= moment < later
    assert found.after(earlier) == later
    assert found.upto(later) == later
    assert found.upto(later - 1) == earlier


@given(st.floats(0.1, 1e7), moments, moments)
def test_intervals_are_the_same_numbers_whoever_counts_them(length, anchor, moment):
    found = Interval(length, anchor)
    later, earlier = found.after(moment), found.upto(moment)
    assert found.after(earlier) == later
    assert found.upto(later) == later
    assert later - earlier == pytest.approx(length, abs=1e-5)


@pytest.mark.parametrize(
    ("given_", "seconds", "words"),
    [
        ("15m", 900, "Every 15 minutes"), ("2 h", 7200, "Every 2 hours"), ("1h30m", 5400, "Every 1 hour 30 minutes"),
        ("1 day", 86_400, "Every day"), ("8 days", 691_200, "Every 8 days"), ("2w", 1_209_600, "Every 2 weeks"),
        ("90 seconds", 90, "Every 1 minute 30 seconds"), (timedelta(hours=36), 129_600, "Every 1 day 12 hours"),
        (0.25, 0.25, "Every 0.25 seconds"), ("1.5 h", 5400, "Every 1 hour 30 minutes"), (60, 60, "Every minute"),
    ],
)  # fmt: skip
def test_intervals_are_read_and_told(given_, seconds, words):
    assert cron.seconds(given_) == seconds
    assert cron.seconds(cron.interval_text(seconds)) == seconds
    assert Interval(seconds, 0.0).describe() == words


@pytest.mark.parametrize(
    ("given_", "told"),
    [("", "'15m', '2 h'"), ("soon", "'15m', '2 h'"), ("1 month", r"use monthly\(\)"), ("5", "units are s, m, h"),
     (0, "too short"), (-5, "too short"), (True, "no interval"), (None, "no interval"), (float("nan"), "no interval"),
     ("15m15", "no interval")],
)  # fmt: skip
def test_what_is_no_interval_is_told(given_, told):
    with pytest.raises(ScheduleError, match=told) as raised:
        cron.seconds(given_)
    assert raised.value.field == "interval"


@pytest.mark.parametrize(
    ("expression", "field", "told"),
    [
        ("60 * * * *", "minute", "the minute cannot be '60'. It is 0 to 59"),
        ("*/0 * * * *", "minute", "the minute cannot be '\\*/0'"),
        ("5-1 * * * *", "minute", "the minute cannot be '5-1'"),
        ("0 24 * * *", "hour", "the hour cannot be '24'. It is 0 to 23"),
        ("0 1, * * *", "hour", "the hour cannot be '1,'"),
        ("0 0 32 * *", "day-of-month", "the day-of-month cannot be '32'. It is 1 to 31"),
        ("0 0 0 * *", "day-of-month", "the day-of-month cannot be '0'"),
        ("0 0 1 13 *", "month", "the month cannot be '13'. It is 1 to 12 or JAN to DEC"),
        ("0 0 1 Juin *", "month", "the month cannot be 'Juin'"),
        ("0 0 * * 8", "day-of-week", "the day-of-week cannot be '8'. It is 0 to 7"),
        ("0 0 * * 1#6", "day-of-week", "the day-of-week cannot be '1#6'"),
        ("0 0 31 2 *", "day-of-month", "is never due"),
        ("0 0 31 4,6,9,11 *", "day-of-month", "the day-of-month cannot be '31'"),
        ("* * * *", None, "has 4 fields. Give five: minute hour day-of-month month day-of-week"),
        ("0 0 0 1 1 *", None, "seconds are none of them"),
        ("15m", None, r"use every\('15m'\)"),
        ("@noon", None, "There are @yearly"),
        ("", None, "has 0 fields"),
    ],
)
def test_a_bad_expression_names_the_field_and_what_it_may_be(expression, field, told):
    with pytest.raises(ScheduleError, match=told) as raised:
        cron.checked(expression)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("arguments", "field"),
    [((0, "06:00", 1), "day"), ((32, "06:00", 1), "day"), (("first", "06:00", 1), "day"), ((1, "25:00", 1), "at"),
     ((1, 6, 1), "at"), ((1, time_of_day(6, tzinfo=UTC), 1), "at"), ((1, "06:00", 0), "months"),
     ((1, "06:00", 1.5), "months")],
)  # fmt: skip
def test_a_bad_day_of_the_month_names_what_is_wrong(arguments, field):
    with pytest.raises(ScheduleError) as raised:
        monthly_expression(*arguments)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 6 * * MON", "At 06:00 on Monday"),
        ("@daily", "At 00:00 every day"),
        ("*/10 9-17 * * MON-FRI", "Every 10th minute from 09:00 through 17:59 on Monday through Friday"),
        ("0 0 L * *", "At 00:00 on the last day of every month"),
    ],
)
def test_an_expression_can_be_told_in_words(expression, words):
    assert cron.describe(expression) == words
    assert table(expression, PARIS).describe() == f"{words} ({PARIS})"


def test_nothing_is_due_before_the_start_or_after_the_end():
    found = table("0 * * * *", "UTC", at("2026-01-01T06:00+00:00"), at("2026-01-01T08:00+00:00"))
    assert times(found, "2025-01-01T00:00+00:00", 9) == ["01 06:00 +00", "01 07:00 +00", "01 08:00 +00"]
    assert found.upto(at("2027-01-01T00:00+00:00")) == at("2026-01-01T08:00+00:00")
    assert found.upto(at("2026-01-01T05:59+00:00")) is None


def test_intervals_are_counted_from_the_start():
    start = at("2026-01-01T00:00:10+00:00")
    found = Timetable("interval", "15 minutes", "UTC", start, None)
    assert found.after(0.0) == start
    assert found.after(start) == start + 900


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Europe/Pariss", "Europe/Paris"), ("Berlin", "Europe/Berlin"), ("new york", "America/New_York"), ("utc", "UTC")],
)
def test_a_zone_that_there_is_not_is_told_with_one_that_may_be_meant(name, hint):
    if name == "utc" and zones._exists(name):
        return  # where names of files know no capitals
    with pytest.raises(ScheduleError, match=f"Did you mean '{hint}'"):
        zones.zone(name)


@pytest.mark.parametrize("name", ["../etc/passwd", "", "nowhere at all"])
def test_what_is_no_zone_at_all_is_told(name):
    with pytest.raises(ScheduleError, match="There is no time zone"):
        zones.zone(name)


@pytest.mark.parametrize(("given_", "found"), [(PARIS, PARIS), (f":{CAIRO}", CAIRO), ("UTC", "UTC")])
def test_the_zone_of_the_machine_is_the_default(given_, found, monkeypatch):
    monkeypatch.setenv("TZ", given_)
    assert zones.local_name() == found


def test_a_zone_of_the_machine_without_a_name_has_to_be_named(monkeypatch):
    monkeypatch.setenv("TZ", "XYZ-3")
    time.tzset()
    try:
        with pytest.raises(ScheduleError, match="Give one: zone='Europe/Paris'"):
            zones.local_name()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
