"""Freezing: a notebook's recorded run becomes fixtures, one for each step."""

from __future__ import annotations

import ast
import os
import pickle
import platform
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import xxhash

from nbflow.analysis.cells import Cell, Notebook, from_content
from nbflow.analysis.plan import Plan, PlannedStep, make_plan
from nbflow.analysis.statements import analyse
from nbflow.authoring.cells import travel
from nbflow.authoring.cells.records import CellsWork, CellValues, Piece
from nbflow.authoring.notebook import from_notebook
from nbflow.authoring.replay import fixtures, portable
from nbflow.authoring.replay.child import only_new_figures_closed
from nbflow.authoring.replay.fixtures import FrozenStep, Manifest, Recorded
from nbflow.authoring.replay.shown import shown
from nbflow.client.run import Run, find
from nbflow.client.task import Task
from nbflow.model.errors import NbflowError, NotebookError, RunFailedError, UnknownStepError
from nbflow.model.events import Listener
from nbflow.model.states import State
from nbflow.values.compare import type_name


@dataclass(frozen=True, slots=True)
class _Ran:
    """A finished run of a notebook, as freezing needs it."""

    run: Run
    notebook: Notebook  # as it ran, with the cell that set parameters
    plan: Plan  # from its source alone
    folder: Path  # where it ran
    fresh: bool  # whether this process ran it just now


def freeze(
    notebook: str | Path,
    *,
    run: str | None = None,
    steps: Collection[str] = (),
    parameters: Mapping[str, Any] | None = None,
    db: str | None = None,
    listeners: Iterable[Listener] = (),
) -> Manifest:
    """Run a notebook and freeze what its steps take and give in the folder `NAME.frozen` beside it.

    `run` names a finished run to take instead. `steps` are the names of those to freeze; the others stay as they were
    frozen before. Returns the manifest, whose `left_out` says which steps cannot be frozen and why. The folder is to be
    trusted like code: replaying it unpickles what is in it.

    Raises RunFailedError if the run failed, NotebookError if it is one of another notebook, and UnknownStepError for a
    step that is not there.
    """
    ran = _past(notebook, run, db) if run is not None else _run_now(notebook, parameters or {}, db, listeners)
    folder = fixtures.frozen_folder(notebook)
    tasks = final_tasks(ran.run)
    _check_names(steps, tasks, ran.run)
    manifest = _manifest(ran, notebook)
    before = _kept(folder, manifest, steps)
    folder.mkdir(exist_ok=True)
    for task in tasks:
        if steps and task.name not in steps:
            manifest.left_out[task.name] = "it was not chosen"
            continue
        found = _freeze_step(ran, task, folder)
        if isinstance(found, str):
            manifest.left_out[task.name] = found
        else:
            manifest.steps.append(found)
    _take_over(manifest, before)
    fixtures.write_manifest(folder, manifest)
    return manifest


def planned(notebook: Notebook) -> Plan:
    """The plan of a notebook from its source alone."""
    return make_plan(notebook.cells, analyse(notebook.cells))


def taken(steps: Sequence[PlannedStep], plan: Plan) -> list[str]:
    """The names that planned steps, run as one, take from others."""
    own = {position for position, one in enumerate(plan.steps) if any(one is step for step in steps)}
    return sorted({edge.name for step in steps for edge in step.takes if edge.source not in own})


def final_tasks(run: Run) -> list[Task]:
    """The tasks of a notebook run whose results count, in page order.

    A step that found out what the plan did not say is run again, or as one with another; those tasks count no more.
    """
    counted: set[int] = set()
    found: list[tuple[int, Task]] = []
    for task in reversed([task for task in run.tasks() if task.record.kind == "cells"]):
        if task.state is not State.SUCCEEDED:
            continue
        work, *_ = task.inputs()[0]
        numbers = {cell.number for cell in work.cells}
        if not numbers & counted and not task.result().report.amends:
            counted |= numbers
            found.append((min(numbers), task))
    return [task for _, task in sorted(found, key=lambda pair: pair[0])]


def source_digest(sources: Iterable[str]) -> str:
    """A digest of the cells of a step."""
    return xxhash.xxh3_128_hexdigest("\0".join(sources).encode("utf-8", "surrogatepass"))


