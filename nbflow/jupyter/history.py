"""What ran in this kernel, cell by cell, and what it did: the record that plans and checks are compared with."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import psutil

from nbflow.analysis.cells import transform
from nbflow.analysis.steering import cells_that_run
from nbflow.authoring.cells import files, process_state
from nbflow.authoring.cells.records import Files
from nbflow.authoring.cells.shell import INTERNAL
from nbflow.jupyter.fingerprints import Changes, Fingerprints
from nbflow.model.errors import CellSyntaxError

_SHARE, _LEAST = 0.04, 0.015  # of a cell's time, and seconds, that looking at variables may take
_FILES = 3  # named in the table


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
    details: tuple[str, ...]  # which of them: "random numbers of numpy", "environment: HOME"
    memory: int  # bytes by which the process grew


class _Running(NamedTuple):
    """The cell that runs, and how things stood before it."""

    info: Any  # IPython's own record of it
    counter: int  # the shell's, which goes on only with cells that people ran
    began: float
    watch: files.Watch
    settings: dict[str, Any]
    random: dict[str, Any]
    memory: int


class History:
    """Listens to a kernel's cells."""

    def __init__(self, ipython: Any) -> None:
        self.executed: list[Executed] = []
        self._ipython = ipython
        self._fingerprints = Fingerprints()
        self._hidden = set(ipython.user_ns_hidden) | INTERNAL
        self._process = psutil.Process(os.getpid())
        self._running: _Running | None = None
        self._fingerprints.update(self.variables(), ipython.user_ns, (), 1.0)

    def variables(self) -> dict[str, Any]:
        """The user's variables."""
        found: Mapping[str, Any] = self._ipython.user_ns
        return {name: value for name, value in found.items() if name not in self._hidden and not name.startswith("_")}

    def before(self, info: Any) -> None:
        """A cell begins."""
        counter = self._ipython.execution_count
        if self._running is not None and self._running.counter == counter:
            return  # it is the body of the one that runs: of %%capture, or of %%flow scratch
        self._running = _Running(
            info, counter, time.time(), files.listen(), process_state.settings(), process_state.random_state(),
            self._process.memory_info().rss,
        )  # fmt: skip

    def after(self, result: Any) -> None:
        """A cell has ended."""
        began = self._running
        if began is None or result.info is not began.info:
            return
        self._running = None
        files.stop_listening()
        seconds = time.time() - began.began
        settings, random = process_state.settings(), process_state.random_state()
        effects = []
        if random != began.random and set(random) == set(began.random):  # an import brings a generator with it
            effects.append("random")
        if not process_state.same_settings(began.settings, settings):
            effects.append("settings")
        details = [f"random numbers of {key}" for key in random if began.random.get(key, random[key]) != random[key]]
        source, number = result.info.raw_cell or "", result.execution_count or began.counter
        budget = max(_LEAST, _SHARE * seconds)
        changes = self._fingerprints.update(self.variables(), self._ipython.user_ns, names_in(source), budget)
        self.executed.append(
            Executed(
                number, getattr(result.info, "cell_id", None), source, began.began, seconds,
                bool(result.success), changes, began.watch.found(), tuple(effects),
                (*details, *_settings_told(began.settings, settings, all_of_them="settings" in effects)),
                self._process.memory_info().rss - began.memory,
            )
        )  # fmt: skip

    def latest(self) -> dict[str, Executed]:
        """The latest execution of each cell that has an id."""
        return {one.cell_id: one for one in self.executed if one.cell_id is not None}

    def table(self) -> Any:
        """What each cell did, as a DataFrame; lines of `%flow` are left out."""
        import pandas as pd

        return pd.DataFrame([_row(ran) for ran in self.executed if not steers(ran.source)])


def steers(source: str) -> bool:
    """Whether a cell tells `%flow` something, and so belongs to no flow."""
    return bool(source.strip()) and not cells_that_run([{"cell_type": "code", "source": source}])


def names_in(source: str) -> list[str]:
    """The names that a cell's code mentions."""
    import ast

    try:
        _, tree = transform(source, 0)
    except CellSyntaxError:
        return []
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def _row(ran: Executed) -> dict[str, Any]:
    changes = ran.changes
    mentioned = set(names_in(ran.source))
    touched = {*changes.defined, *changes.changed}
    lines = ran.source.strip().splitlines()
    wrote, read = _paths(ran.files.written), _paths(path for path in ran.files.read if os.path.exists(path))
    return {
        "cell": f"[{ran.number}]",
        "seconds": round(ran.seconds, 3),
        "MB": round(ran.memory / 1e6, 1),
        "set": ", ".join(changes.defined),
        "changed": ", ".join(changes.changed),
        "may have changed": ", ".join(name for name in changes.unknown if name in mentioned),
        "deleted": ", ".join(changes.deleted),
        "shares": "; ".join(" = ".join(group) for group in changes.shares if touched & set(group)),
        "read": len(read),
        "wrote": len(wrote),
        "files": ", ".join([*wrote, *read][:_FILES]),
        "effects": ", ".join(ran.details),
        "source": lines[0][:40] if lines else "",
    }


def _paths(found: Iterable[str]) -> list[str]:
    """Files as people name them. Folders are noted only since what is in them has changed."""
    return [os.path.relpath(path) if path[:1] == os.sep else path for path in found if not os.path.isdir(path)]


def _settings_told(old: dict[str, Any], new: dict[str, Any], *, all_of_them: bool) -> Iterator[str]:
    environ = {**old["environ"], **new["environ"]}
    names = [name for name in sorted(environ) if old["environ"].get(name) != new["environ"].get(name)]
    if names:
        yield f"environment: {', '.join(names)}"
    if old["cwd"] != new["cwd"]:
        yield f"working directory: {new['cwd']}"
    told = {"environ", "cwd", "visited", "modules"}
    if all_of_them:
        # By their texts: the contexts of decimal numbers equal nothing but themselves.
        yield from (f"settings of {key}" for key in old if key not in told and repr(old[key]) != repr(new.get(key)))
