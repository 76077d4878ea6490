"""What the child process does that replays one step: bring in the frozen inputs, run the cells, compare."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.analysis.plan import HISTORY_NAMES
from nbflow.authoring.cells import process_state, travel
from nbflow.authoring.cells.records import CellSource, CellsWork, CellValues
from nbflow.authoring.cells.runner import run_cells
from nbflow.authoring.replay import fixtures, portable
from nbflow.authoring.replay.fixtures import FrozenStep, Recorded
from nbflow.values.compare import Difference, Walk

MOST = 10  # differences of one step that are told


@dataclass(frozen=True, slots=True)
class Job:
    """One step to replay."""

    folder: str  # with the frozen steps
    cwd: str  # where the cells run
    step: FrozenStep
    cells: tuple[CellSource, ...]  # as they are now
    rtol: float
    atol: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    differences: tuple[Difference, ...]  # the first of them
    count: int  # all of them


def replay_step(job: Job) -> Verdict:
    """Run a step's cells from its frozen inputs and compare what they give. Raises what a cell raises."""
    recorded = fixtures.read_step(Path(job.folder), job.step)
    with process_state.kept(), only_new_figures_closed():
        os.chdir(job.cwd)
        if job.cwd not in sys.path:
            sys.path.insert(0, job.cwd)  # as a kernel finds modules beside the notebook
        if recorded.settings is not None:
            portable.apply(recorded.settings)
        result = run_cells(_work(job, recorded), recorded.inputs)
        return verdict(_differences(job, recorded, result))


def verdict(found: list[Difference]) -> Verdict:
    """The first differences and the number of all."""
    return Verdict(tuple(found[:MOST]), len(found) + sum(difference.more for difference in found))


@contextmanager
def only_new_figures_closed() -> Iterator[None]:
    """Close figures that pyplot learns of meanwhile: unpickled ones would be shown by whoever shows what is open."""
    before = set(_open_figures())
    try:
        yield
    finally:
        for number in set(_open_figures()) - before:
            sys.modules["matplotlib.pyplot"].close(number)


def _open_figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return list(pyplot.get_fignums()) if pyplot is not None else []


def _work(job: Job, recorded: Recorded) -> CellsWork:
    return CellsWork(
        name=job.step.name,
        cells=job.cells,
        takes=tuple((name, 0) for piece in recorded.inputs.pieces for name in piece.names),
        gives=tuple(sorted(name for piece in recorded.outputs.pieces for name in piece.names)),
        random_from=0 if recorded.inputs.random is not None else None,
        gives_random=recorded.outputs.random is not None,
        gives_settings=True,  # whatever it does to them is no difference of values
        history=recorded.history,
    )


def _differences(job: Job, recorded: Recorded, result: CellValues) -> list[Difference]:
    frozen, now = _loaded(recorded.inputs, recorded.outputs), _loaded(recorded.inputs, result)
    present = {name for piece in result.pieces for name in piece.names}
    walk = Walk(job.rtol, job.atol)
    for name in sorted(name for piece in recorded.outputs.pieces for name in piece.names):
        if name in HISTORY_NAMES:
            continue
        if name in present:
            walk.compare(frozen[name], now[name], name)
        elif name in result.stuck:
            walk.tell(name, f"cannot be kept any more: {result.stuck[name]}")
        else:
            walk.tell(name, "the step does not set it any more")
    for name in result.report.changed:
        walk.tell(name, "the step changes it in place now, and did not before")
    if recorded.inputs.random is not None and not _same_random(walk, recorded.outputs.random, result.random):
        walk.tell("random numbers", "the step leaves the generators in another state, so it drew others")
    return walk.found


def _loaded(inputs: CellValues, outputs: CellValues) -> dict[str, Any]:
    # Inputs first: functions among the outputs may read them.
    namespace = travel.Namespace("compared")
    for values in (inputs, outputs):
        for piece in values.pieces:
            travel.load(namespace, piece, piece.names)
    return namespace.globals


def _same_random(walk: Walk, left: bytes | None, right: bytes | None) -> bool:
    if left is None or right is None:
        return True
    one, other = pickle.loads(left), pickle.loads(right)  # noqa: S301 - read with the step's file, or made just now
    # What was imported meanwhile brought a generator of its own.
    return all(walk.same(one[name], other[name]) for name in one.keys() & other.keys())
