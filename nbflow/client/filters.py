"""What people write to say which rows they want, checked and made a `Query`."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nbflow.client.columns import COLUMNS
from nbflow.model.errors import ConfigError
from nbflow.model.queries import Query
from nbflow.model.states import State

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


def query(what: str, *, now: float | None = None, **given: Any) -> Query:
    """The query for a kind of frame that keyword arguments mean; None means that nothing is asked for.

    state: a state, or several. since, until: see `moment`. tags: a tag, or several that all have to be there. limit:
    the newest so many. columns: a name, or several. queue, flow, step: names. run: an id, or what has one.
    Raises ConfigError for what cannot be, such as a range of time that ends before it begins.
    """
    now = time.time() if now is None else now
    since = moment(given.get("since"), "since", now)
    until = moment(given.get("until"), "until", now)
    if since is not None and until is not None and since > until:
        raise ConfigError(
            f"since ({_shown(since)}) is later than until ({_shown(until)}); is it the other way round? "
            f"Write since={_shown(until)!r}, until={_shown(since)!r}."
        )
    known = [*COLUMNS[what]]
    return Query(
        states=tuple(_choice(_state_name(name), [*State], "state") for name in _several(given.get("state"))),
        **{name: _name(given.get(name), name) for name in ("queue", "flow", "step", "run")},
        since=since,
        until=until,
        tags=tuple(str(tag) for tag in _several(given.get("tags"))),
        limit=_limit(given.get("limit")),
        columns=tuple(_choice(name, known, f"column of {what}") for name in _several(given.get("columns"))),
    )


def moment(given: Any, name: str, now: float) -> float | None:
    """Seconds since 1970 of a datetime, date, timedelta before now, or text; None for None.

    Text: a date or time in ISO 8601 ("2026-05-01", "2026-05-01 14:30"), or a span before now ("2h", "30 min", "7d").
    What names no time zone is meant in the local one. A date is its first moment.
    """
    if given is None:
        return None
    if isinstance(given, str):
        span = _SPAN.fullmatch(given.strip())
        if span is not None:
            return now - float(span[1]) * _SECONDS[span[2][0]]
        try:
            given = datetime.fromisoformat(given.strip())
        except ValueError:
            raise _no_moment(given, name) from None
    if isinstance(given, timedelta):
        return now - given.total_seconds()
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)
    if isinstance(given, datetime):
        try:
            return given.timestamp()
        except (OverflowError, OSError, ValueError):
            raise _no_moment(given, name) from None
    raise _no_moment(given, name)


def near(given: str, known: Iterable[str]) -> str:
    """A hint at the names that somebody may have meant: " Did you mean 'x'?", or those that there are."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    if not names:
        return " There are none yet."
    return f" There are {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else '.'}"


_SHOWN = 10  # names in a message


def _no_moment(given: Any, name: str) -> ConfigError:
    return ConfigError(
        f"{name}={given!r} is no time. Give a datetime, a date, a timedelta before now, or text such as "
        "'2026-05-01 14:30' or '2h'."
    )


def _shown(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def _several(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Iterable):
        return (given,)
    return tuple(given)


def _state_name(given: Any) -> str:
    return given.value if isinstance(given, State) else str(given)


def _choice(given: Any, known: Sequence[str], what: str) -> str:
    if str(given) not in known:
        raise ConfigError(f"There is no {what} {given!r}.{near(str(given), [str(name) for name in known])}")
    return str(given)


def _name(given: Any, name: str) -> str | None:
    """A name, or that of an object that has one: a Queue, a Flow, a Step, a Run."""
    if given is None or isinstance(given, str):
        return given
    found = getattr(given, "id" if name == "run" else "name", None)
    if not isinstance(found, str):
        raise ConfigError(f"{name}={given!r} is no {name}. Give its {'id' if name == 'run' else 'name'}.")
    return found


def _limit(given: Any) -> int | None:
    if given is None or (type(given) is int and given > 0):
        return given
    raise ConfigError(f"limit={given!r} is no number of rows; it is 1 or more, or None for all.")
