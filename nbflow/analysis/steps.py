"""Cells grouped into named steps, and what each step as a whole may do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nbflow.analysis.cells import Cell
from nbflow.analysis.facts import CellFacts, Event, Mark
from nbflow.analysis.options import StepOptions

GIVEN = 0  # number of the cell that stands for what the kernel has
_WORDS = re.compile(r"[^\w]+")


@dataclass(frozen=True, slots=True)
class StepCells:
    """The cells of one step."""

    name: str
    cells: tuple[Cell, ...]
    options: StepOptions
    facts: CellFacts


def group(cells: Sequence[Cell], facts: Sequence[CellFacts], fused: Iterable[tuple[int, int]] = ()) -> list[StepCells]:
    """Make steps of cells; `fused` are ranges of cell numbers, both ends included, that have to be one step."""
    joined = {number for first, last in fused for number in range(first + 1, last + 1)}
    groups: list[list[int]] = []
    for position, cell in enumerate(cells):
        before = cells[position - 1].options.name if position else None
        same = cell.options.name is not None and cell.options.name == before
        if groups and (cell.number in joined or same):
            groups[-1].append(position)
        else:
            groups.append([position])
    taken: set[str] = {cell.options.name for cell in cells if cell.options.name}
    used: set[str] = set()
    steps: list[StepCells] = []
    for members in groups:
        mine = tuple(cells[position] for position in members)
        options = mine[0].options
        for cell in mine[1:]:
            options = options.joined(replace(cell.options, name=options.name or cell.options.name))
        merged = merge([facts[position] for position in members])
        name = _unique(options.name or _unannotated_name(mine, merged), used, taken if options.name is None else set())
        used.add(name)
        steps.append(StepCells(name, mine, options, merged))
    return steps


def given_step(given: Sequence[tuple[str, ...]]) -> StepCells:
    """A step that stands for values that are there before the first cell; names of one group share objects."""
    mark = Mark(1, "has a value in the kernel")
    facts = CellFacts()
    for names in given:
        facts.defines.update(dict.fromkeys(names, mark))
        facts.certain.update(names)
        if len(names) > 1:
            facts.events.append(Event("link", names, mark))
    cell = Cell(GIVEN, -1, "", "", ast.Module(body=[], type_ignores=[]), StepOptions(name="kernel"), None)
    return StepCells("kernel", (cell,), cell.options, facts)


def merge(parts: Sequence[CellFacts]) -> CellFacts:
    """What cells that run one after the other do together."""
    result = CellFacts()
    for part in parts:
        for name, mark in part.reads.items():
            if name not in result.certain:
                result.reads.setdefault(name, mark)
        for field in ("defines", "deletes", "changes", "effects", "resources"):
            merged = getattr(result, field)
            for name, mark in getattr(part, field).items():
                merged.setdefault(name, mark)
        result.certain |= part.certain
        result.events.extend(part.events)
        result.compared |= part.compared
    return result


def _unannotated_name(cells: Sequence[Cell], facts: CellFacts) -> str:
    if any(cell.parameters for cell in cells):
        return "parameters"
    heading = _word(cells[0].heading or "")
    defined = next(
        (
            _word(name)
            for name in facts.defines
            if not name.startswith("_") and "import" not in facts.defines[name].reason
        ),
        "",
    )
    if not defined and facts.defines and all("import" in mark.reason for mark in facts.defines.values()):
        defined = "imports"
    return "-".join(part for part in (heading, defined) if part) or "cells"


def _word(text: str) -> str:
    word = _WORDS.sub("-", text).strip("-").lower()[:60]
    return word if word[:1].isalpha() or word[:1] == "_" else (f"part-{word}" if word else "")


def _unique(name: str, used: set[str], reserved: set[str]) -> str:
    if name not in used and name not in reserved:
        return name
    number = 2
    while f"{name}-{number}" in used | reserved:
        number += 1
    return f"{name}-{number}"
