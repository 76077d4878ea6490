"""The flow function of every declared flow.

Steps whose dependencies all have to succeed are handed to the engine at once. Those with a condition are decided on
when what they depend on has ended: they run, or are put on record as skipped. In which order steps ended is on record
too, so that a replay decides in the same order.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nbflow.authoring.declarative import joins, references
from nbflow.authoring.declarative.calls import plain, spec_of
from nbflow.authoring.declarative.joins import Verdict
from nbflow.authoring.declarative.model import Definition, StepDefinition
from nbflow.authoring.declarative.operators.base import Outcome
from nbflow.authoring.declarative.picture import code_of, doc_of
from nbflow.authoring.declarative.reading import parameter_error
from nbflow.engine import branches
from nbflow.engine.frames import FRAME, Frame
from nbflow.model.errors import ParameterError
from nbflow.model.specs import StepSpec

_KINDS = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


class Ended(NamedTuple):
    """How a step ended; with neither it was skipped."""

    succeeded: bool
    failed: bool
    outcome: str | None = None


_SKIPPED = Ended(False, False)


class PipelineFunction:
    """The flow function of one declared flow, with its definition."""

    def __init__(self, definition: Definition, source: str | None = None) -> None:
        self.definition = definition
        self.source = source  # the YAML that it was read from
        self.specs = {name: spec_of(step) for name, step in definition.steps.items()}
        self.__signature__ = _signature(definition)
        self.__annotations__ = {each.name: _KINDS[each.annotation] for each in definition.parameters if each.annotation}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run all steps. Returns `output`, or the values of the steps that no other comes after.

        Raises the error of the step that failed first, unless that may fail.
        """
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        wrong = parameter_error(self.definition, bound.arguments)
        if wrong is not None:
            raise ParameterError(wrong)
        frame = FRAME.get()
        tasks: Tasks = InRun(frame, self.specs) if frame is not None else InTurn(self.specs)
        return Execution(self.definition, dict(bound.arguments), tasks).run()

    def __reduce__(self) -> Any:
        """By what it was made of: the rest is made of that again, and need not travel."""
        return PipelineFunction, (self.definition, self.source)

    def described(self, key: str) -> tuple[str, str, str]:
        """Docstring and source of the step behind a task's key, as they were when the run began; "" where unknown."""
        name, _, inner = key.partition("#")[0], *key.partition("/")[1:]
        step = self.definition.steps.get(name)
        if step is None:
            return "", "", ""
        if inner:
            function = getattr(getattr(getattr(step.operator, "target", None), "spec", None), "function", None)
            return function.described(inner) if isinstance(function, PipelineFunction) else ("", "", "")
        return doc_of(step), code_of(step), ""


def _signature(definition: Definition) -> inspect.Signature:
    found = []
    for each in sorted(definition.parameters, key=lambda each: not each.required):
        default = inspect.Parameter.empty if each.required else each.default
        annotation = _KINDS.get(each.annotation, inspect.Parameter.empty)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        found.append(inspect.Parameter(each.name, kind, default=default, annotation=annotation))
    return inspect.Signature(found)


class Tasks(Protocol):
    """Where steps run."""

    def start(self, step: StepDefinition, given: dict[str, Any], after: Iterable[str]) -> None:
        """Let a step run with values; `after` are steps that have to succeed before."""

    def leave_out(self, step: StepDefinition, after: Iterable[str], why: str) -> None:
        """Put a step on record as skipped."""

    def value(self, name: str) -> Any:
        """What stands for the value of a step that was started."""

    def wait(self, names: Sequence[str]) -> Mapping[str, Ended]:
        """How those of the steps ended that have; waits for one of them at least."""

    def outcome(self, name: str) -> str | None:
        """The outcome of a step that succeeded and has several."""

    def finish(self, may_fail: frozenset[str], value: Any) -> Any:
        """The value of the flow, when all has ended. Raises the first error of a step that must not fail."""


