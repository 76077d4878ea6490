"""When schedules are due: cron expressions, intervals and days of the month, as functions from one time to the next.

Times are seconds since 1970. Clocks that are put forward or back are dealt with as Debian's cron does:

- A cron expression with fixed minutes and hours ("30 2 * * *"), and a day of the month, are due once on each of their
  days. If the clocks skip that time, it is when they are put forward (3:00); if they show it twice, the first time.
- A cron expression whose minutes or hours begin with a star ("*/10 * * * *") is due whenever the clocks show such a
  time: never if they skip it, twice if they show it twice. So every ten minutes are ten minutes apart.
- An interval is time that passes: one of 24 hours moves by an hour on the clocks. For "each day at six" use cron.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from nbflow.model.errors import ScheduleError
from nbflow.queue import zones

_MICRO = 1_000_000
_SHORTEST = 0.1  # seconds of an interval
_NICKNAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day-of-month", "1 to 31, L (the last) or LW (the last weekday)"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day-of-week", "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L (the last Friday) or 1#2 (the second Monday)"),
)
_UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600,
          "d": 86_400, "day": 86_400, "w": 604_800, "week": 604_800}  # fmt: skip
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")
_MONTHLY = re.compile(r"every (\d+) months? on day (\d+) at (\d\d:\d\d(?::\d\d)?)\Z")


class Times(Protocol):
    """The times of a schedule, without beginning or end."""

    def after(self, moment: float) -> float | None:
        """The first time after a moment; None if there never is one."""

    def upto(self, moment: float) -> float | None:
        """The last time at or before a moment; None if there never was one."""

    def describe(self) -> str:
        """The times in words."""

    def __hash__(self) -> int:
        """Equal for what is one object."""


class Timetable(NamedTuple):
    """When a schedule is due, as it is stored."""

    kind: str  # "cron", "interval" or "calendar"
    expression: str
    zone: str
    start: float | None  # not before; what intervals and months are counted from
    end: float | None  # not after

    @property
    def times(self) -> Times:
        """Its times, without beginning or end. Raises ScheduleError if it is not a timetable."""
        return _times(self.kind, self.expression, self.zone, self.start)

    def after(self, moment: float) -> float | None:
        """The first time after a moment; None if there is none any more."""
        if self.start is not None and moment < self.start:
            found = self.times.upto(self.start)
            if found is None or found < self.start:
                found = self.times.after(self.start)
        else:
            found = _after(self.times, moment)
        return None if found is None or (self.end is not None and found > self.end) else found

    def upto(self, moment: float) -> float | None:
        """The last time at or before a moment; None if there was none."""
        found = self.times.upto(moment if self.end is None else min(moment, self.end))
        return None if found is None or (self.start is not None and found < self.start) else found

    def between(self, first: float, last: float) -> Iterator[float]:
        """The times from `first` to `last`, both included, whatever its own beginning and end."""
        times = self.times
        found = times.upto(first)
        if found is None or found < first:
            found = times.after(first)
        while found is not None and found <= last:
            yield found
            found = times.after(found)

    def describe(self) -> str:
        """When it is due, in words."""
        words = self.times.describe()
        return words if self.kind == "interval" else f"{words} ({self.zone})"


@lru_cache(maxsize=16_384)
def _times(kind: str, expression: str, zone: str, start: float | None) -> Times:
    where = zones.zone(zone)
    if kind == "cron":
        return Cron(expression, where)
    if kind == "interval":
        return Interval(seconds(expression), start or 0.0)
    if kind == "calendar":
        return Monthly.parse(expression, where, start)
    raise ScheduleError(f"{kind!r} is no kind of schedule; there are cron, interval and calendar.", field="kind")


@lru_cache(maxsize=4096)
def _after(times: Times, moment: float) -> float | None:
    """The first time after a moment, remembered: many schedules have the same times."""
    return times.after(moment)


def describe(expression: str) -> str:
    """A cron expression in words: "At 06:00 on Monday". Raises ScheduleError."""
    return Cron(expression, zones.zone("UTC")).describe()


class Cron:
    """The times of a cron expression."""

    def __init__(self, expression: str, where: ZoneInfo) -> None:
        """Raises ScheduleError, whose details name the field that is wrong."""
        self._expression = expression if len(expression.split()) == 5 and _valid(expression) else checked(expression)
        self._zone = where
        minute, hour = self._expression.split()[:2]
        self._fixed = not minute.startswith("*") and not hour.startswith("*")

    def after(self, moment: float) -> float | None:
        """The first time after a moment; None if there is none in the next 50 years."""
        low = math.floor(moment)
        offset = zones.offset(low, self._zone)
        if self._fixed:
            for each in self._walk(zones.shown(low, offset)):
                found = zones.instant(each, self._zone)
                if found > moment:
                    return float(found)
            return None
        begin = zones.shown(low, offset)
        while (shown := next(self._walk(begin), None)) is not None:
            found = zones.moment_of(shown, offset)
            change = zones.next_change(low, found, self._zone)
            if change is None:
                return float(found)
            low, offset = change, zones.offset(change, self._zone)
            begin = zones.shown(change - 1, offset)  # what the clocks are put to is looked at too
        return None

    def upto(self, moment: float) -> float | None:
        """The last time at or before a moment; None if there was none in the 50 years before."""
        high = math.floor(moment)
        offset = zones.offset(high, self._zone)
        if self._fixed:
            return self._fixed_upto(high, offset)
        while (shown := next(self._walk(zones.shown(high + 1, offset), back=True), None)) is not None:
            found = zones.moment_of(shown, offset)
            change = zones.last_change(found, high, self._zone)
            if change is None:
                return float(found)
            high, offset = change - 1, zones.offset(change - 1, self._zone)
        return None

    def _fixed_upto(self, high: int, offset: int) -> float | None:
        begin = zones.shown(high + 1, offset)
        if offset != zones.offset(high - 86_400, self._zone):
            begin += timedelta(days=1)  # the clocks were put back: times of the hours after may be over already
        for shown in self._walk(begin, back=True):
            found = zones.instant(shown, self._zone)
            if found <= high:
                return float(found)
        return None

    def _walk(self, shown: datetime, *, back: bool = False) -> Iterator[datetime]:
        """What clocks show that match, after (or before) this."""
        return CronSim(self._expression, shown, reverse=back)

    def describe(self) -> str:
        """The times in words."""
        return CronSim(self._expression, datetime(2000, 1, 1)).explain()


def checked(expression: str) -> str:
    """A cron expression in its plain form: five fields. Raises ScheduleError that names the field that is wrong."""
    text = " ".join(str(expression).split())
    text = _NICKNAMES.get(text.lower(), text)
    parts = text.split(" ")
    if len(parts) != 5:
        raise ScheduleError(_not_five(text, parts), field=None)
    for position, (name, allowed) in enumerate(_FIELDS):
        if not _valid(" ".join("*" if other != position else part for other, part in enumerate(parts))):
            raise ScheduleError(
                f"cron {text!r}: the {name} cannot be {parts[position]!r}. It is {allowed}, * for all, a list (1,3), a "
                "range (1-5), or one of these with a step (*/2).",
                field=name,
            )
    if not _valid(text) or next(CronSim(text, datetime(2000, 1, 1)), None) is None:
        raise ScheduleError(
            f"cron {text!r} is never due: with the month {parts[3]!r} and the day-of-week {parts[4]!r}, the "
            f"day-of-month cannot be {parts[2]!r}. Correct one of them; L is the last day of each month.",
            field="day-of-month",
        )
    return text


def _not_five(text: str, parts: list[str]) -> str:
    order = " ".join(name for name, _ in _FIELDS)
    if text.startswith("@"):
        return f"cron {text!r} is not known. There are {', '.join(_NICKNAMES)}, and five fields: {order}."
    if len(parts) == 6:
        return f"cron {text!r} has six fields, and seconds are none of them. Give five: {order}; or use every('10s')."
    if _PART.match(text.lower()) and len(parts) <= 2:
        return f"cron {text!r} is an interval: use every({text!r}). A cron expression has five fields: {order}."
    return f"cron {text!r} has {len(parts) if text else 0} fields. Give five: {order}."


def _valid(expression: str) -> bool:
    try:
        CronSim(expression, datetime(2000, 1, 1))
    except CronSimError:
        return False
    return True


class Interval:
    """Times at equal distances from each other."""

    def __init__(self, length: float, anchor: float) -> None:
        # Whole microseconds, so that the same time is the same number whoever computes it.
        self._length = round(length * _MICRO)
        self._anchor = round(anchor * _MICRO)

    def after(self, moment: float) -> float:
        """The first time after a moment."""
        return self._time((round(moment * _MICRO) - self._anchor) // self._length + 1)

    def upto(self, moment: float) -> float:
        """The last time at or before a moment."""
        return self._time((round(moment * _MICRO) - self._anchor) // self._length)

    def _time(self, number: int) -> float:
        return (self._anchor + number * self._length) / _MICRO

    def describe(self) -> str:
        """The times in words."""
        words = interval_text(self._length / _MICRO)
        return f"Every {words.removeprefix('1 ') if words.count(' ') == 1 else words}"


def seconds(given: Any) -> float:
    """An interval in seconds: from a timedelta, a number, or a text such as "15m", "2 h" or "1 hour 30 min"."""
    number: Any = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(number, str):
        number = _parsed(number)
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ScheduleError(
            f"{given!r} is no interval. Give a timedelta, seconds, or a text such as '15m', '2 h' or '1h 30m'; units "
            "are s, m, h, d and w. For months use monthly().",
            field="interval",
        )
    if number < _SHORTEST:
        raise ScheduleError(
            f"An interval of {number:g} seconds is too short; the least is {_SHORTEST}.", field="interval"
        )
    return float(number)


def _parsed(text: str) -> float | None:
    """The seconds of an interval in words; None if it is none."""
    total, position, rest = 0.0, 0, text.strip().lower().removeprefix("every ")
    while position < len(rest):
        match = _PART.match(rest, position)
        unit = match[2] if match is not None else ""
        size = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if match is None or size is None:
            return None
        total += float(match[1]) * size
        position = match.end()
    return total if rest else None


def interval_text(length: float) -> str:
    """An interval in words that `seconds` understands: "1 hour 30 minutes"."""
    micros, words = round(length * _MICRO), []
    for name, size in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        count, left = divmod(micros, size * _MICRO)
        if count and not (name == "week" and left):  # 8 days rather than 1 week 1 day
            words.append(f"{count} {name}{'s' if count > 1 else ''}")
            micros = left
    if micros or not words:
        number = f"{micros / _MICRO:.6f}".rstrip("0").rstrip(".")
        words.append(f"{number} second{'' if number == '1' else 's'}")
    return " ".join(words)


class Monthly:
    """A day of every month, or of every so many months; the last day of those that are too short."""

    def __init__(self, months: int, day: int, at: time, where: ZoneInfo, start: float | None) -> None:
        """`start`: in whose month the counting of several months begins; without one it begins with a January."""
        self._months, self._day, self._at, self._zone = months, day, at, where
        self._phase = _month_of(zones.shown(math.floor(start), zones.offset(math.floor(start), where))) if start else 0

    @classmethod
    def parse(cls, expression: str, where: ZoneInfo, start: float | None) -> Monthly:
        """From an expression of `monthly_expression`. Raises ScheduleError."""
        found = _MONTHLY.match(expression)
        if found is None:
            raise ScheduleError(f"{expression!r} names no day of the month.", field="expression")
        return cls(int(found[1]), int(found[2]), time.fromisoformat(found[3]), where, start)

    def after(self, moment: float) -> float:
        """The first time after a moment."""
        number = self._number(moment)
        while (found := self._time(number)) <= moment:
            number += 1
        return found

    def upto(self, moment: float) -> float:
        """The last time at or before a moment."""
        number = self._number(moment) + 2
        while (found := self._time(number)) > moment:
            number -= 1
        return found

    def _number(self, moment: float) -> int:
        """The period before the one that a moment is in."""
        whole = math.floor(moment)
        return (_month_of(zones.shown(whole, zones.offset(whole, self._zone))) - self._phase) // self._months - 1

    def _time(self, number: int) -> float:
        year, month = divmod(self._phase + number * self._months, 12)
        following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
        day = min(self._day, (following - timedelta(days=1)).day)
        return float(zones.instant(datetime.combine(date(year, month + 1, day), self._at), self._zone))

    def describe(self) -> str:
        """The times in words."""
        what = "the last day" if self._day == 31 else f"day {self._day}"
        which = "every month" if self._months == 1 else f"every {self._months} months"
        short = ", or the last if there is none" if 28 < self._day < 31 else ""
        return f"At {self._at.isoformat('seconds').removesuffix(':00')} on {what} of {which}{short}"


def monthly_expression(day: int | str, at: time | str, months: int) -> str:
    """A day of the month as it is stored. Raises ScheduleError that names what is wrong."""
    number = 31 if day == "last" else day
    if type(number) is not int or not 1 <= number <= 31:
        raise ScheduleError(f"day is 1 to 31 or 'last', not {day!r}.", field="day")
    if type(months) is not int or not 1 <= months <= 1200:
        raise ScheduleError(f"months is a whole number, 1 to 1200, not {months!r}.", field="months")
    try:
        moment = at if isinstance(at, time) else time.fromisoformat(at.strip().zfill(5))
    except (ValueError, AttributeError):
        moment = None
    if moment is None or moment.tzinfo is not None:
        raise ScheduleError(f"at is a time of the day without a zone, such as '06:00', not {at!r}.", field="at")
    return f"every {months} month{'s' if months > 1 else ''} on day {number} at {moment:%H:%M:%S}"


def _month_of(shown: datetime) -> int:
    return shown.year * 12 + shown.month - 1
