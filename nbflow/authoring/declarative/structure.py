"""Whether the data of a flow has the right shape: checked by the published schema, told in words."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from importlib import resources
from pathlib import PurePath
from typing import Any

from nbflow.authoring.declarative.operators.base import kinds
from nbflow.authoring.declarative.operators.functions import name_of
from nbflow.authoring.declarative.problems import Path, Problems, hint
from nbflow.authoring.flow import Flow
from nbflow.authoring.step import Step

_WORDS = {
    "string": "a text", "object": "a mapping", "array": "a list", "number": "a number", "integer": "a whole number",
    "boolean": "true or false", "null": "nothing",
}  # fmt: skip
_SHOWN = 60  # characters of a value in a message


@functools.cache
def published() -> Mapping[str, Any]:
    """The JSON schema of YAML flows, as it lies in the package."""
    found: dict[str, Any] = json.loads(resources.files(__package__).joinpath("schema.json").read_text("utf-8"))
    return found


def schema() -> dict[str, Any]:
    """The published schema with the operators that are installed or registered beside nbflow's own."""
    found = copy.deepcopy(dict(published()))
    step = found["$defs"]["step"]
    for kind, operator in kinds().items():
        if kind not in found["$defs"]:
            found["$defs"][kind] = dict(operator.schema) or {"description": (operator.__doc__ or "").strip()}
            step["properties"][kind] = {"$ref": f"#/$defs/{kind}"}
            step["oneOf"].append({"required": [kind]})
    return found


@functools.lru_cache(maxsize=4)
def _validator(_kinds: tuple[str, ...]) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


class Plain:
    """Turns what is written in Python into data, and keeps the functions that stand in it."""

    def __init__(self, problems: Problems) -> None:
        self.functions: dict[Path, Any] = {}  # where they stood
        self._problems = problems

    def of(self, value: Any, path: Path = ()) -> Any:
        """`value` as JSON would have it; a function or flow becomes its module:name."""
        if value is None or isinstance(value, (str, bool, int, float)):
            return value
        if isinstance(value, Mapping):
            return {self._key(key): self.of(item, (*path, self._key(key))) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(item, (*path, position)) for position, item in enumerate(value)]
        if isinstance(value, (set, frozenset)):
            return self.of(sorted(value), path)
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, (Step, Flow)) or callable(value):
            self.functions[path] = value
            return name_of(value)
        self._problems.add(
            path, f"a {type(value).__name__} cannot be written down; use texts, numbers, lists and dicts."
        )
        return None

    def _key(self, key: Any) -> str:
        return getattr(key, "name", None) or str(key)


def check(data: Any, problems: Problems) -> None:
    """Note everything in which `data` does not have the shape of a flow."""
    for error in _validator(tuple(kinds())).iter_errors(data):
        if error.validator == "oneOf":
            _check_kinds(tuple(error.absolute_path), error.instance, problems)
            continue
        for path, message in _TOLD.get(str(error.validator), _as_it_is)(error):
            problems.add(path, message)


def _check_kinds(path: Path, step: Any, problems: Problems) -> None:
    """A step does exactly one thing."""
    if not isinstance(step, Mapping):
        return  # told already
    known = list(kinds())
    found = [kind for kind in step if kind in known]
    if len(found) > 1:
        problems.add(
            (*path, found[1]), f"step {path[-1]!r} is to do two things, {found[0]} and {found[1]}; make two steps."
        )
    elif not found:
        problems.add(path, f"step {path[-1]!r} does nothing. Say what it does by one of: {', '.join(known)}.")


Told = Iterator[tuple[Path, str]]


def _additional(error: Any) -> Told:
    known = list(error.schema.get("properties", ()))
    for name in error.instance:
        if name not in known:
            path = tuple(error.absolute_path)
            where = f"{path[-1]!r}" if path else "the flow"
            yield (*path, name), f"{where} cannot have {name!r}. {hint(name, known)}"


def _required(error: Any) -> Told:
    missing = [name for name in error.validator_value if name not in error.instance]
    path = tuple(error.absolute_path)
    where = f"{path[-1]!r}" if path else "a flow"
    yield path, f"{where} needs {' and '.join(missing)}."


def _type(error: Any) -> Told:
    wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    words = [_WORDS[each] for each in wanted if each != "null"]
    yield tuple(error.absolute_path), f"{_name(error)} is {' or '.join(words)}, not {_short(error.instance)}."


def _enum(error: Any) -> Told:
    choices = [str(each) for each in error.validator_value]
    close = hint(str(error.instance), choices)
    told = f" {close}" if close.startswith("Did") else ""
    yield (
        tuple(error.absolute_path),
        f"{_name(error)} is one of {', '.join(choices)}, not {_short(error.instance)}.{told}",
    )


def _const(error: Any) -> Told:
    yield tuple(error.absolute_path), f"{_name(error)} is {error.validator_value!r}, not {_short(error.instance)}."


def _pattern(error: Any) -> Told:
    path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        path = (*path, error.instance)
        yield path, f"{error.instance!r} cannot be a name here; use letters, digits and _, the first one a letter."
    elif ":" in error.validator_value:
        yield path, f"{error.instance!r} names no function; write module:function, for example shop.steps:clean."
    else:
        yield path, f"{error.instance!r} cannot be a name; use letters, digits, _ and -, the first one a letter."


def _empty(error: Any) -> Told:
    yield tuple(error.absolute_path), f"{_name(error)} is empty; fill it in or leave it out."


def _least(error: Any) -> Told:
    above = "more than" if error.validator == "exclusiveMinimum" else "at least"
    yield (
        tuple(error.absolute_path),
        f"{_name(error)} is {above} {error.validator_value}, not {_short(error.instance)}.",
    )


def _most(error: Any) -> Told:
    yield (
        tuple(error.absolute_path),
        f"{_name(error)} is at most {error.validator_value}, not {_short(error.instance)}.",
    )


def _unique(error: Any) -> Told:
    yield tuple(error.absolute_path), f"{_name(error)} names something twice: {_short(error.instance)}."


def _as_it_is(error: Any) -> Told:
    yield tuple(error.absolute_path), f"{_name(error)}: {error.message}."


_TOLD: dict[str, Callable[[Any], Told]] = {
    "additionalProperties": _additional, "required": _required, "type": _type, "enum": _enum, "const": _const,
    "pattern": _pattern, "minLength": _empty, "minItems": _empty, "minProperties": _empty, "minimum": _least,
    "exclusiveMinimum": _least, "maximum": _most, "uniqueItems": _unique,
}  # fmt: skip


def _name(error: Any) -> str:
    path = tuple(error.absolute_path)
    if path and isinstance(path[-1], int) and len(path) > 1:
        return f"entry {path[-1] + 1} of {path[-2]!r}"
    return f"{path[-1]!r}" if path else "a flow"


def _short(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
