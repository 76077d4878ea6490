"""Hidden state: where the kernel's variables are not what the notebook, run from top to bottom, gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from nbflow.analysis.cells import Notebook
from nbflow.analysis.facts import RANDOM, SEED
from nbflow.analysis.statements import analyse
from nbflow.authoring.cells.scratch import Scratch
from nbflow.authoring.explain import PlanView
from nbflow.client.run import Run
from nbflow.client.task import Task
from nbflow.jupyter.history import Executed, History, steers
from nbflow.model.errors import NbflowError
from nbflow.values.compare import compare

_OF_COMMANDS = (Run, Task, Scratch, PlanView)  # what `%flow` and runs return: each time another
_MOST = 3  # differences told of one name


@dataclass
class Check:
    """What `%flow check` found."""

    names: list[tuple[str, str]] = field(default_factory=list)  # (name, how kernel and flow differ)
    cells: list[str] = field(default_factory=list)  # how the kernel's history differs from the page
    same: int = 0  # names with equal values
    apart: list[str] = field(default_factory=list)  # names whose values cannot leave their process

    @property
    def clean(self) -> bool:
        """Whether kernel and notebook agree."""
        return not self.names

    def __str__(self) -> str:
        lines = [f"{name}: {text}" for name, text in self.names]
        if self.cells and self.names:
            lines += ["", "How that may have come about:"]
        lines += self.cells
        return "\n".join([*lines, self._verdict()])

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        left = '<td style="text-align:left">'
        rows = "".join(
            f"<tr>{left}<b>{escape(name)}</b></td>{left}{escape(text)}</td></tr>" for name, text in self.names
        )
        table = f"<table><tr><th>name</th><th>kernel and flow</th></tr>{rows}</table>" if rows else ""
        notes = "".join(f"<li>{escape(text)}</li>" for text in self.cells)
        mark = "✓" if self.clean else "✗"
        html = f"<p>{mark} {escape(self._verdict())}</p>{table}" + (f"<ul>{notes}</ul>" if notes else "")
        return {"text/html": html, "text/plain": str(self)}

    def _verdict(self) -> str:
        text = f"{_counted(self.same)} the same value in the kernel and in the flow"
        if self.names:
            text += f"; {len(self.names)} {'does' if len(self.names) == 1 else 'do'} not"
        if self.apart:
            text += f"; not compared, since they cannot leave their process: {', '.join(self.apart)}"
        return text + "."


def _counted(number: int) -> str:
    return "1 name has" if number == 1 else f"{number} names have"


def check(notebook: Notebook, history: History, flow_values: Mapping[str, Any]) -> Check:
    """Compare a kernel with the final values of the flow of its notebook."""
    facts = analyse(notebook.cells)
    found = Check(cells=_history_notes(notebook, history))
    variables = history.variables()
    producers = {name for one in facts for name in one.defines}
    deleted = {name for one in facts for name in one.deletes}
    held = set(flow_values)
    for name, value in sorted(variables.items()):
        if isinstance(value, (Check, *_OF_COMMANDS)):
            continue
        if name in held:
            _compare(found, name, value, flow_values)
        elif name in deleted:
            found.names.append((name, "the kernel has it, and the flow deletes it"))
        elif name not in producers:
            found.names.append((name, f"no cell of the notebook sets it; the kernel has {_shown(value)}"))
    for name in sorted(held - set(variables)):
        if not name.startswith("_"):
            found.names.append((name, "the flow has it, and the kernel does not"))
    seeded = any(SEED in one.effects for one in facts)
    if found.names and not seeded:
        draws = [cell.number for cell, one in zip(notebook.cells, facts, strict=True) if RANDOM in one.effects]
        if draws:
            numbers = ", ".join(map(str, draws))
            found.cells.append(f"cell {numbers} draws random numbers without a seed: they are others in each run")
    return found


def _compare(found: Check, name: str, value: Any, flow_values: Mapping[str, Any]) -> None:
    try:
        other = flow_values[name]
    except NbflowError:
        found.apart.append(name)
        return
    differences = compare(value, other, rtol=0.0, atol=0.0)
    if not differences:
        found.same += 1
        return
    short = f"kernel {_shown(value)}, flow {_shown(other)}"
    if len(short) >= 100 or _shown(value) == _shown(other):
        short = "; ".join(str(one) for one in differences[:_MOST])
    found.names.append((name, short))


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def _history_notes(notebook: Notebook, history: History) -> list[str]:
    on_page = {notebook.content["cells"][cell.index].get("id"): cell for cell in notebook.cells}
    sources = {notebook.content["cells"][cell.index]["source"].strip(): cell for cell in notebook.cells}
    place: list[tuple[Executed, int]] = []
    notes = []
    every = {cell.get("id") for cell in notebook.content["cells"]} - {None}
    for ran in history.executed:
        if steers(ran.source):
            continue
        cell = on_page.get(ran.cell_id) if ran.cell_id is not None else sources.get(ran.source.strip())
        if cell is not None:
            place.append((ran, cell.number))
        elif ran.changes.defined or ran.changes.changed:
            names = ", ".join([*ran.changes.defined, *ran.changes.changed])
            where = "does not belong to the flow" if ran.cell_id in every else "is not on the page any more"
            notes.append(f"[{ran.number}] {where}; it set {names}")
    for number, ran in {number: ran for ran, number in place}.items():  # the latest of each
        if ran.source.strip() not in sources:
            notes.append(f"cell {number} was edited after it ran as [{ran.number}]")
    counts = Counter(number for _, number in place)
    notes += [f"cell {number} ran {count} times" for number, count in sorted(counts.items()) if count > 1]
    order = [number for _, number in place]
    for (ran, number), before in zip(place[1:], order, strict=False):
        if number < before:
            notes.append(f"cell {number} ran after cell {before}, as [{ran.number}]")
    never = [cell.number for cell in notebook.cells if cell.number not in counts and "_ext nbflow" not in cell.source]
    if never and place:
        notes.append(f"cell {', '.join(map(str, never))} did not run in this kernel")
    return list(dict.fromkeys(notes))
