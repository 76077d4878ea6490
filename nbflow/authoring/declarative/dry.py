"""Dry runs: the way that a run would go, with fakes in the place of what steps do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbflow.authoring.declarative import references
from nbflow.authoring.declarative.calls import plain
from nbflow.authoring.declarative.execution import Execution, InTurn, PipelineFunction
from nbflow.authoring.declarative.model import StepDefinition
from nbflow.authoring.declarative.operators.base import Outcome
from nbflow.authoring.declarative.problems import hint
from nbflow.model.errors import ParameterError, UnknownStepError

if TYPE_CHECKING:
    from nbflow.authoring.declarative.pipeline import Pipeline


@dataclass(frozen=True)
class DryRun:
    """What a run would have done."""

    states: Mapping[str, str]  # by step: "succeeded", "failed" or "skipped", in the order in which they ended
    inputs: Mapping[str, Mapping[str, Any]]  # what each step that ran was given
    value: Any = None
    error: BaseException | None = None

    def __repr__(self) -> str:
        return "\n".join(f"{state:<10} {name}" for name, state in self.states.items())


def dry_run(flow: Pipeline, fakes: Mapping[str, Any], parameters: Mapping[str, Any]) -> DryRun:
    """Go the way of a run. Raises UnknownStepError for a fake of no step, ParameterError for wrong parameters."""
    definition = flow.definition
    for name in fakes:
        if name not in definition.steps:
            raise UnknownStepError(
                f"flow {definition.name!r} has no step {name!r} to fake. {hint(name, definition.steps, 'It has')}"
            )
    function = flow.spec.function
    assert isinstance(function, PipelineFunction)
    try:
        bound = function.__signature__.bind(**parameters)
    except TypeError as error:
        known = ", ".join(each.name for each in definition.parameters) or "none"
        raise ParameterError(f"flow {definition.name!r}: {error}. Its parameters are: {known}.") from error
    bound.apply_defaults()
    tasks = _Faked(fakes)
    value, problem = None, None
    try:
        value = Execution(definition, dict(bound.arguments), tasks).run()
    except Exception as error:  # whatever a fake stands for
        problem = error
    return DryRun(tasks.states, tasks.inputs, value, problem)


class _Faked(InTurn):
    """Steps whose values are given."""

    def __init__(self, fakes: Mapping[str, Any]) -> None:
        super().__init__({})
        self.states: dict[str, str] = {}
        self.inputs: dict[str, dict[str, Any]] = {}
        self._fakes = fakes

    def start(self, step: StepDefinition, given: dict[str, Any], after: Iterable[str]) -> None:
        """Take the fake for what the step gives."""
        super().start(step, given, after)
        if step.name in self._results:
            self.states[step.name] = "succeeded"
        else:
            self.states[step.name] = "failed" if step.name in self.inputs else "skipped"

    def perform(self, step: StepDefinition, given: dict[str, Any]) -> Any:
        """The fake of a step."""

        def lookup(reference: references.Reference) -> Any:
            try:
                return references.follow(plain(given.get(reference.name)), reference)
            except LookupError:
                return None  # a fake need not have all that the true value has

        inputs = self.inputs[step.name] = references.fill(dict(step.inputs), lookup)
        fake = self._fakes.get(step.name)
        if isinstance(fake, BaseException) or (isinstance(fake, type) and issubclass(fake, BaseException)):
            raise fake
        if callable(fake):
            fake = fake(**inputs)
        if step.labels and not isinstance(fake, Outcome):
            fake = Outcome(fake if fake in step.labels else step.operator.passing or step.labels[0], fake)
        return fake

    def leave_out(self, step: StepDefinition, after: Iterable[str], why: str) -> None:
        """Note it."""
        self.states[step.name] = "skipped"
