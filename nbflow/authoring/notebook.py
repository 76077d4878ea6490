"""A notebook as a flow: its cells become steps that the one engine runs."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.analysis.cells import Cell, Notebook, from_content, read_notebook, with_injected
from nbflow.analysis.facts import CellFacts
from nbflow.analysis.parameters import check_parameters, injected_source, parameters_of
from nbflow.analysis.plan import Amendments, make_plan
from nbflow.analysis.statements import analyse
from nbflow.authoring.cells.execution import execute
from nbflow.authoring.cells.records import CellValues, Piece
from nbflow.authoring.explain import Explanation, PlanView
from nbflow.authoring.flow import RUN_OPTIONS, Flow
from nbflow.client.executed import executed_notebook, write_notebook
from nbflow.client.run import Run
from nbflow.model.errors import NotebookError
from nbflow.model.records import LogRecord
from nbflow.model.specs import FlowSpec
from nbflow.views.graph import Picture

_AT_HAND = 8  # results of tasks that are not read again for each of their names
_REFERENCE = "nbflow.authoring.notebook:from_notebook@"


class NotebookFlow(Flow[..., Any]):
    """A flow made of a notebook. Runs like any other; `plan()` says which step takes what from which."""

    def __init__(self, notebook: Notebook, part: Part | None = None) -> None:
        """`part`: what to run of it, and with what, where that is not the whole notebook from scratch."""
        self.notebook = notebook
        self.part = part or Part()
        path = Path(notebook.path)
        super().__init__(
            FlowSpec(
                name=path.stem.replace(":", "-") if path.stem[:1].isalpha() else f"notebook-{path.stem}",
                function=NotebookFunction(json.dumps(notebook.content), notebook.path, self.part),
                parameters=parameters_of(notebook.cells),
                executor="processes",
                doc=f"The notebook {path.name}.",
                kind="notebook",
                reference=f"{_REFERENCE}{path.resolve()}" if part is None else None,
            )
        )

    def plan(self) -> PlanView:
        """The graph of steps, as far as it is known before the run: a table and a picture, with the reasons."""
        cells, facts = self.part.of(self.notebook.cells)
        plan = make_plan(cells, facts, copy.deepcopy(self.part.learned), self.part.groups())
        return PlanView(plan, self.spec.name)

    def graph(self) -> Picture:
        """The plan as a picture; pointing at a step tells what it takes and why."""
        return self.plan().picture()

    def explain(self, step: str) -> Explanation:
        """What a step takes from which other, why, and what it does; `step` is a name or the number of a cell.

        Raises UnknownStepError if there is none of that name.
        """
        return self.plan().explain(step)

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
        return super().__call__(**self.checked(parameters))

    def run(self, **parameters: Any) -> Run:
        """Run the notebook now with other parameters than it sets, and return the finished `Run`."""
        return super().run(**self.checked(parameters))

    def submit(self, **parameters: Any) -> Run:
        """Start the notebook and return its live `Run`."""
        return super().submit(**self.checked(parameters))

    def __reduce__(self) -> Any:
        """By the path of the notebook; by value where it is not run as it is there."""
        if self.spec.reference is None:
            return NotebookFlow, (self.notebook, self.part)
        return from_notebook, (self.notebook.path,)

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters, and options of a run, in the types that the notebook declares. Raises ParameterError."""
        options = {name: value for name, value in given.items() if name in RUN_OPTIONS}
        values = {name: value for name, value in given.items() if name not in RUN_OPTIONS}
        return {**options, **check_parameters(self.spec.parameters, values, self.notebook.path)}


def from_notebook(path: str | Path) -> NotebookFlow:
    """Make a flow of a notebook.

    Raises NotANotebookError if the file is none that can be run, CellSyntaxError for a cell that is not Python, and
    DefinitionError for a %%step line that cannot be read.
    """
    return NotebookFlow(read_notebook(path))


