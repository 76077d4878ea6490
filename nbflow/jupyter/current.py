"""The notebook that a kernel belongs to, as a flow: its file, with the cells as they were run last."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbflow.analysis.cells import Cell, Notebook, from_content, read_notebook
from nbflow.analysis.facts import OPAQUE, CellFacts
from nbflow.analysis.knowledge import BUILTINS
from nbflow.analysis.plan import Amendments
from nbflow.analysis.steps import GIVEN
from nbflow.authoring.cells.runner import take
from nbflow.authoring.notebook import NotebookFlow, NotebookFunction, Part
from nbflow.jupyter.history import Executed, History, steers
from nbflow.model.errors import NotebookError, UnknownStepError


def notebook_path(ipython: Any) -> Path | None:
    """The file of the notebook that this kernel runs, as far as the front end tells it."""
    for told in (ipython.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if told and Path(told).suffix == ".ipynb" and Path(told).is_file():
            return Path(told)
    return None


def current_notebook(ipython: Any, history: History) -> tuple[Notebook, list[str]]:
    """The kernel's notebook, and what people should know about it.

    Cells that were run after the file was saved count as they were run. Without a file, the notebook is what ran in
    the kernel, in that order.
    """
    path = notebook_path(ipython)
    if path is None:
        return _from_history(history), [
            "no file of this notebook was found: the flow is made of the cells that ran here"
        ]
    content = read_notebook(path).content
    saved = path.stat().st_mtime
    latest = history.latest()
    notes = []
    for cell in content["cells"]:
        ran = latest.pop(cell.get("id", ""), None)
        if ran is not None and cell["cell_type"] == "code" and ran.source != cell["source"] and ran.began > saved:
            cell["source"] = ran.source
    unsaved = [ran for ran in latest.values() if ran.began > saved and not steers(ran.source)]
    if unsaved:
        numbers = ", ".join(f"[{ran.number}]" for ran in unsaved)
        notes.append(f"{numbers} ran after {path.name} was saved and is not in it: save the notebook to include it")
    return from_content(json.loads(json.dumps(content)), str(path)), notes


def as_flow(notebook: Notebook, ipython: Any, history: History, *, first: str | None, only: str | None) -> NotebookFlow:
    """The flow of a kernel's notebook, or of the steps of it from `first` on, or of `only` one.

    Names that none of its cells sets come from the kernel, if it has them. Raises UnknownStepError for a step that
    there is not, NotebookError if a value that is needed cannot be sent along.
    """
    learned = recorded(notebook, history)
    whole = NotebookFlow(notebook, Part(learned=learned))
    numbers = _selected(whole, first, only)
    _, facts = Part(numbers).of(notebook.cells)
    needed = _needed(facts, history.variables())
    given = take(ipython.user_ns, needed) if needed else None
    if given is not None and given.stuck:
        name, why = next(iter(given.stuck.items()))
        raise NotebookError(
            f"{name} of this kernel cannot be sent along: {why}. "
            "Begin with the step that makes it: %flow run --from STEP.",
            name=name,
        )
    return NotebookFlow(notebook, Part(numbers, given, learned))


def _selected(whole: NotebookFlow, first: str | None, only: str | None) -> tuple[int, ...] | None:
    wanted = first or only
    if wanted is None:
        return None
    steps = whole.plan().steps
    for position, planned in enumerate(steps):
        numbers = {cell.number for cell in planned.step.cells}
        if wanted == planned.step.name or (wanted.isdigit() and int(wanted) in numbers):
            chosen = [planned] if only is not None else steps[position:]
            return tuple(cell.number for step in chosen for cell in step.step.cells)
    known = ", ".join(planned.step.name for planned in steps)
    raise UnknownStepError(f"The notebook has no step {wanted!r}. Its steps: {known}.")


def edited(ran: NotebookFunction, notebook: Notebook, history: History | None) -> NotebookFlow:
    """What `ran` ran of a notebook, with the notebook as it is now: the same cells, wherever they stand by now.

    `history`: of the kernel, if the notebook is its own. Raises NotebookError if the notebook has other steps now.
    """
    old = from_content(json.loads(ran.text), ran.path)
    before = [planned.step for planned in NotebookFlow(old, ran.part).plan().steps]
    names = {_cell_id(old, cell): step.name for step in before for cell in step.cells if cell.number != GIVEN}
    names.pop(None, None)  # old notebooks have no ids
    content = copy.deepcopy(notebook.content)
    for cell in notebook.cells:
        name = names.get(_cell_id(notebook, cell))
        if name is not None and cell.options.name is None:
            # An edit must not change what a step is called, else the run would not know it again.
            told = content["cells"][cell.index].setdefault("metadata", {}).setdefault("nbflow", {})
            told.setdefault("step", {})["name"] = name
    only = ran.part.only
    if only is not None:
        ids = {_cell_id(old, cell) for cell in old.cells if cell.number in only} - {None}
        only = tuple(cell.number for cell in notebook.cells if _cell_id(notebook, cell) in ids) or only
    learned = recorded(notebook, history) if history is not None else ran.part.learned
    flow = NotebookFlow(from_content(content, notebook.path), Part(only, ran.part.given, learned))
    was, now = [step.name for step in before], [planned.step.name for planned in flow.plan().steps]
    if now[: len(was)] != was:
        raise NotebookError(
            f"The notebook has other steps than the run had: {', '.join(now)}, and not {', '.join(was)}. "
            "Run it anew: %flow run."
        )
    return flow


def _cell_id(notebook: Notebook, cell: Cell) -> str | None:
    found: str | None = notebook.content["cells"][cell.index].get("id")
    return found


def recorded(notebook: Notebook, history: History) -> Amendments:
    """What was seen of the notebook's cells when they ran in the kernel, as far as they are still the same."""
    by_source: dict[str, Executed] = {}
    for ran in history.executed:
        if ran.ok:
            by_source[ran.source.strip()] = ran
    learned = Amendments()
    for cell in notebook.cells:
        found = by_source.get(notebook.content["cells"][cell.index]["source"].strip())
        if found is None:
            continue
        learned.changes[cell.number] = set(found.changes.changed)
        learned.defines[cell.number] = set(found.changes.defined)
        learned.effects[cell.number] = set(found.effects)
        bound = set(found.changes.defined) | set(found.changes.changed)
        learned.shares[cell.number] = {(group, ()) for group in found.changes.shares if bound & set(group)}
    return learned


def _needed(facts: Sequence[CellFacts], variables: Mapping[str, Any]) -> list[str]:
    """Names that the cells use and none of them sets, of which the kernel has a value.

    One that a later cell sets is not among these: the notebook, run from top to bottom, would not have it either.
    """
    own = {name for found in facts for name in found.defines if name not in found.reads}
    used: set[str] = set()
    for found in facts:
        used |= set(variables) if OPAQUE in found.effects else set(found.reads) | (set(found.defines) - found.certain)
    return sorted((used - own - BUILTINS) & set(variables))


def _from_history(history: History) -> Notebook:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "metadata": {}, "source": ran.source, "outputs": [], "execution_count": None}
        for ran in history.executed
        if ran.ok
    ]
    return from_content({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}, "kernel.ipynb")
