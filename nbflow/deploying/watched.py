"""What triggers are told when they are made: one table of options for each kind, checked before anything is stored."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from nbflow.deploying import files
from nbflow.deploying.references import opened_reference
from nbflow.deploying.starts import MOST_WAITING
from nbflow.model.errors import ConfigError, ScheduleError
from nbflow.model.names import check_name
from nbflow.queue import cron
from nbflow.storage import tables

ENDS = {  # states of a run that a follower is started by
    "success": ("succeeded",),
    "failure": ("failed", "timed_out"),
    "any": ("succeeded", "failed", "timed_out", "cancelled"),
}
_SHORTEST = 1.0  # seconds between two looks
_COMMON = ("set", "most_waiting", "join")


def checked(kind: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The topic and the options of a trigger, as they are stored. Raises ConfigError that names what is wrong.

    All kinds: `set`, parameters that each run is given; `most_waiting`, how many starts of the deployment may wait
    before it takes no more (default: 100); `join`, whether an event whose parameters are those of a start that still
    waits is joined to it.

    event: `event`, its name; `take`, which of its parameters are passed on, {its name: the flow's} (default: all).
    flow: `flow`, name of a flow or deployment; `on`, "success", "failure" or "any"; `run_as`, the parameter that is
    given the id of the run that ended.
    file: `pattern`, `as`, the parameter that is given the path; `changes`, whether a file that changes counts anew;
    `settle`, seconds that a file has to stay as it is; `every`, how often to look.
    table: `url`, `table` or `query`, `column`, whose values grow with every new row; `since_as`, `until_as`, the
    parameters that are given the largest value so far and the one now; `every`.
    webhook: `signed`, whether requests carry a signature instead of a token; `body_as`, the parameter that is given
    the whole body; `take`. sender: `event`, or "*" for all; `signed`.
    """
    if kind not in _CHECKS:
        raise ConfigError(f"a trigger listens to one of {', '.join(_CHECKS)}, not {kind!r}.")
    check, names = _CHECKS[kind]
    present = {name: value for name, value in given.items() if value is not None}
    known = (*names, *_COMMON)
    for name in present:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"a trigger of kind {kind!r} has no option {name!r}.{hint} It has {', '.join(known)}.")
    topic, found = check(present)
    most = present.get("most_waiting", MOST_WAITING)
    if type(most) is not int or most < 1:
        raise ConfigError(f"most_waiting is a whole number, 1 or more, not {most!r}.")
    return topic, {
        **found,
        "set": dict(present.get("set", {})),
        "most_waiting": most,
        "join": bool(present.get("join")),
    }


def _event(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return check_name(_needed(given, "event", "event"), "kind of event"), {"take": _take(given)}


def _flow(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    on = given.get("on", "success")
    if on not in ENDS:
        raise ConfigError(f"a deployment follows a flow on one of {', '.join(ENDS)}, not {on!r}.")
    return check_name(_needed(given, "flow", "flow"), "flow"), {"on": on, "run_as": given.get("run_as")}


def _file(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return "", {
        "pattern": files.checked_pattern(_needed(given, "pattern", "file")),
        "as": _needed(given, "as", "file"),
        "changes": bool(given.get("changes", False)),
        "settle": seconds(given.get("settle", 2.0), "settle"),
        "every": seconds(given.get("every", 10.0), "every", least=_SHORTEST),
    }


def _table(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    query, table = given.get("query"), given.get("table")
    if (query is None) == (table is None):
        raise ConfigError("a table sensor needs either table, the name of one, or query, a SELECT.")
    url = str(_needed(given, "url", "table"))
    if opened_reference(url) == url:  # what is kept as a secret may hold a password
        url = tables.checked_url(url)
    return "", {
        "url": url,
        "query": tables.checked_query(str(query)) if query is not None else tables.quoted(str(table)),
        "column": _needed(given, "column", "table"),
        "since_as": given.get("since_as"),
        "until_as": given.get("until_as"),
        "every": seconds(given.get("every", 30.0), "every", least=_SHORTEST),
    }


def _webhook(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return "", {
        "signed": bool(given.get("signed", False)),
        "body_as": given.get("body_as"),
        "take": _take(given),
    }


def _sender(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    event = _needed(given, "event", "sender")
    return event if event == "*" else check_name(event, "kind of event"), {"signed": bool(given.get("signed", False))}


_Check = Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
_CHECKS: dict[str, tuple[_Check, tuple[str, ...]]] = {
    "event": (_event, ("event", "take")),
    "flow": (_flow, ("flow", "on", "run_as")),
    "file": (_file, ("pattern", "as", "changes", "settle", "every")),
    "table": (_table, ("url", "table", "query", "column", "since_as", "until_as", "every")),
    "webhook": (_webhook, ("signed", "body_as", "take")),
    "sender": (_sender, ("event", "signed")),
}


def _needed(given: Mapping[str, Any], name: str, kind: str) -> Any:
    if not given.get(name):
        raise ConfigError(f"a trigger of kind {kind!r} needs {name}.")
    return given[name]


def _take(given: Mapping[str, Any]) -> dict[str, str] | None:
    """{name in the event: name in the flow}; None: all as they are."""
    take = given.get("take")
    if not take:
        return None
    return dict(take) if isinstance(take, Mapping) else {name: name for name in take}


def seconds(value: Any, name: str, *, least: float = 0.0) -> float:
    """A span of time in seconds, from "15m", a number of seconds or a timedelta; 0 too. Raises ConfigError."""
    try:
        found = 0.0 if str(value).strip() in ("0", "0s", "0.0") else cron.seconds(value)
    except ScheduleError as error:
        raise ConfigError(f"{name}: {error}") from None
    if found < least:
        raise ConfigError(f"{name} is {least:g} seconds or more, not {value!r}.")
    return found
