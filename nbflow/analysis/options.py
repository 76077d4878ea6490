"""What an author says about a step: the %%step line, cell tags and cell metadata."""

from __future__ import annotations

import ast
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from nbflow.model.errors import DefinitionError
from nbflow.model.names import check_name
from nbflow.model.policies import check_times

_MAGIC = re.compile(r"\A(\s*\n)*%%step\b[ \t]*(?P<line>[^\n]*)\n?(?P<body>.*)\Z", re.DOTALL)
_TRUE = {"true", "yes", "on", "1"}
TIMES = ("timeout", "expires", "deadline", "heartbeat_timeout")
_FALSE = {"false", "no", "off", "0"}


@dataclass(frozen=True, slots=True)
class StepOptions:
    """The options of one cell."""

    name: str | None = None
    cache: bool = False
    retries: int = 0
    delay: float = 0.0  # seconds between retries
    timeout: float | None = None  # seconds, as are the next three; see StepSpec
    expires: float | None = None
    deadline: float | None = None
    heartbeat_timeout: float | None = None
    executor: str | None = None
    ins: tuple[str, ...] = ()  # names that it reads, though its source does not show it
    outs: tuple[str, ...] = ()  # names that it defines or changes, though its source does not show it
    effects: tuple[str, ...] = ()  # effects, in the words of `facts.EFFECTS`; "none": trust that there are none

    def joined(self, other: StepOptions) -> StepOptions:
        """The options of a step whose next cell says `other`."""
        default = StepOptions()
        changes: dict[str, Any] = {}
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if item.name in {"ins", "outs", "effects"}:
                changes[item.name] = tuple(dict.fromkeys(mine + theirs))
            elif theirs != getattr(default, item.name):
                changes[item.name] = theirs
        return replace(self, **changes)

    @property
    def times(self) -> dict[str, float | None]:
        """The limits in time."""
        return {name: getattr(self, name) for name in TIMES}


def options_of_cell(source: str, metadata: Mapping[str, Any], number: int) -> tuple[StepOptions, str]:
    """Return the options of cell `number`, and its source without the %%step line."""
    where = f"cell {number}"
    options = StepOptions()
    for tag in metadata.get("tags", ()):
        if tag.startswith("step:"):
            options = replace(options, name=check_name(tag[5:].strip(), f"step ({where}, tag {tag!r})"))
    declared = metadata.get("nbflow", {}).get("step", {})
    if declared:
        words = [f"{key}={_written(value)}" for key, value in declared.items() if key != "name"]
        options = options.joined(_parse_words([str(declared["name"])] if "name" in declared else [], words, where))
    match = _MAGIC.match(source)
    if match is None:
        return options, source
    return options.joined(parse_step_line(match["line"], where)), match["body"]


def parse_step_line(line: str, where: str) -> StepOptions:
    """Parse what follows `%%step`; `where` names the cell in errors."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise DefinitionError(f"{where}: the %%step line cannot be read ({error}). Close the quotes.") from error
    plain = [word for word in words if "=" not in word and not word.startswith("--")]
    return _parse_words(plain, [word for word in words if word not in plain], where)


def _parse_words(plain: list[str], settings: list[str], where: str) -> StepOptions:
    values: dict[str, Any] = {}
    if len(plain) > 1 and plain[1:] == ["cache"]:
        values["cache"] = True
        plain = plain[:1]
    if len(plain) > 1:
        raise DefinitionError(
            f"{where}: %%step takes one name, not {' '.join(plain)!r}. Write a name with spaces in quotes, "
            "and options as option=value.",
        )
    if plain:
        values["name"] = check_name(plain[0], f"step ({where})")
    for word in settings:
        key, equals, text = word.removeprefix("--").partition("=")
        values[key] = _convert(key, text if equals else "true", where)
    found = StepOptions(**values)
    check_times(where, found.times)
    return found


def _convert(key: str, text: str, where: str) -> Any:
    try:
        if key in {"ins", "outs", "effects"}:
            return tuple(part for part in re.split(r"[,\s]+", text.strip("[]() ")) if part)
        if key == "cache" and text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        if key == "retries" and int(text) >= 0:
            return int(text)
        if key in TIMES and 0 < float(text) < math.inf:
            return float(text)
        if key == "delay" and float(text) >= 0:
            return float(text)
        if key == "executor" and text:
            return text
    except ValueError:
        pass
    known = [item.name for item in fields(StepOptions) if item.name != "name"]
    if key not in known:
        raise DefinitionError(f"{where}: %%step has no option {key!r}. It has {', '.join(known)}.", option=key)
    raise DefinitionError(
        f"{where}: {text!r} cannot be the value of the %%step option {key!r}. "
        "Examples: cache=true, retries=3, delay=1.5, timeout=60, outs=model,score.",
        option=key,
    )


def _written(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def literal(text: str) -> Any:
    """The Python literal in `text`; raises ValueError."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError) as error:
        raise ValueError(text) from error
