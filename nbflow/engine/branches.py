"""What a flow function of declared steps needs beside calls: steps that are left out, and how others ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xxhash

from nbflow.engine.decide import earliest_failure
from nbflow.engine.placeholders import Placeholder, is_placeholder, task_of

if TYPE_CHECKING:
    from nbflow.engine.decide import Task
    from nbflow.engine.frames import Frame
    from nbflow.model.specs import StepSpec


def leave_out(frame: Frame, spec: StepSpec, after: Iterable[Placeholder], why: str) -> Placeholder:
    """Put a step on record as skipped, which would have come after others; returns what stands for it."""
    task = frame.leave_out(spec, after, why)

    def refuse(_: Task) -> Any:
        raise RuntimeError(f"{task.key} was skipped and has no value")

    return Placeholder(task, refuse)


def ended(frame: Frame, steps: Mapping[str, Placeholder]) -> dict[str, str | None]:
    """Of some steps those that have ended, each with the type of its error or None; waits until one has.

    Which they are is on record: a replay is told the same ones first.
    """
    names = sorted(steps)
    tasks = {name: task_of(steps[name]) for name in names}
    if len(names) == 1:
        chosen: Sequence[str] = names
    else:
        digest = xxhash.xxh3_64_hexdigest("\0".join(names).encode())
        chosen = frame.record(f"ended {digest[:8]}", _choose(frame, tasks))
    frame.engine.wait(tuple([tasks[name] for name in chosen]))
    found: dict[str, str | None] = {}
    for name in chosen:
        task = tasks[name]
        frame.script.saw(task)
        found[name] = task.failure.record.type if task.failure is not None else None
    return found


def _choose(frame: Frame, tasks: Mapping[str, Task]) -> Callable[[], list[str]]:
    def choose() -> list[str]:
        frame.engine.wait(tuple(tasks.values()), at_least=1)
        return [name for name, task in tasks.items() if task.order]

    return choose


def value(placeholder: Any) -> Any:
    """The value behind a placeholder, which stays untouched: what a flow function took out is looked at when passed on.

    Raises the error of a task that failed.
    """
    if not is_placeholder(placeholder):
        return placeholder
    return Placeholder(task_of(placeholder), placeholder._self_resolve).__wrapped__


def succeeded(placeholder: Any) -> bool:
    """Whether the task of a placeholder has ended with a value; true of plain values."""
    return not is_placeholder(placeholder) or task_of(placeholder).value is not None


def finish(frame: Frame, needed: Mapping[str, Placeholder], others: Sequence[Placeholder]) -> None:
    """Return when all have ended. Raises the earliest error of `needed`; those of `others` count as looked at."""
    tasks = [task_of(each) for each in needed.values()]
    spared = [task_of(each) for each in others]
    frame.engine.wait((*tasks, *spared))
    forgiven = {id(task.failure.cause) for task in spared if task.failure is not None}
    for task in (*tasks, *spared):
        if task.failure is not None:
            task.failure.looked_at = True
    first = earliest_failure(task for task in tasks if task.failure is None or id(task.failure.cause) not in forgiven)
    if first is not None:
        frame.taken(first)
