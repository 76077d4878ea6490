"""Cells on the inputs of a failed step: run by the kernel's own shell, out of reach of the kernel's variables."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from nbflow.authoring.cells.scratch import Scratch
from nbflow.authoring.cells.shell import INTERNAL
from nbflow.authoring.step import Step
from nbflow.client.task import Task

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def scratch_of(task: Task, variables: Mapping[str, Any]) -> Scratch:
    """The inputs of a task. Of a step that is a function: its arguments by name, and the function, if it is here.

    `variables`: the kernel's. Raises TaskError if the inputs are not stored.
    """
    found = task.debug()
    if isinstance(found, Scratch):
        return found
    args, kwargs = found
    names: dict[str, Any] = {"args": args, "kwargs": kwargs}
    for name, value in variables.items():
        if isinstance(value, Step) and value.spec.name == task.name:
            bound = _by_parameter(value, args, kwargs)
            call = "*args, **kwargs" if bound is None else ", ".join(f"{each}={each}" for each in bound)
            return Scratch(task.name, f"{name}({call})", {**(bound or names), name: value}, task.traceback)
    return Scratch(task.name, "", names, task.traceback)


def run_cell(ipython: Any, scratch: Scratch, source: str) -> None:
    """Run a cell where the inputs are. Raises what it raises, after the shell has shown it."""
    names = scratch.names
    own = {name for name in names if name not in INTERNAL}
    names.update(get_ipython=ipython.get_ipython, In=[], Out={}, _oh={}, _="", __="", ___="")
    before = ipython.user_module, ipython.user_ns
    # Both: functions and comprehensions look names up in the module, and would find the kernel's there.
    ipython.user_module, ipython.user_ns = ipython.prepare_user_module(user_ns=names)
    try:
        result = ipython.run_cell(source, store_history=False)
    finally:
        ipython.user_module, ipython.user_ns = before
        for name in [name for name in names if name not in own and (name in INTERNAL or name[:1] == "_")]:
            del names[name]  # what the shell keeps of what it showed
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        text = f"{type(error).__name__}: {error}"
        error._render_traceback_ = lambda: [text]  # its traceback stands above already
        raise error


def _by_parameter(step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments by the names of the parameters; None if some have no name."""
    signature = inspect.signature(step.spec.function)
    if any(each.kind not in _NAMED for each in signature.parameters.values()):
        return None
    bound = signature.bind(*args, **kwargs)
    return dict(bound.arguments)
