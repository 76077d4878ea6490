"""A notebook as a flow: its cells become steps that the one engine runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbflow.analysis.cells import Notebook, from_content, read_notebook, with_injected
from nbflow.analysis.parameters import check_parameters, injected_source, parameters_of
from nbflow.analysis.plan import Plan, make_plan
from nbflow.analysis.statements import analyse
from nbflow.authoring.cells.execution import execute
from nbflow.authoring.cells.records import CellValues
from nbflow.authoring.flow import RUN_OPTIONS, Flow
from nbflow.client.executed import executed_notebook, write_notebook
from nbflow.client.run import Run
from nbflow.model.errors import NotebookError
from nbflow.model.records import LogRecord
from nbflow.model.specs import FlowSpec
from nbflow.views.graph import Node, Picture

_REFERENCE = "nbflow.authoring.notebook:from_notebook@"


class NotebookFlow(Flow[..., Any]):
    """A flow made of a notebook. Runs like any other; `plan()` says which step takes what from which."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        path = Path(notebook.path)
        super().__init__(
            FlowSpec(
                name=path.stem.replace(":", "-") if path.stem[:1].isalpha() else f"notebook-{path.stem}",
                function=NotebookFunction(json.dumps(notebook.content), notebook.path),
                parameters=parameters_of(notebook.cells),
                executor="processes",
                doc=f"The notebook {path.name}.",
                kind="notebook",
                reference=f"{_REFERENCE}{path.resolve()}",
            )
        )

    def plan(self) -> Plan:
        """The graph of steps, as far as it is known before the run."""
        return make_plan(self.notebook.cells, analyse(self.notebook.cells))

    def graph(self) -> Picture:
        """The plan as a picture; pointing at a step tells what it takes and why."""
        plan = self.plan()
        nodes = [
            Node(
                id=str(number),
                label=planned.step.name,
                hint="\n".join(edge.reason for edge in planned.takes),
                upstream=tuple(map(str, planned.sources)),
            )
            for number, planned in enumerate(plan.steps)
        ]
        return Picture(nodes, self.spec.name)

    def save(self, logs: Iterable[LogRecord], path: str | Path, parameters: Mapping[str, Any] | None = None) -> None:
        """Write the executed notebook of a run: `logs` are the run's, `parameters` those that were set for it."""
        by_task: dict[str, list[LogRecord]] = {}
        for record in logs:
            by_task.setdefault(str(record.seq), []).append(record)
        write_notebook(executed_notebook(injected(self.notebook, parameters or {}).content, by_task), path)

    def parameters_from_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Parameters from a command line, in the types that the notebook declares."""
        return check_parameters(self.spec.parameters, texts, self.notebook.path, texts=True)

    def __call__(self, **parameters: Any) -> Any:
        """Run the notebook now; raises what a cell raises."""
        return super().__call__(**self._checked(parameters))

    def run(self, **parameters: Any) -> Run:
        """Run the notebook now with other parameters than it sets, and return the finished `Run`."""
        return super().run(**self._checked(parameters))

    def submit(self, **parameters: Any) -> Run:
        """Start the notebook and return its live `Run`."""
        return super().submit(**self._checked(parameters))

    def __reduce__(self) -> Any:
        """By the path of the notebook."""
        return from_notebook, (self.notebook.path,)

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        options = {name: value for name, value in given.items() if name in RUN_OPTIONS}
        values = {name: value for name, value in given.items() if name not in RUN_OPTIONS}
        return {**options, **check_parameters(self.spec.parameters, values, self.notebook.path)}


def from_notebook(path: str | Path) -> NotebookFlow:
    """Make a flow of a notebook.

    Raises NotANotebookError if the file is none that can be run, CellSyntaxError for a cell that is not Python, and
    DefinitionError for a %%step line that cannot be read.
    """
    return NotebookFlow(read_notebook(path))


class NotebookFunction:
    """The flow function of one notebook, with the notebook as it was."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text  # JSON
        self.path = path

    def __call__(self, **parameters: Any) -> FinalValues:
        """Run the notebook."""
        return run_notebook(self.text, self.path, **parameters)

    def content(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The notebook's content, with a cell that sets `parameters` if there are any."""
        return injected(from_content(json.loads(self.text), self.path), parameters).content


class FinalValues:
    """What a notebook run comes to: for each name, the task that holds its final value."""

    def __init__(self, tasks: dict[str, str]) -> None:
        self.tasks = tasks  # name → key of the task

    def bind(self, fetch: Callable[[str], CellValues]) -> Mapping[str, Any]:
        """The values themselves, each loaded when it is looked at; `fetch` returns the result of the task of a key."""
        return _Values(self.tasks, fetch)

    def __repr__(self) -> str:
        return f"<final values of {', '.join(sorted(self.tasks)) or 'no names'}>"


class _Values(Mapping[str, Any]):
    def __init__(self, tasks: Mapping[str, str], fetch: Callable[[str], CellValues]) -> None:
        self._tasks = tasks
        self._fetch = fetch

    def __getitem__(self, name: str) -> Any:
        if name not in self._tasks:
            raise KeyError(name)
        return final_value(self._fetch(self._tasks[name]), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


def final_value(found: CellValues, name: str) -> Any:
    """The final value of `name`, out of the result of the task that holds it.

    Raises NotebookError if it could not be kept.
    """
    from nbflow.authoring.cells import travel

    piece = found.piece(name)
    if piece is None:
        why = found.stuck.get(name, "it is not bound when the notebook ends")
        raise NotebookError(
            f"{name} has no value that could be kept: {why}. Keep what you need of it under another name.", name=name
        )
    namespace = travel.Namespace("values")
    travel.load(namespace, piece, [name])
    return namespace.globals[name]


def run_notebook(text: str, path: str, **parameters: Any) -> FinalValues:
    """The flow function of every notebook: plan, run, and plan again where a step found out more than was planned."""
    notebook = injected(from_content(json.loads(text), path), parameters)
    return FinalValues(execute(notebook.cells))


def injected(notebook: Notebook, parameters: Mapping[str, Any]) -> Notebook:
    """The notebook with a cell that sets `parameters`; the same if there are none."""
    if not parameters:
        return notebook
    return from_content(with_injected(notebook.content, injected_source(parameters)), notebook.path)