class Execution:
    """One run of a declared flow. Deterministic: what it does follows from how steps ended only."""

    def __init__(self, definition: Definition, parameters: dict[str, Any], tasks: Tasks) -> None:
        self.steps = definition.steps
        self.output = definition.output
        self.parameters = parameters
        self.tasks = tasks
        self.started: set[str] = set()
        self.known: dict[str, Ended] = {}  # what has been looked at

    def run(self) -> Any:
        """Decide on one step after the other, and return the value of the flow."""
        undecided = list(self.steps)
        while undecided:
            waiting = [name for name in undecided if not self._decide(self.steps[name])]
            if len(waiting) == len(undecided):
                self.known |= self.tasks.wait(self._awaited(waiting))
            undecided = waiting
        may_fail = frozenset(name for name, step in self.steps.items() if step.may_fail)
        return self.tasks.finish(may_fail, self._value())

    def _awaited(self, waiting: Iterable[str]) -> list[str]:
        """The steps on whose end something depends that is not decided."""
        needed = {name for each in waiting for name in self.steps[each].depends_on}
        return sorted(name for name in needed if name in self.started and name not in self.known)

    def _decide(self, step: StepDefinition) -> bool:
        """Start a step or leave it out, if that is clear by now."""
        needed = step.depends_on
        if any(name not in self.started and name not in self.known for name in needed):
            return False
        plainly = step.join == joins.DEFAULT and not any(needed.values())
        if plainly and not any(self.known.get(name) == _SKIPPED for name in needed):
            self._start(step, [name for name in needed if name in self.started])
            return True
        if any(name not in self.known for name in needed):
            return False
        verdict = joins.RULES[step.join]([self._edge(name, wanted) for name, wanted in needed.items()])
        if verdict is Verdict.SKIP:
            self.known[step.name] = _SKIPPED
            self.tasks.leave_out(step, list(needed), self._why(step))
        elif verdict is Verdict.BLOCK:
            self._start(step, [name for name in needed if self.known[name].failed])
        else:
            self._start(step, [name for name in needed if self.known[name].succeeded])
        return True

    def _edge(self, name: str, wanted: Sequence[str]) -> joins.Edge:
        ended = self.known[name]
        if ended.succeeded and self.steps[name].labels and ended.outcome is None:
            ended = self.known[name] = ended._replace(outcome=self.tasks.outcome(name))
        return joins.edge(succeeded=ended.succeeded, failed=ended.failed, outcome=ended.outcome, wanted=wanted)

    def _start(self, step: StepDefinition, after: Sequence[str]) -> None:
        given = {}
        for name in dict.fromkeys(each.name for each in references.found_in([step.inputs, step.operator.settings])):
            if name in self.parameters:
                given[name] = self.parameters[name]
            elif name in self.steps:
                given[name] = self._result(name)
        self.started.add(step.name)
        self.tasks.start(step, given, after)

    def _result(self, name: str) -> Any:
        """What stands for a step's value; None if it did not succeed, as far as that is known."""
        ended = self.known.get(name)
        if name not in self.started or (ended is not None and not ended.succeeded):
            return None
        return self.tasks.value(name)

    def _why(self, step: StepDefinition) -> str:
        told = []
        for name, wanted in step.depends_on.items():
            ended = self.known[name]
            if ended == _SKIPPED:
                told.append(f"{name} was skipped")
            elif ended.failed:
                told.append(f"{name} failed")
            elif wanted and ended.outcome not in wanted:
                told.append(f"{name} came out as {ended.outcome}, not {' or '.join(wanted)}")
            else:
                told.append(f"{name} succeeded")
        rule = f" (join: {step.join})" if step.join != joins.DEFAULT else ""
        return f"Its branch was not taken{rule}: {', '.join(told)}."

    def _value(self) -> Any:
        if self.output is None:
            followed = {name for step in self.steps.values() for name in step.depends_on}
            last = [name for name in self.steps if name not in followed]
            return _Leaves({name: self._result(name) for name in last if name in self.started})
        names = {each.name for each in references.found_in(self.output)}
        results = {name: self._result(name) for name in names if name in self.steps}
        return _Output(self.output, {**self.parameters, **results})


class _Leaves(dict[str, Any]):
    """The values of the last steps, by name."""


class _Output(NamedTuple):
    """What a flow's value is made of."""

    said: Any
    values: dict[str, Any]

    def made(self, values: Mapping[str, Any]) -> Any:
        def lookup(reference: references.Reference) -> Any:
            return references.follow(plain(values[reference.name]), reference)

        return references.fill(self.said, lookup)


