"""Runs one step of cells: brings its inputs in, runs the cells, takes out what later steps need."""

from __future__ import annotations

import json
import pickle
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

from nbflow.authoring.cells import process_state, travel
from nbflow.authoring.cells.records import CellsWork, CellValues, Piece, Report
from nbflow.executors.context import current

_ATOMS = (int, float, str, bool, bytes, complex, type(None), types.ModuleType, types.BuiltinFunctionType)


def run_cells(work: CellsWork, *inputs: CellValues) -> CellValues:
    """Run the cells of a step. Deterministic for the engine: everything it needs is in its arguments."""
    waiting = _not_ready(work, inputs)
    if waiting is not None:
        return CellValues(report=waiting)
    context = current()  # None where the flow runs as plain Python
    with process_state.kept():
        return _Execution(work, inputs, context.emit if context is not None else _ignored).run()


def _ignored(stream: str, text: str) -> None:
    """Where there is no record, what cells show is shown by nobody."""


def _not_ready(work: CellsWork, inputs: Sequence[CellValues]) -> Report | None:
    if any(values.report.waits or values.report.blocked or values.report.missing for values in inputs):
        return Report(waits=True)
    stuck = tuple(name for name, index in work.takes if name in inputs[index].stuck)
    if stuck and not work.gives_all:
        return Report(blocked=stuck)
    return None


class _Execution:
    """One execution of a step's cells, under the lock of the process."""

    def __init__(self, work: CellsWork, inputs: Sequence[CellValues], emit: Callable[[str, str], None]) -> None:
        self.work = work
        self.inputs = inputs
        self.emit = emit
        self.namespace = travel.Namespace(work.name)
        self.given = {name for piece in work.gives for name in piece}

    def run(self) -> CellValues:
        """Bring in, run, verify, take out."""
        from nbflow.authoring.cells import shell

        self._set_process()
        self._bring_in()
        before = self._fingerprints()
        ids = {name: id(value) for name, value in self.namespace.globals.items()}
        with shell.running(self.namespace, self.emit) as mine:
            old_settings, old_random = process_state.settings(), process_state.random_state()
            error = self._run_cells(mine)
            if isinstance(error, NameError) and error.name in self.work.before:
                return CellValues(report=Report(missing=(error.name,)))
            if error is not None:
                raise error
            report = self._verify(before, ids, old_settings, old_random)
            return self._take_out(report)

    def _set_process(self) -> None:
        work = self.work
        if work.settings_from is not None:
            packed = self.inputs[work.settings_from].settings
            if packed is not None:
                process_state.apply_settings(pickle.loads(packed))  # noqa: S301 - signed with the result it came in
        if work.random_from is not None:
            packed = self.inputs[work.random_from].random
            if packed is not None:
                process_state.apply_random_state(pickle.loads(packed))  # noqa: S301 - signed with the result it came in

    def _bring_in(self) -> None:
        pieces: dict[int, tuple[Piece, list[str]]] = {}
        for name, index in self.work.takes:
            piece = self.inputs[index].piece(name)
            if piece is not None:
                pieces.setdefault(id(piece), (piece, []))[1].append(name)
        for piece, names in pieces.values():
            travel.load(self.namespace, piece, names)

    def _fingerprints(self) -> dict[str, bytes | None]:
        watched = [name for name, _ in self.work.takes if name not in self.given and not self.work.gives_all]
        present = self.namespace.globals
        return {
            name: travel.fingerprint(self.namespace, name)
            for name in watched
            if name in present and not isinstance(present[name], _ATOMS)
        }

    def _run_cells(self, mine: Any) -> BaseException | None:
        from nbflow.authoring.cells import shell

        for cell in self.work.cells:
            started = time.time()
            self.emit("cell", json.dumps({"number": cell.number, "started": started}))
            error = shell.run_cell(mine, cell.number, cell.source)
            self.emit("cell_end", json.dumps({"number": cell.number, "finished": time.time()}))
            if error is not None:
                return error
        return None

    def _verify(self, before: dict[str, bytes | None], ids: dict[str, int], settings: Any, random: Any) -> Report:
        from nbflow.authoring.cells.shell import INTERNAL

        present = self.namespace.globals
        changed = [
            name for name, digest in before.items()
            if name in present and id(present[name]) == ids[name] and travel.fingerprint(self.namespace, name) != digest
        ]  # fmt: skip
        rebound = [
            name
            for name, old in ids.items()
            if name not in self.given and name not in INTERNAL and id(present.get(name)) != old
        ]
        new = [
            name
            for name in present
            if name not in ids and name not in self.given and name not in INTERNAL and not _numbered(name)
        ]
        effects = []
        if not self.work.gives_random and process_state.random_state() != random:
            effects += ["random"] if set(random) == set(process_state.random_state()) else []
        if not self.work.gives_settings and not process_state.same_settings(settings, process_state.settings()):
            effects.append("settings")
        defined = [] if self.work.gives_all else sorted({*rebound, *new})
        return Report(changed=tuple(changed), defined=tuple(defined), effects=tuple(effects))

    def _take_out(self, report: Report) -> CellValues:
        from nbflow.authoring.cells.shell import INTERNAL

        present = self.namespace.globals
        groups = list(self.work.gives)
        if self.work.gives_all:
            # Nothing is known of what shares what: all of it in one piece, as far as it can travel.
            names = [name for name in present if name not in INTERNAL and not _numbered(name)]
            groups = [tuple(names), *[group for group in groups if not set(group) <= set(names)]]
        result = CellValues(report=report)
        pieces: list[Piece] = []
        for group in groups:
            result.absent += tuple(name for name in group if name not in present)
            names = [name for name in group if name in present]
            if names:
                pieces += self._dump(names, result.stuck)
        result.pieces = tuple(pieces)
        if self.work.gives_random:
            result.random = pickle.dumps(process_state.random_state())
        if self.work.gives_settings:
            result.settings = process_state.pack_settings(process_state.settings())
        return result

    def _dump(self, names: list[str], stuck: dict[str, str]) -> list[Piece]:
        try:
            return [travel.dump(self.namespace, names)]
        except Exception as error:
            if len(names) == 1:
                value = self.namespace.globals[names[0]]
                stuck[names[0]] = f"{type(value).__module__}.{type(value).__qualname__}: {error}".removeprefix(
                    "builtins."
                )
                return []
        good = []
        for name in names:
            mine: dict[str, str] = {}
            self._dump([name], mine)
            stuck.update(mine)
            if not mine:
                good.append(name)
        if len(good) == len(names):  # each alone can, and all together cannot
            stuck.update(dict.fromkeys(names, "shares objects in a way that cannot be stored"))
            return []
        return self._dump(good, stuck) if good else []


def _numbered(name: str) -> bool:
    return name[0] == "_" and name.lstrip("_i").isdigit()
