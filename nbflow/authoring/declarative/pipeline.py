"""`Pipeline`: a declared flow, made of a dict or YAML, or step by step with `>>` in a `with` block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbflow.authoring.declarative.execution import PipelineFunction
from nbflow.authoring.declarative.model import Definition, Schedule, Trigger
from nbflow.authoring.declarative.nodes import Node, Nodes
from nbflow.authoring.declarative.operators.base import Operator
from nbflow.authoring.declarative.operators.functions import Function, SubFlow
from nbflow.authoring.declarative.reading import read
from nbflow.authoring.flow import RUN_OPTIONS, Flow
from nbflow.authoring.step import Step
from nbflow.model.errors import DefinitionError
from nbflow.model.names import check_name
from nbflow.model.specs import FlowSpec

if TYPE_CHECKING:
    from nbflow.views.graph import Picture


class Pipeline(Flow[..., Any]):
    """A flow whose steps are declared. It runs like any other; `definition` says what it is made of.

    with Pipeline("training", parameters={"source": "data.csv"}) as training:
        fetch = training.step(fetch_data)
        check = training.step(check_data, outcomes=["good", "bad"])
        fetch >> check
        check["good"] >> training.step(train) >> training.step(evaluate)
        check["bad"] >> training.step(notify)

    When the block ends, it is checked as a whole: PipelineError lists all mistakes.
    """

    definition: Definition

    def __init__(self, name: str, **sections: Any) -> None:
        """A pipeline that is filled in a `with` block.

        sections: parameters, description, defaults, output, schedule, triggers, tags, executor, workers, timeout and
        version, each as in YAML. Raises DefinitionError for a name that cannot be one.
        """
        self._data: dict[str, Any] = {"name": check_name(name, "flow"), **sections, "steps": {}}
        self._group = ""

    # --- made of something else ----------------------------------------------------------------------------------

    @classmethod
    def of(cls, definition: Definition, *, reference: str | None = None, source: str | None = None) -> Pipeline:
        """The flow of a definition. `reference`: where other processes find it; `source`: the text that it was."""
        made = cls.__new__(cls)
        made._finish(definition, reference, source)
        return made

    def _finish(self, definition: Definition, reference: str | None = None, source: str | None = None) -> None:
        taken = sorted(RUN_OPTIONS & {each.name for each in definition.parameters})
        if taken:
            raise DefinitionError(
                f"flow {definition.name!r} has a parameter {taken[0]!r}, which is an option of run(); rename it."
            )
        options = definition.options
        super().__init__(
            FlowSpec(
                name=definition.name,
                function=PipelineFunction(definition, source),
                parameters=definition.parameters,
                version=options.get("version"),
                executor=options.get("executor"),
                workers=options.get("workers"),
                tags=definition.tags,
                doc=definition.description,
                kind="pipeline",
                reference=reference,
                timeout=options.get("timeout"),
            )
        )

    # --- built step by step --------------------------------------------------------------------------------------

    def __enter__(self) -> Pipeline:
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("spec", "definition") and "_data" in vars(self):
            flow = self._data["name"]
            raise AttributeError(
                f"flow {flow!r} is not finished; add its steps in a block: with Pipeline({flow!r}) as made: ..."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish(read(self._data, f"flow {self._data['name']!r}"))

    def step(self, does: Any, name: str | None = None, **said: Any) -> Node:
        """Add a step, and return what stands for it.

        does: a function or `@step`, a flow (then it is a sub-flow), or an operator such as `Shell("make")`. name:
        default is that of the function or flow. said: inputs, depends_on, join, outcomes, outputs, options of `@step`
        and what else a step has in YAML; in inputs, other steps stand for their results.
        Raises DefinitionError if there is a step of this name, or no name.
        """
        if "spec" in vars(self):
            raise DefinitionError(f"flow {self.spec.name!r} is finished; add steps inside of its `with` block.")
        operator = _operator(does)
        name = name or _name(does)
        if name is None:
            raise DefinitionError(f'a step that is {does!r} needs a name: step(..., name="load").')
        if name in self._data["steps"]:
            raise DefinitionError(f"There are two steps {name!r}; give one of them another name=...")
        settings: Any = operator.settings
        if operator.target_setting is not None and not isinstance(does, Operator):
            settings = does  # the object itself, which becomes module:name
        elif operator.target_setting == operator.kind:
            settings = operator.settings.get(operator.kind)  # whose only setting it is
        group = {"group": self._group} if self._group else {}
        before = said.pop("depends_on", ())
        data = {operator.kind: settings, **group, **{key: _written(value) for key, value in said.items()}}
        self._data["steps"][name] = data
        made = Node(name, data)
        for each in before if isinstance(before, (list, tuple, set, frozenset)) else [before]:
            made.after_what(each)
        return made

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Steps that are added in this block are drawn in one box."""
        before, self._group = self._group, name
        try:
            yield
        finally:
            self._group = before

    def all(self, *nodes: Node) -> Nodes:
        """Several steps as one side of `>>`, where both sides are several."""
        return Nodes(nodes)

    # --- what it says --------------------------------------------------------------------------------------------

    @property
    def schedule(self) -> Schedule | None:
        """When it asks to be run; promoting it does so."""
        return self.definition.schedule

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """What it asks to be started by."""
        return self.definition.triggers

    def to_dict(self) -> dict[str, Any]:
        """The flow as data: `from_dict` makes an equal one of it."""
        return self.definition.data()

    def to_yaml(self) -> str:
        """The flow as YAML: `from_yaml` makes an equal one of it."""
        from nbflow.authoring.declarative.yaml_text import write

        return write(self.definition.data())

    def dry_run(self, fakes: Mapping[str, Any] | None = None, **parameters: Any) -> Any:
        """Run nothing and record nothing, but go the way of a run with fakes in the place of steps.

        fakes: for each step a value, an `Outcome`, a function of its inputs, or an exception to fail with. A step
        without a fake gives None, or its first outcome. Returns a `DryRun` that says what would have run.
        """
        from nbflow.authoring.declarative.dry import dry_run

        return dry_run(self, fakes or {}, parameters)

    def graph(self) -> Picture:
        """The declared steps as a picture, before any run; nested tasks and groups are boxes."""
        from nbflow.authoring.declarative.picture import declared_picture

        return declared_picture(self.definition)

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, in whatever form they were written."""
        return self.definition == other.definition if isinstance(other, Pipeline) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.definition)

    def __reduce__(self) -> Any:
        return _rebuild, (self.definition, self.spec.reference, self.source)

    @property
    def source(self) -> str | None:
        """The YAML that it was read from; None for other forms."""
        found: PipelineFunction = self.spec.function  # type: ignore[assignment]
        return found.source


def _rebuild(definition: Definition, reference: str | None, source: str | None) -> Pipeline:
    return Pipeline.of(definition, reference=reference, source=source)


def _operator(does: Any) -> Operator:
    if isinstance(does, Operator):
        return does
    return SubFlow("") if isinstance(does, Flow) else Function("")


def _name(does: Any) -> str | None:
    if isinstance(does, (Step, Flow)):
        return does.spec.name
    if isinstance(does, Operator):
        return None
    found: str | None = getattr(does, "__name__", None)
    return found


def _written(value: Any) -> Any:
    """What a step was given, with names and references in the place of other steps."""
    if isinstance(value, Node):
        return value.reference
    if isinstance(value, Mapping):
        return {_key(key): _written(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and not isinstance(value, str):
        return [_written(item) for item in value]
    return value


def _key(key: Any) -> Any:
    return key.name if isinstance(key, Node) else key


def from_dict(data: Mapping[str, Any], /) -> Pipeline:
    """Make a flow of data: `name`, `steps` and the other sections of YAML; functions may stand in it as they are.

    Raises PipelineError, which lists all mistakes, or CycleError.
    """
    name = data.get("name", "flow")
    return Pipeline.of(read(data, f"flow {name!r}"))