def _run_now(path: str | Path, parameters: Mapping[str, Any], db: str | None, listeners: Iterable[Listener]) -> _Ran:
    flow = from_notebook(path)
    options: dict[str, Any] = {"db": db} if db is not None else {}
    run = flow.run(**parameters, **options, listeners=tuple(listeners))
    return _ran(run, path, Path.cwd(), fresh=True)


def _past(path: str | Path, text: str, db: str | None) -> _Ran:
    run = find(text, db=db)
    if run.notebook is None or Path(run.notebook) != Path(path).resolve():
        other = f"the notebook {run.notebook}" if run.notebook else f"flow {run.flow!r}, which is no notebook"
        raise NotebookError(f"Run {run.id} is a run of {other}. Name a run of {path}: nbflow runs lists them.")
    return _ran(run, path, Path(run.record.cwd), fresh=False)


def _ran(run: Run, path: str | Path, folder: Path, *, fresh: bool) -> _Ran:
    if run.state is not State.SUCCEEDED:
        raise RunFailedError(
            f"Run {run.id} of {path} is {run.state}, so there is nothing to freeze.\n{run.explanation()}\n"
            f"Go on with it and freeze then: nbflow resume {run.id}; nbflow test {path} --freeze --run {run.id}"
        )
    version = run._version()
    assert version is not None, "a run of a notebook stores it"
    assert version.code is not None, "a run of a notebook stores its content"
    values, record = run._values, run.record
    function = values.get(values.unseal_stored(version.code)).function
    parameters = values.get(values.unseal_stored(record.inputs))[1] if record.inputs is not None else {}
    notebook = from_content(function.content(parameters), str(path))
    return _Ran(run, notebook, planned(notebook), folder, fresh)


def _check_names(steps: Collection[str], tasks: Sequence[Task], run: Run) -> None:
    known = [task.name for task in tasks]
    for name in steps:
        if name not in known:
            raise UnknownStepError(f"Run {run.id} has no step {name!r} to freeze. Its steps: {', '.join(known)}.")


def _manifest(ran: _Ran, path: str | Path) -> Manifest:
    cells = ran.notebook.content["cells"]
    tagged = (cell["source"] for cell in cells if "injected-parameters" in cell.get("metadata", {}).get("tags", ()))
    # With parameters given, the cell is nbflow's; a notebook of papermill's may bring one of its own, which stays.
    return Manifest(
        notebook=Path(path).name,
        folder=Path(os.path.relpath(ran.folder, Path(path).resolve().parent)).as_posix(),
        injected=next(tagged, None) if ran.run.parameters else None,
        python=platform.python_version(),
        nbflow=metadata.version("nbflow"),
        packages=_packages(ran.notebook.cells),
    )


def _packages(cells: Iterable[Cell]) -> dict[str, str]:
    """The versions of the packages that the cells import."""
    modules: set[str] = set()
    for node in (node for cell in cells for node in ast.walk(cell.tree)):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    known = metadata.packages_distributions()
    names = {name for module in modules - sys.stdlib_module_names for name in known.get(module, ())}
    return {name: metadata.version(name) for name in sorted(names)}


def _kept(folder: Path, manifest: Manifest, steps: Collection[str]) -> Manifest | None:
    """What was frozen before and stays, as only some steps are frozen now."""
    if not steps or not (folder / fixtures.MANIFEST).exists():
        return None
    before = fixtures.read_manifest(folder)
    if (before.injected, before.folder) != (manifest.injected, manifest.folder):
        raise NotebookError(
            f"{folder} was frozen with other parameters or in another working folder, so that single steps cannot be "
            f"put beside the others. Freeze all of them, without --step."
        )
    return before


def _take_over(manifest: Manifest, before: Manifest | None) -> None:
    """Keep what was frozen before of the steps that were not frozen now."""
    if before is None:
        return
    done = {step.name for step in manifest.steps}
    for step in before.steps:
        if step.name not in done:
            manifest.steps.append(step)
            manifest.left_out.pop(step.name, None)
    manifest.steps.sort(key=lambda step: step.cells)


