"""A notebook as a flow: its cells become steps that the one engine runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import xxhash

from nbflow.analysis.cells import Notebook, from_content, read_notebook, with_injected
from nbflow.analysis.facts import HISTORY, OPAQUE, OUTSIDE, PATCH, RANDOM, SETTINGS
from nbflow.analysis.parameters import check_parameters, injected_source, parameters_of
from nbflow.analysis.plan import Amendments, Plan, PlannedStep, make_plan
from nbflow.analysis.statements import analyse
from nbflow.analysis.steps import StepCells
from nbflow.authoring.cells.records import CellSource, CellsWork, CellValues, Report
from nbflow.authoring.cells.runner import run_cells
from nbflow.authoring.flow import RUN_OPTIONS, Flow
from nbflow.authoring.patterns import wait
from nbflow.authoring.step import Step
from nbflow.client.executed import executed_notebook, write_notebook
from nbflow.client.run import Run
from nbflow.engine.placeholders import Placeholder, is_placeholder, task_of
from nbflow.model.errors import NotebookError
from nbflow.model.policies import NO_CACHE, NO_RETRY, Cache, Retry
from nbflow.model.records import LogRecord
from nbflow.model.specs import FlowSpec, StepSpec
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
    return _Execution(notebook).run()


def injected(notebook: Notebook, parameters: Mapping[str, Any]) -> Notebook:
    """The notebook with a cell that sets `parameters`; the same if there are none."""
    if not parameters:
        return notebook
    return from_content(with_injected(notebook.content, injected_source(parameters)), notebook.path)


class _Execution:
    """One run of a notebook's flow function. Deterministic: what it does follows from the steps' results only."""

    def __init__(self, notebook: Notebook) -> None:
        self.cells = notebook.cells
        self.facts = analyse(notebook.cells)
        self.learned = Amendments()
        self.tasks: dict[Any, Any] = {}  # what was asked → placeholder
        self.keys: dict[int, str] = {}  # id of a placeholder → key of its task
        self.calls: dict[str, int] = {}
        self.outside: dict[int, str] = {}  # cells that ran and did something outside → what

    def run(self) -> FinalValues:
        """Run until a plan was carried out that no step contradicts."""
        while True:
            plan = make_plan(self.cells, self.facts, self.learned)
            placeholders, fresh = self._submit(plan)
            if not fresh:
                return self._final(plan, placeholders)
            if not self._look(plan, placeholders):
                return self._final(plan, placeholders)

    def _submit(self, plan: Plan) -> tuple[list[Any], bool]:
        placeholders: list[Any] = []
        fresh = False
        for planned in plan.steps:
            work = work_of(planned)
            inputs = [placeholders[source] for source in planned.sources]
            asked = (work, tuple(id(placeholder) for placeholder in inputs))
            if asked not in self.tasks:
                self._refuse_repetition(planned)
                fresh = True
                run_step: Step[..., Any] = Step(_spec(planned.step, work))
                self.tasks[asked] = run_step(work, *inputs)
                number = self.calls[work.name] = self.calls.get(work.name, 0) + 1
                self.keys[id(self.tasks[asked])] = f"{work.name}#{number}"
            placeholders.append(self.tasks[asked])
        return placeholders, fresh

    def _look(self, plan: Plan, placeholders: list[Any]) -> bool:
        """Learn from the results; whether there is anything to plan anew."""
        amended = False
        for planned, placeholder in zip(plan.steps, placeholders, strict=True):
            try:
                found = _result(placeholder)
            except Exception:
                if amended:  # it may have run with a wrong value
                    return True
                raise
            if found.report.amends:
                amended = True
                self._learn(plan, planned, found.report)
            if OUTSIDE in planned.effects and not (found.report.blocked or found.report.waits):
                for cell in planned.step.cells:
                    self.outside[cell.number] = planned.step.facts.effects[OUTSIDE].reason
        return amended

    def _learn(self, plan: Plan, planned: PlannedStep, report: Report) -> None:
        number = planned.step.cells[0].number
        self.learned.changes.setdefault(number, set()).update(report.changed)
        self.learned.reads.setdefault(number, set()).update(report.missing)
        self.learned.defines.setdefault(number, set()).update(report.defined)
        self.learned.effects.setdefault(number, set()).update(report.effects)
        for edge in planned.takes:
            if edge.name in report.blocked:
                self.learned.fused.add((plan.steps[edge.source].step.cells[0].number, planned.step.cells[-1].number))

    def _refuse_repetition(self, planned: PlannedStep) -> None:
        for cell in planned.step.cells:
            if cell.number in self.outside:
                raise NotebookError(
                    f"cell {cell.number} would have to run again, since a step needs a value that cannot travel or was "
                    f"changed unexpectedly; it has an effect on the outside ({self.outside[cell.number]}), so it "
                    f"is not repeated. Make one step of the cells that belong together: begin each with "
                    f"%%step {planned.step.name}.",
                    cell=cell.number,
                )

    def _final(self, plan: Plan, placeholders: list[Any]) -> FinalValues:
        tasks = {name: self.keys[id(placeholders[source])] for name, source in plan.final.items()}
        for placeholder in placeholders:
            found = _result(placeholder)
            for piece in found.pieces:
                for name in piece.names:
                    tasks.setdefault(name, self.keys[id(placeholder)])
            for name in found.absent:
                if tasks.get(name) == self.keys[id(placeholder)]:
                    del tasks[name]
        return FinalValues(tasks)


def _result(placeholder: Any) -> CellValues:
    """The result behind a placeholder, which itself stays untouched.

    The engine has to check a value that the flow function held in its hands before it hands it on; these can be large.
    """
    if is_placeholder(placeholder):
        return cast("CellValues", wait(Placeholder(task_of(placeholder), placeholder._self_resolve)))
    return cast("CellValues", placeholder)


def work_of(planned: PlannedStep) -> CellsWork:
    """What a planned step asks of the process that runs it."""
    position = {source: index for index, source in enumerate(planned.sources)}
    effects = planned.effects
    return CellsWork(
        name=planned.step.name,
        cells=tuple(CellSource(cell.number, cell.source) for cell in planned.step.cells),
        takes=tuple((edge.name, position[edge.source]) for edge in planned.takes),
        gives=planned.gives,
        gives_all=OPAQUE in effects,
        before=planned.before,
        random_from=position[planned.random_from] if planned.random_from is not None else None,
        gives_random=bool(effects & {RANDOM, OPAQUE}),
        settings_from=position[planned.settings_from] if planned.settings_from is not None else None,
        gives_settings=bool(effects & {SETTINGS, OPAQUE, PATCH}),
        history=HISTORY in effects,
    )


def _spec(step: StepCells, work: CellsWork) -> StepSpec:
    options = step.options
    return StepSpec(
        name=step.name,
        function=run_cells,
        retry=Retry(retries=options.retries, delays=(options.delay,)) if options.retries else NO_RETRY,
        timeout=options.timeout,
        cache=Cache(enabled=True) if options.cache else NO_CACHE,
        executor=options.executor,
        identity=xxhash.xxh3_128_hexdigest(repr(work.cells).encode("utf-8", "surrogatepass")),
        kind="cells",
    )
