"""A declared flow as a record. Two of them are equal if they say the same, whatever form they were written in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xxhash

from nbflow.authoring.declarative import joins
from nbflow.authoring.declarative.operators.base import Operator
from nbflow.model.specs import Parameter

# Not slotted and no named tuples: digests of code look into their __dict__.


@dataclass(frozen=True, eq=False)
class StepDefinition:
    """One step."""

    name: str
    operator: Operator  # what it does, with its settings as they were written
    inputs: Mapping[str, Any] = field(default_factory=dict)  # by name, with references
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # step → outcomes; none: any of them
    join: str = joins.DEFAULT
    outcomes: tuple[str, ...] = ()  # labels, one of which its function returns
    outputs: tuple[str, ...] = ()  # names of the parts of its value
    options: Mapping[str, Any] = field(default_factory=dict)  # as of `@step`
    may_fail: bool = False  # whether the run may succeed though it fails
    description: str = ""
    group: str = ""  # drawn in one box with others of the group
    nested_tasks: Mapping[str, Any] = field(default_factory=dict)  # drawn only

    @property
    def labels(self) -> tuple[str, ...]:
        """All outcomes that it may have."""
        codes = self.operator.settings.get("exit_codes") or {}
        return tuple(dict.fromkeys((*self.operator.labels, *self.outcomes, *codes.values())))

    def data(self) -> dict[str, Any]:
        """The step as in YAML, without what is the default."""
        settings, main = self.operator.settings, self.operator.main
        short = settings[main] if main is not None and list(settings) == [main] else settings
        found: dict[str, Any] = {
            "description": self.description,
            self.operator.kind: short,
            "inputs": dict(self.inputs),
            "depends_on": _edges(self.depends_on),
            "join": "" if self.join == joins.DEFAULT else self.join,
            "outputs": list(self.outputs),
            "outcomes": list(self.outcomes),
            **self.options,
            "may_fail": self.may_fail,
            "group": self.group,
            "nested_tasks": dict(self.nested_tasks),
        }
        return {key: value for key, value in found.items() if key == self.operator.kind or _says(value)}


@dataclass(frozen=True, eq=False)
class Definition:
    """A whole flow."""

    name: str
    steps: Mapping[str, StepDefinition]  # each after those that it depends on
    parameters: tuple[Parameter, ...] = ()
    output: Any = None  # with references; None: the values of the steps that no other comes after
    description: str = ""
    schedule: Schedule | None = None
    triggers: tuple[Trigger, ...] = ()
    tags: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of the flow: executor, workers, timeout, version

    def data(self) -> dict[str, Any]:
        """The flow as in YAML, in one form for all that mean the same, without what is the default."""
        found: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": {each.name: _parameter(each) for each in self.parameters},
            "tags": sorted(self.tags),
            **self.options,
            "steps": {name: step.data() for name, step in self.steps.items()},
            "output": self.output,
            "schedule": self.schedule.data() if self.schedule is not None else None,
            "triggers": [each.data() for each in self.triggers],
        }
        return {key: value for key, value in found.items() if key in ("name", "steps") or _says(value)}

    @property
    def digest(self) -> str:
        """32 hexadecimal digits for what the flow says, without the code of its functions."""
        text = json.dumps(self.data(), sort_keys=True, ensure_ascii=False)
        return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))

    def __eq__(self, other: object) -> bool:
        return self.data() == other.data() if isinstance(other, Definition) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Schedule:
    """When the flow is to be run, for `promote`."""

    kind: str  # "cron", "interval" or "calendar", as of schedules of a queue
    expression: str  # checked; of the kind
    said: Mapping[str, Any] = field(compare=False, hash=False)  # the entry as it was written
    zone: str | None = None  # IANA name; None: that of the machine
    start: str | None = None  # ISO date or time
    end: str | None = None
    catchup: str = "latest"  # "none", "latest" or "all"
    overlap: str = "allow"  # "allow", "skip" or "wait"
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)  # of the runs

    def data(self) -> dict[str, Any]:
        """The section as in YAML."""
        return dict(self.said)


@dataclass(frozen=True)
class Trigger:
    """What starts the flow from outside, for `promote`."""

    name: str
    kind: str  # "event", "flow", "file", "table" or "webhook"
    options: Mapping[str, Any] = field(hash=False)  # what it listens to, as triggers of deployments take it
    said: Mapping[str, Any] = field(compare=False, hash=False)  # the entry as it was written

    def data(self) -> dict[str, Any]:
        """The entry as in YAML."""
        return dict(self.said)


def _edges(depends_on: Mapping[str, tuple[str, ...]]) -> Any:
    """Dependencies as short as they can be written."""
    names = sorted(depends_on)
    if not any(depends_on.values()):
        return names
    listed = {name: list(depends_on[name]) for name in names}
    return {name: (found[0] if len(found) == 1 else found) or None for name, found in listed.items()}


def _says(value: Any) -> bool:
    return value is not None and value is not False and value != "" and value != [] and value != {}


def _parameter(each: Parameter) -> Any:
    short = not (each.annotation or each.comment or each.required or isinstance(each.default, Mapping))
    if short:
        return each.default
    found: dict[str, Any] = {"type": each.annotation} if each.annotation else {}
    if not each.required:
        found["default"] = each.default
    if each.comment:
        found["description"] = each.comment
    return found
