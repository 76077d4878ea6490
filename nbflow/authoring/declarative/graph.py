"""The order of steps, circles in it, and names that are not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError as CircleError
from graphlib import TopologicalSorter
from typing import Protocol

from nbflow.authoring.declarative.problems import Problems, hint


class HasEdges(Protocol):
    """What depends on others by name."""

    @property
    def depends_on(self) -> Mapping[str, object]:
        """By the names of the others."""


def ordered(steps: Mapping[str, HasEdges]) -> list[str]:
    """The names of steps, each after those that it depends on; the same order however they were written."""
    sorter = TopologicalSorter({name: sorted(steps[name].depends_on) for name in sorted(steps)})
    sorter.prepare()
    found: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        found += ready
        sorter.done(*ready)
    return found


def cycle(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """The steps of a circle in order, beginning with the first of the alphabet; [] if there is none."""
    known = {name: [each for each in needed if each in edges] for name, needed in edges.items()}
    try:
        TopologicalSorter(known).prepare()
    except CircleError as error:
        found: list[str] = list(error.args[1])[:-1]
        first = found.index(min(found))
        return found[first:] + found[:first]
    return []


def check_cycle(edges: Mapping[str, Iterable[str]], problems: Problems) -> None:
    """Note a circle, with the way around."""
    around = cycle(edges)
    if around:
        told = " -> ".join([*around, around[0]])
        if len(around) == 1:
            message = f"step {around[0]!r} depends on itself. A step cannot wait for its own result."
        else:
            message = (
                f"steps depend on one another in a circle: {told}. One of these dependencies has to go; what repeats "
                "is a loop in a @flow function."
            )
        problems.add(("steps", around[0], "depends_on"), message, "cycle")


def undeclared(name: str, needed: str, steps: Collection[str], problems: Problems) -> None:
    """Note that a step depends on one that is not there."""
    problems.add(
        ("steps", name, "depends_on", needed),
        f"step {name!r} depends on {needed!r}, which is not declared. {hint(needed, steps, 'The steps are')}",
    )
