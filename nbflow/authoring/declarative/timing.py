"""The sections `schedule` and `triggers`: when, and upon what, a flow is to be run. They are only read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nbflow.authoring.declarative.model import Schedule, Trigger
from nbflow.authoring.declarative.problems import Path, Problems
from nbflow.model.errors import NbflowError
from nbflow.queue import cron, zones

WAYS = ("cron", "every", "monthly")
TRIGGERS = ("event", "flow", "file", "table", "webhook")
_MAIN = {"file": "pattern"}  # the option that the word of a trigger stands for, if that is another word


def read_schedule(given: Any, problems: Problems, parameters: Sequence[str]) -> Schedule | None:
    """The section `schedule`, which has the right structure; a text is a cron expression."""
    if given is None:
        return None
    said: dict[str, Any] = {"cron": given} if isinstance(given, str) else dict(given)
    path: Path = ("schedule",)
    ways = [way for way in WAYS if way in said]
    if len(ways) != 1:
        problems.add(path, f"say one of cron, every and monthly, not {' and '.join(ways) or 'none of them'}.")
        return None
    _check_zone(said, problems)
    _check_times(said, problems)
    for name in said.get("parameters", {}):
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            problems.add((*path, "parameters", name), f"the flow has no parameter {name!r}; it has: {known}.")
    try:
        kind, expression = _expression(ways[0], said[ways[0]])
    except NbflowError as error:
        problems.add((*path, ways[0]), str(error))
        return None
    return Schedule(
        kind,
        expression,
        said,
        zone=said.get("tz"),
        start=said.get("start"),
        end=said.get("end"),
        catchup=said.get("catchup", "latest"),
        overlap=said.get("overlap", "allow"),
        parameters=said.get("parameters", {}),
    )


def _expression(way: str, given: Any) -> tuple[str, str]:
    if way == "cron":
        return "cron", cron.checked(given)
    if way == "every":
        return "interval", cron.interval_text(cron.seconds(given))
    given = given if isinstance(given, Mapping) else {"day": given}
    day = given.get("day", 1)
    return "calendar", cron.monthly_expression(day, given.get("at", "00:00"), given.get("months", 1))


def _check_zone(said: Mapping[str, Any], problems: Problems) -> None:
    if "tz" in said:
        try:
            zones.zone(said["tz"])
        except NbflowError as error:
            problems.add(("schedule", "tz"), str(error))


def _check_times(said: Mapping[str, Any], problems: Problems) -> None:
    found: dict[str, datetime] = {}
    for name in ("start", "end"):
        if name in said:
            try:
                found[name] = datetime.fromisoformat(said[name])
            except ValueError:
                problems.add(
                    ("schedule", name), f"{said[name]!r} is no time; write 2026-03-01 or 2026-03-01T08:00, with +01:00."
                )
    if len(found) == 2 and found["end"].replace(tzinfo=None) < found["start"].replace(tzinfo=None):
        problems.add(("schedule", "end"), f"the end {said['end']} comes before the start {said['start']}.")


def read_triggers(given: Any, problems: Problems, parameters: Sequence[str]) -> tuple[Trigger, ...]:
    """The section `triggers`, which has the right structure."""
    found: list[Trigger] = []
    for position, entry in enumerate(given or ()):
        path: Path = ("triggers", position)
        kinds = [kind for kind in TRIGGERS if kind in entry]
        if len(kinds) != 1:
            told = " and ".join(kinds) or "none of them"
            problems.add(path, f"a trigger is one of {', '.join(TRIGGERS)}; this is {told}.")
            continue
        kind = kinds[0]
        said = entry[kind]
        options = {key: value for key, value in entry.items() if key not in ("name", kind)}
        options |= {_MAIN.get(kind, kind): said} if kind != "webhook" else {}
        name = str(entry.get("name") or (said if kind in ("event", "flow") and isinstance(said, str) else kind))
        if name in [each.name for each in found]:
            problems.add(path, f"two triggers are called {name!r}; give this one another `name`.")
        for parameter in entry.get("set", {}):
            if parameter not in parameters:
                problems.add((*path, "set", parameter), f"the flow has no parameter {parameter!r}.")
        found.append(Trigger(name, kind, options, dict(entry)))
    return tuple(found)
