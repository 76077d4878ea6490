"""Periods: a day, a week or a month of a zone's calendar, or any stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from nbflow.model.errors import ConfigError, NbflowError
from nbflow.queue import zones

KINDS = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class Period:
    """From `begin` up to, and without, `end`; both are seconds since 1970."""

    kind: str  # "day", "week", "month" or "span"
    begin: float
    end: float
    zone: str  # IANA name: whose calendar it is, and how its times are shown

    @property
    def key(self) -> str:
        """Names this period and no other."""
        if self.kind == "span":
            return f"span {self._iso(self.begin)} {self._iso(self.end)} {self.zone}"
        return f"{self.kind} {zones.in_zone(self.begin, self.zone):%Y-%m-%d} {self.zone}"

    @property
    def title(self) -> str:
        """What a report of it is called."""
        return {"day": "Daily report", "week": "Weekly report", "month": "Monthly report"}.get(self.kind, "Report")

    @property
    def label(self) -> str:
        """The period for people: "Week 47, 16 to 22 November 2026"."""
        first = zones.in_zone(self.begin, self.zone)
        last = zones.in_zone(self.end - 1, self.zone)
        if self.kind == "day":
            return f"{_WEEKDAYS[first.weekday()]}, {_day(first)}"
        if self.kind == "month":
            return f"{_MONTHS[first.month - 1]} {first.year}"
        if self.kind == "week":
            head = str(first.day) if first.month == last.month else _day(first, year=first.year != last.year)
            return f"Week {first.isocalendar().week}, {head} to {_day(last)}"
        until = zones.in_zone(self.end, self.zone)
        return f"{first:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"

    def shown(self, moment: float) -> str:
        """A moment of it, as the clocks of its zone show it."""
        at = zones.in_zone(moment, self.zone)
        return f"{at:%H:%M:%S}" if self.kind == "day" else f"{at:%a %d %b %H:%M}"

    def _iso(self, moment: float) -> str:
        return f"{zones.in_zone(moment, self.zone):%Y-%m-%dT%H:%M:%S%z}"


def containing(kind: str, moment: float, zone: str) -> Period:
    """The day, week (from Monday) or month that a moment lies in. Raises ConfigError, or ScheduleError for the zone."""
    if kind not in KINDS:
        raise ConfigError(f"A period is one of {', '.join(KINDS)}, not {kind!r}; or give since and until.")
    day = zones.in_zone(moment, zone).date()
    first = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[kind]
    return Period(kind, _midnight(first, zone), _midnight(_following(kind, first), zone), zone)


def latest(kind: str, now: float, zone: str) -> Period:
    """The latest day, week or month that is over. Raises ConfigError, or ScheduleError for the zone."""
    return containing(kind, containing(kind, now, zone).begin - 1, zone)


def over(period: Period, now: float) -> Period:
    """`period` if it is over. Raises ConfigError: figures of what still goes on would be others the next time."""
    if period.begin >= now:
        raise ConfigError(f"{period.label} is still to come; a report is of what is over.")
    if period.end > now:
        raise ConfigError(
            f"{period.label} is over at {zones.in_zone(period.end, period.zone):%Y-%m-%d %H:%M}. For what has been so "
            "far, say since when and until when: --since and --until."
        )
    return period


def span(begin: float, end: float, zone: str) -> Period:
    """Any stretch of time. Raises ConfigError if it ends before it begins."""
    zones.zone(zone)
    if end <= begin:
        raise ConfigError("The period ends before it begins; is it the other way round?")
    return Period("span", begin, end, zone)


def of_key(key: str) -> Period | None:
    """The period that a key names; None if it names none, as it was cut."""
    kind, _, rest = key.partition(" ")
    try:
        if kind == "span":
            begin, end, zone = rest.split(" ")
            return span(datetime.fromisoformat(begin).timestamp(), datetime.fromisoformat(end).timestamp(), zone)
        day, zone = rest.split(" ")
        return containing(kind, _midnight(date.fromisoformat(day), zone) + 1, zone)
    except (ValueError, NbflowError):
        return None


def _following(kind: str, first: date) -> date:
    if kind == "month":
        return (first + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=7 if kind == "week" else 1)


def _midnight(day: date, zone: str) -> float:
    """When a day begins; where clocks are put forward at midnight, that is later than what they show."""
    return float(zones.instant(datetime(day.year, day.month, day.day), zones.zone(zone)))


def _day(at: datetime, *, year: bool = True) -> str:
    return f"{at.day} {_MONTHS[at.month - 1]}{f' {at.year}' if year else ''}"


# Written out, as what strftime gives depends on the settings of whoever runs it.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
