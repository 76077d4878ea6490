"""Time zones: which one is meant, what its clocks show, and when they are changed."""

from __future__ import annotations

import difflib
import os
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from nbflow.model.errors import ScheduleError

_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_STRIDE = 7 * 86_400  # seconds in which no zone changes its clocks forth and back


def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name, such as "Europe/Paris". Raises ScheduleError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):  # KeyError: ZoneInfoNotFoundError is one
        known = available_timezones()
    if not known:
        raise ScheduleError("This machine knows no time zones; install them: pip install tzdata.", field="zone")
    by_part = {name.rpartition("/")[2].lower(): name for name in sorted(known, key=lambda name: (-len(name), name))}
    text = str(name)
    close = difflib.get_close_matches(text, known, n=1)
    found = by_part.get(text.rpartition("/")[2].lower().replace(" ", "_")) or (close[0] if close else None)
    hint = f"Did you mean {found!r}?" if found else "Give an IANA name, such as 'Europe/Paris' or 'UTC'."
    raise ScheduleError(f"There is no time zone {name!r}. {hint}", field="zone")


def names() -> list[str]:
    """The names of all zones that are known here."""
    return sorted(available_timezones())


def local_name() -> str:
    """The IANA name of this machine's zone. Raises ScheduleError if it cannot be told."""
    given = os.environ.get("TZ", "").lstrip(":")
    if given:
        return given if _exists(given) else _by_offset(given)
    link = Path("/etc/localtime")
    if link.is_symlink():
        name = str(link.resolve()).rpartition("/zoneinfo/")[2]
        if name and _exists(name):
            return "UTC" if name == "Etc/UTC" else name
    try:
        name = Path("/etc/timezone").read_text().strip()
    except OSError:
        name = ""
    return name if name and _exists(name) else _by_offset(time.tzname[0])


def _by_offset(told: str) -> str:
    if time.timezone == 0 and not time.daylight:
        return "UTC"
    raise ScheduleError(
        f"The name of this machine's time zone cannot be told ({told!r}). Give one: zone='Europe/Paris'.", field="zone"
    )


def _exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def in_zone(moment: float, name: str | None) -> datetime:
    """A moment as the clocks of a zone show it (None: of UTC)."""
    return datetime.fromtimestamp(moment, zone(name) if name is not None else UTC)


def offset(moment: int, where: ZoneInfo) -> int:
    """Seconds by which the clocks of a zone are ahead of UTC at a moment."""
    found = datetime.fromtimestamp(moment, where).utcoffset()
    return round(found.total_seconds()) if found is not None else 0


def shown(moment: int, offset: int) -> datetime:
    """What clocks show at a moment that are ahead of UTC by `offset`; without a zone."""
    return _EPOCH + timedelta(seconds=moment + offset)


def moment_of(shown: datetime, offset: int) -> int:
    """The moment at which such clocks show this."""
    return (shown - _EPOCH) // _SECOND - offset


def instant(shown: datetime, where: ZoneInfo) -> int:
    """The moment at which the clocks of a zone show this.

    The first one if they show it twice; if they never do, since they are put forward past it, the moment of that.
    """
    before = shown.replace(tzinfo=where).utcoffset()
    after = shown.replace(tzinfo=where, fold=1).utcoffset()
    if before is None or after is None or before >= after:  # equal, or shown twice: `before` is that of the first time
        return moment_of(shown, round(before.total_seconds()) if before is not None else 0)
    # Shown never: read with the offset of after the change it is too early, with that of before it too late.
    low, high = (moment_of(shown, round(each.total_seconds())) for each in (after, before))
    return _changed(low, high, where)


def next_change(low: int, high: int, where: ZoneInfo) -> int | None:
    """The first moment after `low`, up to `high`, at which the clocks are changed."""
    known = _offset(low, where)
    while low < high:
        until = min(low + _STRIDE, high)
        if _offset(until, where) != known:
            return _changed(low, until, where)
        low = until
    return None


def last_change(low: int, high: int, where: ZoneInfo) -> int | None:
    """The last moment after `low`, up to `high`, at which the clocks are changed."""
    known = _offset(high, where)
    while low < high:
        since = max(high - _STRIDE, low)
        if _offset(since, where) != known:
            return _changed(since, high, where)
        high = since
    return None


def _changed(low: int, high: int, where: ZoneInfo) -> int:
    """The moment after `low`, up to `high`, at which the clocks are changed."""
    known = offset(low, where)
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle, where) == known:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4096)
def _offset(moment: int, where: ZoneInfo) -> int:
    return offset(moment, where)