def _finished(value: Any, resolve: Any, succeeded: Any) -> Any:
    """The flow's value, once all steps have ended: results in the place of what stands for them."""
    if isinstance(value, _Output):
        kept = {name: resolve(each) if succeeded(each) else None for name, each in value.values.items()}
        return value.made(kept)
    found = {name: plain(resolve(each)) for name, each in value.items() if succeeded(each)}
    return next(iter(found.values())) if len(value) == 1 and found else found


class InRun:
    """Steps as tasks of a run."""

    def __init__(self, frame: Frame, specs: Mapping[str, StepSpec]) -> None:
        self._frame = frame
        self._specs = specs
        self._placeholders: dict[str, Any] = {}  # by step
        self._left_out: dict[str, Any] = {}

    def start(self, step: StepDefinition, given: dict[str, Any], after: Iterable[str]) -> None:
        """Call the step."""
        before = [self._placeholders[name] for name in after]
        self._placeholders[step.name] = self._frame.call(self._specs[step.name], (), given, after=before)

    def leave_out(self, step: StepDefinition, after: Iterable[str], why: str) -> None:
        """Put a step on record as skipped."""
        there = {**self._left_out, **self._placeholders}
        before = [there[name] for name in after]
        self._left_out[step.name] = branches.leave_out(self._frame, self._specs[step.name], before, why)

    def value(self, name: str) -> Any:
        """The placeholder."""
        return self._placeholders[name]

    def wait(self, names: Sequence[str]) -> Mapping[str, Ended]:
        """How those of the steps ended that have."""
        found = branches.ended(self._frame, {name: self._placeholders[name] for name in names})
        return {name: Ended(error is None, error is not None) for name, error in found.items()}

    def outcome(self, name: str) -> str | None:
        """The label of a step's value."""
        value = branches.value(self._placeholders[name])
        return value.label if isinstance(value, Outcome) else None

    def finish(self, may_fail: frozenset[str], value: Any) -> Any:
        """The value of the flow."""
        branches.finish(self._frame, {name: each for name, each in self._placeholders.items() if name not in may_fail},
                        [each for name, each in self._placeholders.items() if name in may_fail])  # fmt: skip
        return _finished(value, branches.value, branches.succeeded)


class InTurn:
    """Steps one after the other, as ordinary Python, where there is no run."""

    def __init__(self, specs: Mapping[str, StepSpec]) -> None:
        self._specs = specs
        self._results: dict[str, Any] = {}
        self._errors: dict[str, BaseException] = {}

    def start(self, step: StepDefinition, given: dict[str, Any], after: Iterable[str]) -> None:
        """Run the step."""
        needed = [*after, *(name for name, value in given.items() if isinstance(value, _Failed))]
        failed = next((name for name in needed if name in self._errors), None)
        if failed is not None:
            self._errors[step.name] = self._errors[failed]
            return
        try:
            self._results[step.name] = self.perform(step, given)
        except Exception as error:
            self._errors[step.name] = error

    def perform(self, step: StepDefinition, given: dict[str, Any]) -> Any:
        """Do what a step does."""
        return _awaited(self._specs[step.name].function(**given))

    def leave_out(self, step: StepDefinition, after: Iterable[str], why: str) -> None:
        """Nothing is on record here."""

    def value(self, name: str) -> Any:
        """The value itself."""
        return self._results[name] if name in self._results else _Failed()

    def wait(self, names: Sequence[str]) -> Mapping[str, Ended]:
        """All of them have ended."""
        return {name: Ended(name in self._results, name in self._errors) for name in names}

    def outcome(self, name: str) -> str | None:
        """The label of a step's value."""
        value = self._results[name]
        return value.label if isinstance(value, Outcome) else None

    def finish(self, may_fail: frozenset[str], value: Any) -> Any:
        """The value of the flow."""
        for name, error in self._errors.items():
            if name not in may_fail and not any(error is self._errors.get(each) for each in may_fail):
                raise error
        return _finished(value, lambda each: each, lambda each: not isinstance(each, _Failed))


class _Failed:
    """Stands for the value of a step that has none."""


def _awaited(result: Any) -> Any:
    if not inspect.iscoroutine(result):
        return result
    import asyncio

    return asyncio.run(result)
