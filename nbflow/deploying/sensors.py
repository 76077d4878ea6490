"""Sensors: what they look at, and what of it is to start runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from nbflow.deploying import files
from nbflow.deploying.references import opened_reference
from nbflow.deploying.starts import Asked, key_of
from nbflow.model.deployments import TriggerRecord
from nbflow.model.errors import TriggerError
from nbflow.storage import tables

_SOON = 1.0  # seconds until a file is looked at again that may still be written


class Look(NamedTuple):
    """What a sensor found."""

    asked: list[Asked]  # starts, in order
    seen: Callable[[Sequence[bool]], str]  # what is to be remembered, told which of them were made
    soon: float | None = None  # seconds until it should look again, if that is sooner than usual


def look(trigger: TriggerRecord, now: float) -> Look:
    """Look. Raises TriggerError, ConfigError or StorageError if it cannot."""
    return {"file": _look_at_files, "table": _look_at_table}[trigger.kind](trigger, now)


def baseline(kind: str, options: Mapping[str, Any], now: float, *, existing: bool) -> str:
    """What a new sensor takes for known. With `existing`, nothing: what is there already starts runs too.

    Raises what `look` raises, so that a sensor that cannot work is not made.
    """
    if kind == "file":
        found = files.look(options["pattern"], None, now, settle=0.0, changes=True)
        return json.dumps(files.packed({} if existing else found.seen))
    news = _news(options, None)
    value = json.dumps(_packed(news.high))
    return json.dumps({"high": None}) if existing else f'{{"high": {value}}}'


def _look_at_files(trigger: TriggerRecord, now: float) -> Look:
    options = json.loads(trigger.options)
    known = files.unpacked(json.loads(trigger.seen or "{}"))
    settle = float(options["settle"])
    found = files.look(options["pattern"], known, now, settle=settle, changes=options["changes"])
    asked = [
        Asked(trigger, key_of("file", trigger.name, f"{each.path}@{each.stamp}"), {options["as"]: each.path})
        for each in found.ready
    ]

    def seen(made: Sequence[bool]) -> str:
        after = dict(found.seen)
        for each, done in zip(found.ready, made, strict=True):
            if done:
                after[each.path] = after[each.path]._replace(done=True)
        return json.dumps(files.packed(after))

    return Look(asked, seen, max(settle, _SOON) if found.unsettled else None)


def _look_at_table(trigger: TriggerRecord, now: float) -> Look:
    options = json.loads(trigger.options)
    before = json.loads(trigger.seen or "{}").get("high")
    news = _news(options, _unpacked(before))
    if news.rows == 0 or news.high is None:
        return Look([], lambda _: trigger.seen or "{}")
    high = _packed(news.high)
    given = {options.get("since_as"): _shown(before), options.get("until_as"): _shown(high)}
    parameters = {name: value for name, value in given.items() if name}
    key = key_of("table", trigger.name, json.dumps([before, high]))
    return Look(
        [Asked(trigger, key, parameters)],
        lambda made: json.dumps({"high": high if all(made) else before}),
    )


def _news(options: Mapping[str, Any], since: Any) -> tables.News:
    return tables.news(opened_reference(options["url"]), options["query"], options["column"], since)


# --- values of columns, which JSON has no form for -------------------------------------------------------------------

_KINDS: dict[str, tuple[type, Callable[[str], Any]]] = {
    "datetime": (datetime, datetime.fromisoformat),
    "date": (date, date.fromisoformat),
    "decimal": (Decimal, Decimal),
}


def _packed(value: Any) -> Any:
    if value is None or type(value) in (int, float, str):
        return value
    for kind, (its_type, _) in _KINDS.items():
        if type(value) is its_type:
            return {kind: value.isoformat() if isinstance(value, date) else str(value)}
    raise TriggerError(
        f"The column that a table is watched by holds a {type(value).__name__}. It has to be a number, a text, a date "
        "or a time, that grows with every new row."
    )


def _unpacked(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    ((kind, text),) = stored.items()
    return _KINDS[kind][1](text)


def _shown(stored: Any) -> Any:
    """As a parameter of a run."""
    return next(iter(stored.values())) if isinstance(stored, dict) else stored
