"""The critical path of a run: the chain of tasks that decided when it ended."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Links:
    """What a critical path is found by. Keys are what the column `seq` of the frame holds (else `task`)."""

    upstream: Mapping[Hashable, Sequence[Hashable]]  # task → tasks whose results it needed
    parents: Mapping[Hashable, Hashable | None] | None = None  # task → the sub-flow that made the call


def critical_path(ends: Mapping[Any, float], links: Links) -> list[Any]:
    """The tasks of the path, the first one first.

    From the task that ended last it goes back to the one of its inputs that ended last, and so on: each of them would
    have had to be faster for the run to be faster. A sub-flow ends with the last of the tasks in it, and those begin
    when the sub-flow's own inputs are there. `ends`: when each task ended; those without an end are left out.
    """
    parents = links.parents or {}
    inside: dict[Hashable, list[Hashable]] = {}
    known: dict[Hashable, float] = dict(ends)  # with the sub-flows that have no bar of their own
    for task in ends:
        child, parent = task, parents.get(task)
        while parent is not None and child not in inside.setdefault(parent, []):
            inside[parent].append(child)
            if parent not in ends:
                known[parent] = max(known.get(parent, -math.inf), known[child])
            child, parent = parent, parents.get(parent)

    def latest(tasks: Iterable[Hashable]) -> Hashable | None:
        return max((task for task in tasks if task in known), key=lambda task: known[task], default=None)

    path: list[Hashable] = []
    seen: set[Hashable] = set()
    task = latest(task for task in known if parents.get(task) is None)
    while task is not None and task not in seen:
        seen.add(task)
        path.append(task)
        last_inside = latest(inside.get(task, ()))
        if last_inside is not None and last_inside not in seen:
            task = last_inside
            continue
        found = latest(links.upstream.get(task, ()))
        while found is None and (parent := parents.get(task)) is not None:
            task = parent
            found = latest(links.upstream.get(task, ()))
        task = found
    return [task for task in reversed(path) if task in ends]
