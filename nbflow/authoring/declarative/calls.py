"""What a task of a declared flow runs: one operator, with the results of other steps in the place of references."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xxhash

from nbflow.authoring.declarative import references
from nbflow.authoring.declarative.model import StepDefinition
from nbflow.authoring.declarative.operators.base import OperatorError, Outcome
from nbflow.authoring.declarative.operators.functions import Function
from nbflow.authoring.declarative.problems import hint
from nbflow.authoring.declarative.references import Reference
from nbflow.authoring.step import Step
from nbflow.model.specs import StepSpec
from nbflow.running import context
from nbflow.values.secrets import references as secrets

_OUTSIDE = frozenset({"timeout", "version", "tags"})  # of what lasts: for the whole; the rest is for the steps in it


class Call:
    """One step as a function of the results that it refers to; those of steps that did not run are None."""

    def __init__(self, step: StepDefinition) -> None:
        self.step = step

    def __call__(self, /, **given: Any) -> Any:
        """Do what the step does and return its value; an `Outcome` if it has several."""
        return self._shaped(self.step.operator.run(*self._filled(given)))

    def _filled(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        def lookup(reference: Reference) -> Any:
            if reference.name == references.RUN and reference.name not in given:
                return run_fact(reference.path[0])
            return references.follow(plain(given[reference.name]), reference)

        # What is written in the flow may name secrets; what other steps gave may not, so it is filled in afterwards.
        inputs: dict[str, Any] = references.fill(secrets.referring(dict(self.step.inputs)), lookup)
        return secrets.resolved(inputs), self.step.operator.fill(lookup)

    def _shaped(self, result: Any) -> Any:
        labels = self.step.labels
        if isinstance(result, Outcome):
            label, value = result.label, self._with_outputs(result.value)
        elif self.step.outcomes:
            label, value = result, result
        else:
            return self._with_outputs(result)
        if label not in labels:
            close = hint(str(label), labels, "It has")
            raise OperatorError(
                f"step {self.step.name!r} came out as {label!r}, which is none of its outcomes. {close} Return one of "
                "them, or Outcome(label, value).",
                outcome=label,
            )
        return Outcome(str(label), value)

    def _with_outputs(self, value: Any) -> Any:
        """The value as {output: part}, if the step says which parts it has."""
        names = self.step.outputs
        if not names or (isinstance(value, Mapping) and all(name in value for name in names)):
            return value
        if len(names) == 1:
            return {names[0]: value}
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == len(names):
            return dict(zip(names, value, strict=True))
        raise OperatorError(
            f"step {self.step.name!r} is to return {', '.join(names)}: a dict with these keys, or {len(names)} values "
            f"in a tuple or list. It returned a {type(value).__name__}."
        )


class AsyncCall(Call):
    """The same of a coroutine function."""

    async def __call__(self, /, **given: Any) -> Any:
        """Do what the step does and return its value."""
        return self._shaped(await self.step.operator.run(*self._filled(given)))


def plain(value: Any) -> Any:
    """A step's value as other steps get it, without the outcome."""
    return value.value if isinstance(value, Outcome) else value


def run_fact(name: str) -> Any:
    """What `${{ run.NAME }}` stands for; None outside of a run."""
    attempt = context.current()
    if attempt is None:
        return None
    found = {
        "id": attempt.run,
        "task": attempt.key,
        "attempt": attempt.attempt,
        "logical_time": getattr(attempt, "logical_time", None),
    }
    return found[name]


def spec_of(step: StepDefinition) -> StepSpec:
    """A step as the engine takes it. Raises DefinitionError or ConfigError for options that make no sense."""
    operator = step.operator
    own = operator.own if isinstance(operator, Function) else None
    base = own if own is not None else StepSpec(step.name, _nothing)
    options = dict(step.options)
    if operator.lasts():
        operator.options = {name: value for name, value in options.items() if name not in _OUTSIDE}
        options = {name: value for name, value in options.items() if name in _OUTSIDE}
    made = Step(replace(base, name=step.name)).with_options(**options).spec
    is_async = made.is_async or _is_async(operator)
    call = AsyncCall(step) if is_async else Call(step)
    return replace(
        made,
        function=call,
        identity=_identity(step),
        is_async=is_async,
        kind="flow" if operator.lasts() else "step",
    )


def _is_async(operator: Any) -> bool:
    import inspect

    return isinstance(operator, Function) and inspect.iscoroutinefunction(operator.target)


def _nothing() -> None:
    """Stands for the function of a step until it has one."""


def _identity(step: StepDefinition) -> str:
    """Digest of all on which a step's value depends, beside what it is given."""
    said = [step.operator.kind, step.operator.settings, step.inputs, step.outcomes, step.outputs]
    text = json.dumps([*said, step.operator.identity()], sort_keys=True, default=list)
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
