"""Which step takes what from which: references become dependencies, parameters of functions find their values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nbflow.authoring.declarative import graph, joins, references
from nbflow.authoring.declarative.model import StepDefinition
from nbflow.authoring.declarative.operators.functions import signature
from nbflow.authoring.declarative.problems import Path, Problems, hint
from nbflow.authoring.declarative.references import Reference
from nbflow.authoring.flow import Flow
from nbflow.authoring.step import Step
from nbflow.model.errors import NbflowError

# Options of a step that is a flow function; those of the steps inside of it belong to the ones that have some.
_LASTING = frozenset({"timeout", "version", "tags"})


class Wiring:
    """The steps of one flow with all their edges."""

    def __init__(
        self,
        steps: Mapping[str, StepDefinition],
        parameters: Sequence[str],
        problems: Problems,
        functions: Mapping[Path, Any],
        *,
        imports: bool = True,
    ) -> None:
        self.steps = dict(steps)
        self.parameters = list(parameters)
        self.problems = problems
        self._functions = functions  # that were given as objects, by where they stood
        self._imports = imports

    def wire(self) -> dict[str, StepDefinition]:
        """The steps, with dependencies on all that they refer to, and with inputs for all that they take."""
        for name, step in self.steps.items():
            self._check_declared(step)
            self._check_options(step)
            self.steps[name] = replace(step, depends_on={**step.depends_on, **dict.fromkeys(self._referred(step), ())})
        for name, step in self.steps.items():
            self.steps[name] = self._resolved(step)
        for name, step in self.steps.items():
            self.steps[name] = replace(step, depends_on=dict(self._with_outcomes(step)))
            if step.join != joins.DEFAULT and not step.depends_on:
                path = ("steps", name, "join")
                self.problems.add(path, f"step {name!r} depends on nothing, so there is nothing to join.")
        graph.check_cycle({name: step.depends_on for name, step in self.steps.items()}, self.problems)
        return self.steps

    def check_output(self, output: Any) -> None:
        """See whether all that the flow's value refers to is there."""
        self._references(output, ("output",))

    # --- references ------------------------------------------------------------------------------------------------

    def _referred(self, step: StepDefinition) -> list[str]:
        """Steps whose results a step takes, beside those that it names as dependencies."""
        path: Path = ("steps", step.name)
        found = self._references(step.inputs, (*path, "inputs"))
        found += self._references(step.operator.settings, (*path, step.operator.kind))
        return [name for name in dict.fromkeys(found) if name not in step.depends_on and name in self.steps]

    def _references(self, value: Any, path: Path) -> list[str]:
        found: list[str] = []
        for where, text in _texts(value, path):
            for inner in references.between_braces(text):
                try:
                    reference = references.parse(inner)
                except NbflowError as error:
                    self.problems.add(where, str(error))
                    continue
                self._check_reference(reference, where)
                if reference.name in self.steps:
                    found.append(reference.name)
        return found

    def _check_reference(self, reference: Reference, path: Path) -> None:
        name, problems = reference.name, self.problems
        if name == references.RUN and name not in self.steps:
            if reference.path not in [(fact,) for fact in references.RUN_FACTS]:
                facts = ", ".join(f"run.{fact}" for fact in references.RUN_FACTS)
                problems.add(path, f"${{{{ {reference} }}}} is nothing that a run knows; there are {facts}.")
        elif name in self.steps:
            if path[:2] == ("steps", name):
                problems.add(path, f"step {name!r} refers to its own result.")
            outputs = self.steps[name].outputs
            if outputs and reference.path and reference.path[0] not in outputs:
                told = hint(reference.path[0], outputs, "It has")
                problems.add(path, f"${{{{ {reference} }}}}: step {name!r} has no output {reference.path[0]!r}. {told}")
        elif name not in self.parameters:
            known = [*self.steps, *self.parameters]
            literal = f"For the text itself write $${{{{ {reference} }}}}."
            told = hint(name, known, "There are")
            problems.add(path, f"${{{{ {reference} }}}}: there is no step or parameter {name!r}. {told} {literal}")

    # --- dependencies ----------------------------------------------------------------------------------------------

    def _check_declared(self, step: StepDefinition) -> None:
        for needed in step.depends_on:
            if needed not in self.steps:
                graph.undeclared(step.name, needed, self.steps, self.problems)
        if joins.FAILED_OUTCOME in step.labels:
            path = ("steps", step.name, "outcomes")
            self.problems.add(
                path, f"{joins.FAILED_OUTCOME!r} is the outcome of a step that fails; name yours otherwise."
            )
        if step.outcomes and step.operator.labels:
            fixed = ", ".join(step.operator.labels)
            path = ("steps", step.name, "outcomes")
            self.problems.add(path, f"the outcomes of {step.operator.kind} are {fixed}; leave this out.")

    def _with_outcomes(self, step: StepDefinition) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The dependencies, with the outcome that is meant where none is named."""
        for name, outcomes in step.depends_on.items():
            source = self.steps.get(name)
            if source is None:
                continue  # told already
            path = ("steps", step.name, "depends_on", name)
            for outcome in outcomes:
                if outcome not in (*source.labels, joins.FAILED_OUTCOME):
                    known = f"It has {', '.join(source.labels)}." if source.labels else (
                        f"It has none; declare them: outcomes: [{outcome}, ...]."
                    )  # fmt: skip
                    close = hint(outcome, source.labels)
                    known = close if close.startswith("Did") else known
                    self.problems.add(path, f"step {name!r} has no outcome {outcome!r}. {known}")
            passing = source.operator.passing
            yield name, outcomes or ((passing,) if passing is not None else ())

    def _check_options(self, step: StepDefinition) -> None:
        operator = step.operator
        if not operator.lasts():
            return
        for name in step.options:
            if name not in _LASTING and not operator.has_steps:
                self.problems.add(
                    ("steps", step.name, name),
                    f"{name!r} is no option of a step that is {operator.kind}; it has {', '.join(sorted(_LASTING))}.",
                )

    # --- functions -------------------------------------------------------------------------------------------------

    def _resolved(self, step: StepDefinition) -> StepDefinition:
        """The step with its function at hand, and with a value for each of its parameters."""
        operator = step.operator
        setting = operator.target_setting
        if setting is None or setting not in operator.settings:
            return step
        base: Path = ("steps", step.name, operator.kind)
        given = self._functions.get(base) or self._functions.get((*base, setting))
        if given is None and not self._imports:
            return step
        try:
            found = given if given is not None else operator.load(operator.settings[setting])
            operator.bind(found)
        except NbflowError as error:
            self.problems.add(base, str(error))
            return step
        if operator.kind == "wait":
            return step
        function = found.spec.function if isinstance(found, (Step, Flow)) else found
        return self._bound(step, function)

    def _bound(self, step: StepDefinition, function: Any) -> StepDefinition:
        """Find values for parameters that have no input: by name, or the one dependency for the one that is missing."""
        told = signature(function)
        if told is None:
            return step
        kinds = inspect.Parameter
        taken = [
            each for each in told.parameters.values() if each.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        ]
        takes_more = any(each.kind is kinds.VAR_KEYWORD for each in told.parameters.values())
        inputs = dict(step.inputs)
        if not takes_more:
            self._check_inputs(step, [each.name for each in taken])
        needed = [name for name in step.depends_on if name in self.steps]
        for each in taken:
            if each.name not in inputs and each.name in (*needed, *self.parameters):
                inputs[each.name] = references.write(each.name)
        missing = [each.name for each in taken if each.name not in inputs and each.default is each.empty]
        used = _names_in([inputs, dict(step.operator.settings)])
        free = [name for name in needed if name not in used]
        if len(missing) == 1 and len(needed) == 1 and free:
            inputs[missing.pop()] = references.write(free.pop())
        if takes_more:
            inputs |= {name: references.write(name) for name in free if name not in inputs}
        if missing:
            names = " and ".join(repr(name) for name in missing)
            example = references.write(free[0] if free else "step")
            path = ("steps", step.name, "inputs") if step.inputs else ("steps", step.name)
            self.problems.add(
                path, f"step {step.name!r} has no value for {names}; give one: inputs: {{{missing[0]}: {example}}}."
            )
        return replace(step, inputs=inputs)

    def _check_inputs(self, step: StepDefinition, known: Sequence[str]) -> None:
        for name in step.inputs:
            if name not in known:
                told = hint(name, known, "It takes") or "It takes none."
                path = ("steps", step.name, "inputs", name)
                self.problems.add(path, f"{step.operator.settings.get(step.operator.kind)} takes no {name!r}. {told}")


def _names_in(value: Any) -> set[str]:
    """Names that references in a value begin with; those that cannot be read are told elsewhere."""
    found = set()
    for _, text in _texts(value, ()):
        for inner in references.between_braces(text):
            with suppress(NbflowError):
                found.add(references.parse(inner).name)
    return found


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """All texts in a value, with their paths."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key, (*path, key))
            yield from _texts(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _texts(item, (*path, position))
