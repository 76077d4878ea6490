"""Steps that call a function, or run another flow inside of this one."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from nbflow.authoring.declarative.operators.base import Operator
from nbflow.authoring.flow import Flow
from nbflow.authoring.step import Step
from nbflow.model.errors import DefinitionError
from nbflow.model.specs import StepSpec
from nbflow.values.identity import code_digest


class Function(Operator, kind="function", main="function"):
    """A function of Python, called with the step's inputs by name. A `@step` brings its options with it."""

    target_setting = "function"
    target: Callable[..., Any]  # bound before it runs
    own: StepSpec | None = None  # of the `@step` that is called

    def load(self, name: str) -> Any:
        """The function or step of this name."""
        return load(name)

    def bind(self, found: Any) -> None:
        """Have `found`, a function or a step, be what is called. Raises DefinitionError for anything else."""
        if isinstance(found, Flow):
            raise DefinitionError(f"{found!r} is a flow, not a function; name it with `flow` instead of `function`.")
        if not callable(found):
            raise DefinitionError(f"{self.settings['function']} is a {type(found).__name__}, which cannot be called.")
        self.bound = found
        self.own = found.spec if isinstance(found, Step) else None
        self.target = found.spec.function if isinstance(found, Step) else found

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Call the function."""
        parameters = signature(self.target)
        if parameters is None:
            return self.target(**inputs)
        first = [each.name for each in parameters.parameters.values() if each.kind is each.POSITIONAL_ONLY]
        given = [inputs[name] for name in first if name in inputs]
        return self.target(*given, **{name: value for name, value in inputs.items() if name not in first})

    def identity(self) -> str:
        """Digest of the function's code."""
        return code_digest(self.target)


class SubFlow(Operator, kind="flow", main="flow"):
    """Another flow as one step: one entry in this flow's history, with a history of its own."""

    target_setting = "flow"
    target: Flow[..., Any]  # bound before it runs

    def load(self, name: str) -> Any:
        """The flow of this name: module:name, or a YAML file."""
        if name.endswith((".yaml", ".yml")):
            from nbflow.authoring.declarative.yaml_files import from_yaml

            return from_yaml(name)
        return load(name)

    def bind(self, found: Any) -> None:
        """Have `found`, a flow, be what is run. Raises DefinitionError for anything else."""
        if not isinstance(found, Flow):
            raise DefinitionError(f"{self.settings['flow']} is no flow; name a function with `function` instead.")
        self.bound = self.target = found

    def lasts(self) -> bool:
        """Flow functions wait for their steps."""
        return True

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Run the flow function as a part of this run."""
        return self.target.spec.function(**inputs)

    def identity(self) -> str:
        """Digest of the flow's code."""
        return code_digest(self.target.spec.function)


def signature(function: Any) -> inspect.Signature | None:
    """The signature of something to call; None if it does not tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def name_of(function: Any) -> str:
    """`module:name` of a function, step or flow."""
    target = function.spec.function if isinstance(function, (Step, Flow)) else function
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}:{named.__qualname__}"


def load(reference: str) -> Any:
    """The object that `module:name` names. Raises DefinitionError that says what is missing."""
    module, _, name = reference.partition(":")
    if not module or not name:
        raise DefinitionError(f"{reference!r} names no function; write module:function, for example shop.steps:clean.")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise DefinitionError(f"module {module!r} cannot be imported: {error}.") from error
    except Exception as error:  # whatever a user's module may raise while it is imported
        raise DefinitionError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}.") from error
    for part in name.split("."):
        if not hasattr(found, part):
            from nbflow.authoring.declarative.problems import hint

            known = [each for each, value in vars(found).items() if callable(value) and not each.startswith("_")]
            raise DefinitionError(f"{module} has no {name!r}. {hint(name, sorted(known)[:12])}")
        found = getattr(found, part)
    return found
