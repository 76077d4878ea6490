"""Where the ticks of a time axis are and what they say, in a time zone or as time since the beginning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nbflow.views.gantt.columns import GanttError

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_STEPS = (
    *(digit * 10.0**power for power in range(-6, 1) for digit in (1, 2, 5)),
    10.0, 15.0, 30.0, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY,
)  # fmt: skip


class Tick(NamedTuple):
    """One line of the axis."""

    at: float
    text: str


def zone_of(name: str | None) -> tzinfo | None:
    """A time zone by its name; None for the local one. Raises GanttError if there is none of this name."""
    if name is None:
        return None
    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise GanttError(f"There is no time zone {name!r}. One is named like 'Europe/Berlin' or 'UTC'.") from error


def zone_text(at: float, zone: tzinfo | None, name: str | None) -> str:
    """What the axis says about its zone: "Europe/Berlin", "UTC+01:00"."""
    if name is not None:
        return name
    offset = local(at, zone).utcoffset() or timedelta()
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}" if minutes else "UTC"


def local(at: float, zone: tzinfo | None) -> datetime:
    """A time in a zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)).astimezone(zone)


def step_for(span: float, count: int) -> float:
    """Seconds between two ticks, if there shall be about `count` of them."""
    least = span / max(count, 1) * 0.999
    days = least / _DAY  # beyond the last step, ticks of elapsed time are at hundreds of days
    return next((step for step in _STEPS if step >= least), _DAY * 100 * math.ceil(days / 100))


def clock_ticks(begin: float, end: float, count: int, zone: tzinfo | None) -> Iterator[Tick]:
    """Ticks at round times of the clock; where days are too fine, at the beginnings of months."""
    step = step_for(end - begin, count)
    if step > _STEPS[-1]:
        yield from _months(begin, end, (end - begin) / count, zone)
        return
    offset = (local(begin, zone).utcoffset() or timedelta()).total_seconds()
    number = math.ceil((begin + offset) / step)
    while (at := number * step - offset) <= end:
        now = (local(at, zone).utcoffset() or timedelta()).total_seconds()
        place = at + offset - now if step >= _HOUR else at  # the clocks were changed in between
        yield Tick(place, clock_text(place, step, zone))
        number += 1


def _months(begin: float, end: float, least: float, zone: tzinfo | None) -> Iterator[Tick]:
    months = least / (_DAY * 30.44)
    step = next((step for step in (1, 2, 3, 6) if step >= months), 12 * math.ceil(months / 12))
    first = local(begin, zone)
    number = (first.year * 12 + first.month) // step * step
    while number < 12 * 9999:
        number += step
        moment = datetime(number // 12, number % 12 + 1, 1, tzinfo=zone or first.tzinfo)
        if moment.timestamp() > end:
            return
        yield Tick(moment.timestamp(), f"{moment:%b %Y}" if step < 12 else f"{moment:%Y}")


def elapsed_ticks(begin: float, end: float, count: int) -> Iterator[Tick]:
    """Ticks at round times since the beginning."""
    step = step_for(end - begin, count)
    for number in range(math.ceil(begin / step), math.floor(end / step) + 1):
        yield Tick(number * step, elapsed_text(number * step, step))


def clock_text(at: float, step: float, zone: tzinfo | None) -> str:
    """A time as it stands beside a tick: as fine as the step is."""
    moment = local(round(at, 6), zone)
    if step >= _DAY:
        return f"{moment.day} {moment:%b}"
    if step >= _MINUTE:
        return f"{moment.day} {moment:%b}" if moment.hour == moment.minute == 0 else f"{moment:%H:%M}"
    if step >= 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%H:%M:%S}.{moment.microsecond:06d}"[: 9 + _decimals(step)]


def elapsed_text(seconds: float, step: float) -> str:
    """A time since the beginning as it stands beside a tick."""
    if step < 1:
        return f"{seconds:.{_decimals(step)}f} s"
    if abs(seconds) < _MINUTE:
        return f"{seconds:.0f} s"
    sign, rest = "-" if seconds < 0 else "", round(abs(seconds))
    hours, minutes, left = rest // 3600, rest // 60 % 60, rest % 60
    if hours:
        return f"{sign}{hours} h {minutes:02d} min" if step >= _MINUTE else f"{sign}{hours}:{minutes:02d}:{left:02d}"
    return f"{sign}{minutes} min {left:02d} s" if left or step < _MINUTE else f"{sign}{minutes} min"


def date_text(at: float, zone: tzinfo | None) -> str:
    """The day, for where the ticks say the hour alone."""
    moment = local(at, zone)
    return f"{moment.day} {moment:%b %Y}"


def _decimals(step: float) -> int:
    return max(1, -math.floor(math.log10(step) + 1e-9))
