"""A plan shown to people: what each step takes, from where, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nbflow.analysis.facts import INPUT, OPAQUE, OUTSIDE, PATCH, RANDOM, SEED, SETTINGS
from nbflow.analysis.knowledge import BUILTINS
from nbflow.analysis.plan import Plan, PlannedStep
from nbflow.analysis.steps import GIVEN
from nbflow.model.errors import UnknownStepError
from nbflow.views.graph import Details, Node, Picture, Section

_WORDS = {
    RANDOM: "draws random numbers",
    SEED: "seeds random numbers",
    SETTINGS: "changes settings of the process",
    INPUT: "reads from outside",
    OUTSIDE: "has effects outside",
    PATCH: "changes a module",
    OPAQUE: "may do anything: it runs alone, with every name",
}


@dataclass(frozen=True, repr=False)
class Explanation:
    """Why one step stands where it does."""

    step: str
    cells: tuple[int, ...]
    takes: tuple[tuple[str, str, str], ...]  # (name, step that supplies it, why)
    gives: tuple[tuple[str, str], ...]  # (name, steps that take it)
    effects: tuple[tuple[str, str], ...]  # (what, why)
    waits: tuple[tuple[str, str], ...]  # (step, why), beside those that supply something

    def __str__(self) -> str:
        lines = [f"{self.step} (cell {', '.join(map(str, self.cells))})"]
        lines += [f"  takes {name} from {source}: {why}" for name, source, why in self.takes]
        lines += [f"  waits for {source}: {why}" for source, why in self.waits]
        lines += [f"  {what}: {why}" for what, why in self.effects]
        lines += [f"  gives {name} to {users}" for name, users in self.gives if users]
        unused = [name for name, users in self.gives if not users]
        if unused:
            lines.append(f"  leaves {', '.join(unused)}, which no later step takes")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


class PlanView:
    """The plan of a notebook. Shows itself as a table and a picture in notebooks, and as text elsewhere."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """The steps in page order."""
        return self.plan.steps

    def explain(self, step: str) -> Explanation:
        """One step of it, by name or by the number of a cell. Raises UnknownStepError."""
        for position, planned in enumerate(self.steps):
            numbers = tuple(cell.number for cell in planned.step.cells)
            if step == planned.step.name or (step.isdigit() and int(step) in numbers):
                return self._explained(position, planned, numbers)
        known = ", ".join(planned.step.name for planned in self.steps) or "none"
        raise UnknownStepError(f"{self.name} has no step {step!r}. Its steps: {known}.")

    def unknown_names(self) -> list[tuple[str, int, int, str]]:
        """Names that steps read and nothing before them sets: (name, cell, line, reason)."""
        found: list[tuple[str, int, int, str]] = []
        known: set[str] = set()
        for planned in self.steps:
            facts = planned.step.facts
            if planned.before_unknown or OPAQUE in planned.effects:
                return found  # a cell that may have set anything
            for name, mark in sorted(facts.reads.items()):
                if (
                    name not in known
                    and name not in BUILTINS
                    and not name.startswith("_")
                    and name not in {"In", "Out"}
                ):
                    found.append((name, planned.step.cells[0].number, mark.line, mark.reason))
            known |= set(planned.gives)
            known -= set(facts.deletes) & facts.certain
        return found

    def picture(self) -> Picture:
        """The steps as a graph; pointing at one tells what it takes and why."""
        nodes = [
            Node(
                id=str(number),
                label=planned.step.name,
                hint="\n".join(edge.reason for edge in planned.takes),
                upstream=tuple(map(str, planned.sources)),
            )
            for number, planned in enumerate(self.steps)
        ]
        return Picture(nodes, self.name, details=self._details)

    def _details(self, identity: str) -> Details:
        planned = self.steps[int(identity)]
        numbers = tuple(cell.number for cell in planned.step.cells)
        why = str(self._explained(int(identity), planned, numbers))
        source = "\n\n".join(f"# cell {cell.number}\n{cell.source}" for cell in planned.step.cells)
        return Details(planned.step.name, sections=(Section("", why), Section("source", source, "code")))

    def __iter__(self) -> Iterator[Explanation]:
        for position, planned in enumerate(self.steps):
            yield self._explained(position, planned, tuple(cell.number for cell in planned.step.cells))

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self._table() + self.picture().svg(), "text/plain": str(self)}

    def _explained(self, position: int, planned: PlannedStep, numbers: tuple[int, ...]) -> Explanation:
        names = [other.step.name for other in self.steps]
        effects = planned.step.facts.effects
        return Explanation(
            planned.step.name,
            tuple(number for number in numbers if number != GIVEN),
            tuple((edge.name, names[edge.source], edge.reason) for edge in planned.takes),
            tuple((name, ", ".join(self._users(position, name))) for name in planned.gives),
            tuple((_WORDS[effect], effects[effect].reason) for effect in sorted(effects) if effect in _WORDS),
            tuple(self._waits(planned, names)),
        )

    def _users(self, position: int, name: str) -> list[str]:
        return [
            other.step.name
            for other in self.steps
            for edge in other.takes
            if edge.name == name and edge.source == position
        ]

    def _waits(self, planned: PlannedStep, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        if planned.random_from is not None:
            yield names[planned.random_from], "it goes on with the random numbers that this step left"
        if planned.settings_from is not None:
            yield names[planned.settings_from], "it runs under the settings that this step left"
        for source in planned.after:
            yield (
                names[source],
                "both have to do with files or other things outside, so they keep the order of the page",
            )

    def _table(self) -> str:
        modules = {
            name
            for planned in self.steps
            for name, mark in planned.step.facts.defines.items()
            if mark.reason.startswith("imports ")
        }
        rows = "".join(_row(explanation, modules) for explanation in self)
        head = "".join(f'<th style="text-align:left">{title}</th>' for title in ("step", "cells", "takes", "why"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(found: Explanation, left_out: set[str]) -> str:
    """One row; imported modules are left out, since every step takes them."""
    shown = [item for item in found.takes if item[0] not in left_out]
    takes = "<br>".join(f"{escape(name)} <small>from {escape(source)}</small>" for name, source, _ in shown)
    reasons = [why for _, _, why in shown]
    reasons += [f"{what}: {why}" for what, why in found.effects] + [f"after {step}: {why}" for step, why in found.waits]
    cells = ", ".join(map(str, found.cells))
    texts = (escape(found.step), cells, takes, "<br>".join(f"<small>{escape(why)}</small>" for why in reasons))
    return "<tr>" + "".join(f'<td style="text-align:left;vertical-align:top">{text}</td>' for text in texts) + "</tr>"