def _freeze_step(ran: _Ran, task: Task, folder: Path) -> FrozenStep | str:
    """Freeze one step; returns why if it cannot be."""
    arguments, result = task.inputs()[0], task.result()
    work, inputs = arguments[0], arguments[1:]
    for name, index in work.takes:
        if name in inputs[index].stuck:
            return f"its input {name} cannot be kept: {inputs[index].stuck[name]}"
    try:
        with only_new_figures_closed(), _importing(inputs, result):
            recorded = _recorded(ran, task, work, inputs, result)
            described = _described(recorded)
        file, sha256 = fixtures.write_step(folder, task.name, recorded)
    except NbflowError as error:
        return str(error)
    except Exception as error:  # unpickling runs code of the user and of libraries
        return f"what it takes or gives cannot be loaded again: {type(error).__name__}: {error}"
    numbers = [cell.number for cell in work.cells]
    parts = [one for one in ran.plan.steps if one.step.cells[0].number in numbers]
    return FrozenStep(
        name=task.name,
        file=file,
        sha256=sha256,
        parts=[one.step.name for one in parts],
        cells=numbers,
        source=source_digest(cell.source for cell in work.cells),
        takes=taken(parts, ran.plan),
        inputs=described[0],
        outputs=described[1],
        stuck=dict(result.stuck),
        seconds=task.duration,
    )


def _recorded(ran: _Ran, task: Task, work: CellsWork, inputs: Sequence[CellValues], result: CellValues) -> Recorded:
    names: dict[int, tuple[int, Piece, list[str]]] = {}
    for name, index in _sources(work, inputs).items():
        piece = inputs[index].piece(name)
        if piece is not None:
            names.setdefault(id(piece), (index, piece, []))[2].append(name)
    # In page order, as the step itself brings them in.
    pieces = tuple(_only(piece, mine) for _, piece, mine in sorted(names.values(), key=lambda each: each[0]))
    random = inputs[work.random_from].random if work.random_from is not None else None
    packed = inputs[work.settings_from].settings if work.settings_from is not None else None
    source = "\n".join(cell.source for cell in ran.notebook.cells)
    settings = None
    if packed is not None:
        found = pickle.loads(packed)  # noqa: S301 - signed with the result it came in
        settings = portable.portable(found, source, ran.folder, fresh=ran.fresh)
    return Recorded(
        inputs=CellValues(pieces, random=random),
        outputs=result,
        settings=settings,
        history=work.history,
        shown=shown(ran.notebook.content, task.key, task.logs()),
    )


def _sources(work: CellsWork, inputs: Sequence[CellValues]) -> dict[str, int]:
    """Every name that came to a step, and the input that it came from."""
    found = {**dict(work.also), **dict(work.takes)}
    if work.all_from is not None:
        held = [name for piece in inputs[work.all_from].pieces for name in piece.names]
        found = {**{name: work.all_from for name in held if name not in work.before}, **found}
    return found


def _only(piece: Piece, names: list[str]) -> Piece:
    """The piece without the names that are not taken: they are not needed, may be large, and are nobody's business."""
    if set(names) == set(piece.names):
        return piece
    namespace = travel.Namespace("frozen")
    travel.load(namespace, piece, names)
    return travel.dump(namespace, names)


@contextmanager
def _importing(inputs: Sequence[CellValues], result: CellValues) -> Iterator[None]:
    """Find modules where the notebook finds them: it may add to `sys.path`."""
    before = list(sys.path)
    for packed in (each.settings for each in (*inputs, result)):
        path = pickle.loads(packed).get("path", ()) if packed is not None else ()  # noqa: S301 - signed with the result
        sys.path += [place for place in path if place not in sys.path]
    try:
        yield
    finally:
        sys.path[:] = before


def _described(recorded: Recorded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Type and size of each name; finds out whether the values can be loaded again."""
    told: list[dict[str, Any]] = []
    namespace = travel.Namespace("frozen")
    for values in (recorded.inputs, recorded.outputs):
        told.append({})
        for piece in values.pieces:
            travel.load(namespace, piece, piece.names)
            size = len(piece.stream) + sum(memoryview(part).nbytes for part in piece.buffers)
            for name in piece.names:
                told[-1][name] = {"type": type_name(namespace.globals[name]), "bytes": size}
    return told[0], told[1]