@dataclass(frozen=True)
class Part:
    """What of a notebook is run, and with what."""

    only: tuple[int, ...] | None = None  # numbers of the cells that run; None: all
    given: CellValues | None = None  # values that are there before the first cell
    learned: Amendments | None = None  # what was seen of its cells in a kernel

    def of(self, cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], tuple[CellFacts, ...]]:
        """Of the notebook's cells, those that run, and what each may do, as the whole notebook tells it."""
        chosen = [
            (cell, facts)
            for cell, facts in zip(cells, analyse(cells), strict=True)
            if self.only is None or cell.number in self.only
        ]
        return tuple(cell for cell, _ in chosen), tuple(facts for _, facts in chosen)

    def groups(self) -> list[tuple[str, ...]]:
        """The names that are given, those together that share objects."""
        return [piece.names for piece in self.given.pieces] if self.given is not None else []


class NotebookFunction:
    """The flow function of one notebook, with the notebook as it was."""

    def __init__(self, text: str, path: str, part: Part | None = None) -> None:
        self.text = text  # JSON
        self.path = path
        self.part = part or Part()

    def __call__(self, **parameters: Any) -> FinalValues:
        """Run the notebook."""
        notebook = injected(from_content(json.loads(self.text), self.path), parameters)
        part = self.part
        return FinalValues(execute(*part.of(notebook.cells), part.given, copy.deepcopy(part.learned)))

    def content(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The notebook's content, with a cell that sets `parameters` if there are any."""
        return injected(from_content(json.loads(self.text), self.path), parameters).content


class FinalValues:
    """What a notebook run comes to: for each name, the task that holds its final value."""

    def __init__(self, tasks: dict[str, str]) -> None:
        self.tasks = tasks  # name → key of the task

    def bind(self, fetch: Callable[[str], CellValues]) -> Mapping[str, Any]:
        """The values themselves, each loaded when it is looked at; `fetch` returns the result of the task of a key."""
        return _Values(self.tasks, functools.lru_cache(maxsize=_AT_HAND)(fetch))

    def load_into(self, names: dict[str, Any], fetch: Callable[[str], CellValues]) -> list[str]:
        """Bind the values in a namespace, such as a kernel's; functions and classes then belong to it.

        Returns the names whose values could not be kept.
        """
        from nbflow.authoring.cells import travel

        namespace = travel.Namespace("values", names)
        found = {key: fetch(key) for key in dict.fromkeys(self.tasks.values())}
        missing = []
        pieces: dict[int, tuple[Piece, list[str]]] = {}
        for name, key in self.tasks.items():
            piece = found[key].piece(name)
            if piece is None:
                missing.append(name)
            else:
                pieces.setdefault(id(piece), (piece, []))[1].append(name)
        for piece, mine in pieces.values():
            travel.load(namespace, piece, mine)
        return missing

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

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


def final_value(found: CellValues, name: str) -> Any:
    """The final value of `name`, out of the result of the task that holds it.

    Raises NotebookError if it could not be kept, or cannot be loaded in this process.
    """
    from nbflow.authoring.cells import travel

    piece = found.piece(name)
    if piece is None:
        why = found.stuck.get(name, "it is not bound when the notebook ends")
        raise NotebookError(
            f"{name} has no value that could be kept: {why}. Keep what you need of it under another name.", name=name
        )
    namespace = travel.Namespace("values")
    try:
        travel.load(namespace, piece, [name])
    except Exception as error:
        raise NotebookError(
            f"the value of {name} cannot be loaded in this process: {type(error).__name__}: {error}. If a module is "
            "missing, make it importable here: install it, or add its folder to sys.path.",
            name=name,
        ) from error
    return namespace.globals[name]


def injected(notebook: Notebook, parameters: Mapping[str, Any]) -> Notebook:
    """The notebook with a cell that sets `parameters`; the same if there are none."""
    if not parameters:
        return notebook
    return from_content(with_injected(notebook.content, injected_source(parameters)), notebook.path)
