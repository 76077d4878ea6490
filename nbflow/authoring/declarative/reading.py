"""From the data of a flow, whatever form it came in, to its definition: every mistake is found before one is raised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nbflow.authoring.declarative import graph, joins, references, structure, timing
from nbflow.authoring.declarative.model import Definition, StepDefinition
from nbflow.authoring.declarative.operators.base import Operator, kinds
from nbflow.authoring.declarative.problems import Path, PipelineError, Place, Problems
from nbflow.authoring.declarative.wiring import Wiring
from nbflow.model.errors import CycleError, DefinitionError, NbflowError
from nbflow.model.specs import Parameter
from nbflow.queue.cron import seconds

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "list": (list, tuple), "dict": (dict,)
}  # fmt: skip
_DURATIONS = ("cap", "timeout", "soft_timeout", "expires", "deadline", "heartbeat_timeout")
_STEP = frozenset({"description", "inputs", "depends_on", "join", "outputs", "outcomes", "may_fail", "group",
                   "nested_tasks"})  # fmt: skip
_FLOW_OPTIONS = ("executor", "workers", "timeout", "version")


def read(
    given: Any,
    file: str,
    place: Callable[[Path], Place | None] = lambda path: None,
    *,
    known: Problems | None = None,
    imports: bool = True,
) -> Definition:
    """The definition that `given` says; `file` and `place` are for messages.

    `known`: mistakes that were found before. `imports`: whether functions are looked up, so that their signatures can
    be checked. Raises PipelineError with all mistakes; a CycleError if a circle is all that is wrong.
    """
    problems = known or Problems(file, place)
    plain = structure.Plain(problems)
    data = plain.of(given)
    structure.check(data, problems)
    if problems.found:  # what is below relies on the shape
        _check_names(data, problems)
        problems.check()
    definition = _Reader(data, problems, plain.functions, imports=imports).read()
    if len(problems.found) == 1 and problems.found[0].kind == "cycle":
        error = problems.error()
        raise CycleError(str(error), cycle=graph.cycle(_edges(data)), problems=error.problems, file=file)
    problems.check()
    assert definition is not None  # else there would be a problem
    return definition


def _check_names(data: Any, problems: Problems) -> None:
    """What can be said of the graph although the shape is not right: dependencies that are not there."""
    steps = data.get("steps") if isinstance(data, Mapping) else None
    if not isinstance(steps, Mapping):
        return
    for name, needed in _edges(data).items():
        for each in needed:
            if each not in steps:
                graph.undeclared(name, each, steps, problems)


def _edges(data: Mapping[str, Any]) -> dict[str, list[str]]:
    found = {}
    for name, step in data["steps"].items():
        given = step.get("depends_on") if isinstance(step, Mapping) else None
        given = [given] if isinstance(given, str) else given
        found[name] = [str(each) for each in given] if isinstance(given, (list, Mapping)) else []
    return found


class _Reader:
    """Builds one definition of data that has the right shape."""

    def __init__(
        self, data: Mapping[str, Any], problems: Problems, functions: Mapping[Path, Any], *, imports: bool
    ) -> None:
        self.data = data
        self.problems = problems
        self.functions = functions
        self.imports = imports

    def read(self) -> Definition | None:
        data, problems = self.data, self.problems
        parameters = tuple(self._parameter(name, given) for name, given in (data.get("parameters") or {}).items())
        names = [each.name for each in parameters]
        for name in names:
            if name in data["steps"] or name == references.RUN:
                problems.add(("parameters", name), f"{name!r} is a parameter and a step; rename one of them.")
        steps = {name: self._step(name, given) for name, given in data["steps"].items()}
        wiring = Wiring(steps, names, problems, self.functions, imports=self.imports)
        wired = wiring.wire()
        wiring.check_output(data.get("output"))
        schedule = timing.read_schedule(data.get("schedule"), problems, names)
        triggers = timing.read_triggers(data.get("triggers"), problems, names)
        if problems.found:
            return None
        options = {name: data[name] for name in _FLOW_OPTIONS if data.get(name) is not None}
        if "timeout" in options:
            options["timeout"] = seconds(options["timeout"])
        return Definition(
            data["name"],
            {name: wired[name] for name in graph.ordered(wired)},
            parameters,
            data.get("output"),
            str(data.get("description") or "").strip(),
            schedule,
            triggers,
            tuple(data.get("tags") or ()),
            options,
        )

    def _parameter(self, name: str, given: Any) -> Parameter:
        if not isinstance(given, Mapping):
            given = {"default": given}
        kind, default = given.get("type", ""), given.get("default")
        required = "default" not in given
        if kind and not required and default is not None:
            is_flag = isinstance(default, bool) and kind != "bool"
            if is_flag or not isinstance(default, _TYPES[kind]):
                self.problems.add(("parameters", name), f"the default {default!r} of parameter {name!r} is no {kind}.")
        return Parameter(name, kind, default, required, str(given.get("description") or ""))

    def _step(self, name: str, given: Mapping[str, Any]) -> StepDefinition:
        path: Path = ("steps", name)
        kind = next(kind for kind in kinds() if kind in given)
        operator = self._operator(kind, given[kind])
        for where, message in operator.check():
            self.problems.add((*path, kind, *where), message)
        given_options = {key: value for key, value in given.items() if key not in _STEP and key != kind}
        defaults = {} if operator.lasts() or kind == "flow" else self.data.get("defaults") or {}
        return StepDefinition(
            name,
            operator,
            inputs=given.get("inputs") or {},
            depends_on=self._dependencies(path, given.get("depends_on")),
            join=given.get("join", joins.DEFAULT),
            outcomes=tuple(given.get("outcomes") or ()),
            outputs=tuple(given.get("outputs") or ()),
            options=self._options(path, {**defaults, **given_options}),
            may_fail=bool(given.get("may_fail", False)),
            description=str(given.get("description") or "").strip(),
            group=str(given.get("group") or ""),
            nested_tasks=_nested(given.get("nested_tasks")),
        )

    def _operator(self, kind: str, given: Any) -> Operator:
        made = kinds()[kind]
        if isinstance(given, Mapping):
            return made(**{str(key): value for key, value in given.items()})
        return made(given) if made.main is not None else made()

    def _dependencies(self, path: Path, given: Any) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        if isinstance(given, Mapping):
            for name, outcomes in given.items():
                found[name] = (outcomes,) if isinstance(outcomes, str) else tuple(sorted(outcomes or ()))
            return found
        for name in [given] if isinstance(given, str) else given or ():
            if name in found:
                self.problems.add((*path, "depends_on"), f"{name!r} is named twice.")
            found[name] = ()
        return found

    def _options(self, path: Path, given: Mapping[str, Any]) -> dict[str, Any]:
        """Durations in seconds, so that "1m" and 60 are the same."""
        found: dict[str, Any] = {}
        for name, value in given.items():
            if value is None:
                continue
            try:
                found[name] = _option(name, value)
            except NbflowError as error:
                self.problems.add((*path, name), str(error))
        return found


def _option(name: str, value: Any) -> Any:
    if name in _DURATIONS or (name == "cache" and not isinstance(value, bool)):
        return _plain(seconds(value))
    if name in ("delay", "retries") and isinstance(value, list):
        return [_plain(seconds(each)) for each in value]
    if name == "delay" and isinstance(value, str):
        return _plain(seconds(value))
    return value


def _plain(number: float) -> float | int:
    return int(number) if math.floor(number) == number else number


def _nested(given: Any) -> dict[str, Any]:
    if isinstance(given, list):
        return {str(name): {} for name in given}
    return {str(name): dict(each or {}) for name, each in (given or {}).items()}


def parameter_error(definition: Definition, given: Mapping[str, Any]) -> str | None:
    """What is wrong with the values that a run is given; None if nothing is."""
    for each in definition.parameters:
        if each.name not in given or not each.annotation or given[each.name] is None:
            continue
        value, kind = given[each.name], each.annotation
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
            return f"parameter {each.name!r} of flow {definition.name!r} takes {kind}, not {value!r}."
    return None


def mistakes(error: DefinitionError) -> Iterable[Any]:
    """The single problems of an error."""
    return error.details.get("problems", ()) if isinstance(error, (PipelineError, CycleError)) else ()
