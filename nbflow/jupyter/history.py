"""What ran in this kernel, cell by cell, and what it did: the record that plans and checks are compared with."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil

from nbflow.analysis.cells import transform
from nbflow.authoring.cells import files, process_state
from nbflow.authoring.cells.records import Files
from nbflow.authoring.cells.shell import INTERNAL
from nbflow.jupyter.fingerprints import Changes, Fingerprints
from nbflow.model.errors import CellSyntaxError

_SHARE, _LEAST = 0.04, 0.015  # of a cell's time, and seconds, that looking at variables may take


class Executed(NamedTuple):
    """One execution of a cell."""

    number: int  # its execution count
    cell_id: str | None  # of the notebook, where the front end tells it
    source: str
    began: float  # seconds since 1970
    seconds: float
    ok: bool
    changes: Changes
    files: Files
    effects: tuple[str, ...]  # "random", "settings"
    memory: int  # bytes by which the process grew


class History:
    """Listens to a kernel's cells."""

    def __init__(self, ipython: Any) -> None:
        self.executed: list[Executed] = []
        self._ipython = ipython
        self._fingerprints = Fingerprints()
        self._hidden = set(ipython.user_ns_hidden) | INTERNAL
        self._process = psutil.Process(os.getpid())
        self._running: tuple[float, files.Watch, Any, Any, int] | None = None
        self._fingerprints.update(self.variables(), ipython.user_ns, (), 1.0)

    def variables(self) -> dict[str, Any]:
        """The user's variables."""
        found: Mapping[str, Any] = self._ipython.user_ns
        return {name: value for name, value in found.items() if name not in self._hidden and not name.startswith("_")}

    def before(self, info: Any) -> None:
        """A cell begins."""
        memory = self._process.memory_info().rss
        self._running = (
            time.time(), files.listen(), process_state.settings(), process_state.random_state(), memory,
        )  # fmt: skip

    def after(self, result: Any) -> None:
        """A cell has ended."""
        if self._running is None:
            return
        (began, watch, settings, random, memory), self._running = self._running, None
        files.stop_listening()
        seconds = time.time() - began
        effects = []
        now = process_state.random_state()
        if now != random and set(now) == set(random):  # an import brings a generator with it
            effects.append("random")
        if not process_state.same_settings(settings, process_state.settings()):
            effects.append("settings")
        info = result.info
        source = info.raw_cell or ""
        budget = max(_LEAST, _SHARE * seconds)
        changes = self._fingerprints.update(self.variables(), self._ipython.user_ns, _names_in(source), budget)
        self.executed.append(
            Executed(
                self._ipython.execution_count, getattr(info, "cell_id", None), source, began, seconds,
                bool(result.success), changes, watch.found(), tuple(effects),
                self._process.memory_info().rss - memory,
            )
        )  # fmt: skip

    def latest(self) -> dict[str, Executed]:
        """The latest execution of each cell that has an id."""
        return {one.cell_id: one for one in self.executed if one.cell_id is not None}


def _names_in(source: str) -> list[str]:
    import ast

    try:
        _, tree = transform(source, 0)
    except CellSyntaxError:
        return []
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
