"""Runs one step of cells: brings its inputs in, runs the cells, takes out what later steps need."""

from __future__ import annotations

import json
import pickle
import re
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

from nbflow.analysis.plan import HISTORY_NAMES
from nbflow.authoring.cells import files, process_state, python_modules, sharing, travel
from nbflow.authoring.cells.records import CellsWork, CellValues, Piece, Report
from nbflow.authoring.cells.sharing import Reach
from nbflow.running import capture
from nbflow.running.context import current
from nbflow.values.secrets import references

_ATOMS = (int, float, str, bool, bytes, complex, type(None), types.ModuleType, types.BuiltinFunctionType)

_UNDEFINED = re.compile(r"(?:name|variable) '(\w+)' is not defined")  # of pandas and numexpr
_UNPICKLED = re.compile(r"Can't get attribute '(\w+)' on <module '__main__'")


def run_cells(work: CellsWork, *inputs: CellValues) -> CellValues:
    """Run the cells of a step. Deterministic for the engine: everything it needs is in its arguments."""
    waiting = _not_ready(work, inputs)
    if waiting is not None:
        return CellValues(report=waiting)
    context = current()  # None where the flow runs as plain Python
    # One step at a time in this process: what its threads print is its output.
    threads = capture.rest_attributed_to(context) if context is not None else nullcontext()
    place = references.PLACE.set(references.STEP)  # also where no engine runs it
    try:
        with process_state.kept(modules=work.patches), threads:
            return _Execution(work, inputs, context.emit if context is not None else _ignored).run()
    finally:
        references.PLACE.reset(place)


def _ignored(stream: str, text: str) -> Any:
    """Where there is no record, what cells show is shown by nobody."""


def _not_ready(work: CellsWork, inputs: Sequence[CellValues]) -> Report | None:
    if any(values.report.waits or values.report.blocked or values.report.missing for values in inputs):
        return Report(waits=True)
    needed = [item for item in work.takes if item[0] not in work.passes]
    stuck = [name for name, index in (*needed, *work.also) if name in inputs[index].stuck]
    if work.all_from is not None:
        own = {name for name, _ in (*work.takes, *work.also)}
        stuck += [name for name in inputs[work.all_from].stuck if name not in own]
    return Report(blocked=tuple(stuck)) if stuck else None


def take(names: dict[str, Any], wanted: Iterable[str]) -> CellValues:
    """The values of `wanted` out of a namespace, such as a kernel's, in the form in which steps hand them on."""
    namespace = travel.Namespace("kernel", names)
    seen = {name: travel.look(namespace, name) for name in wanted}
    return pack(namespace, seen, set(seen))


def pack(namespace: travel.Namespace, seen: Mapping[str, travel.Seen], wanted: set[str]) -> CellValues:
    """`wanted` names and what shares objects with them, in as many pieces as do not share anything."""
    result = CellValues()
    pieces: list[Piece] = []
    for names in sharing.components({name: look.reach for name, look in seen.items()}):
        if wanted.isdisjoint(names):
            continue
        able = [name for name in names if seen[name].piece is not None]
        for name in set(names).difference(able):
            result.stuck[name] = _why(namespace.globals[name], seen[name].error)
        if len(able) == 1:
            pieces.append(cast("Piece", seen[able[0]].piece))
        elif able:
            try:
                pieces.append(travel.dump(namespace, able))
            except Exception:
                why = "it shares objects with others in a way that cannot be stored"
                result.stuck.update(dict.fromkeys(able, why))
    result.pieces = tuple(pieces)
    return result


class _Execution:
    """One execution of a step's cells, under the lock of the process."""

    def __init__(self, work: CellsWork, inputs: Sequence[CellValues], emit: Callable[[str, str], Any]) -> None:
        self.work = work
        self.inputs = inputs
        self.emit = emit
        self.namespace = travel.Namespace(work.name)
        self.given = set(work.gives)
        self.arrived: list[tuple[tuple[str, ...], Reach]] = []
        # Names that only pass through, and cannot: their values stay where they are.
        passing = [(name, inputs[index].stuck) for name, index in work.takes if name in work.passes]
        self.stuck = {name: stuck[name] for name, stuck in passing if name in stuck}

    def run(self) -> CellValues:
        """Bring in, run, verify, take out."""
        self._set_process()
        with python_modules.of_steps():
            return self._run()

    def _run(self) -> CellValues:
        from nbflow.authoring.cells import shell

        self._bring_in()
        before = self._fingerprints()
        classes = {token: self.namespace.held_by(kind).digest() for token, kind in self.namespace.classes().items()}
        ids = {name: id(value) for name, value in self.namespace.globals.items()}
        with shell.running(self.namespace, self.emit, self.work.sources) as mine, files.watching() as watched:
            old_settings, old_random = process_state.settings(), process_state.random_state()
            error = self._run_cells(mine)
            if error is not None:
                lacking = self._lacking(error)
                if lacking is not None:
                    return CellValues(report=lacking)
                raise error
            self.namespace.forget()
            seen = {name: travel.look(self.namespace, name) for name in self._present()}
            report = self._verify(seen, before, ids)
            report.changed = tuple(sorted({*report.changed, *self._changed_classes(classes)}))
            report.effects = self._effects(old_settings, old_random)
            report.files = watched.found()
            return self._take_out(report, seen)

    def _set_process(self) -> None:
        work = self.work
        process_state.as_in_kernel()
        if work.settings_from is not None:
            packed = self.inputs[work.settings_from].settings
            if packed is not None:
                process_state.apply_settings(process_state.unpack_settings(packed))
        if work.random_from is not None:
            packed = self.inputs[work.random_from].random
            if packed is not None:
                process_state.apply_random_state(pickle.loads(packed))  # noqa: S301 - signed with the result it came in

    def _bring_in(self) -> None:
        work = self.work
        takes = dict(work.also)
        takes.update(work.takes)
        if work.all_from is not None:
            held = self.inputs[work.all_from]
            takes = {**{name: work.all_from for piece in held.pieces for name in piece.names}, **takes}
        pieces: dict[int, tuple[int, Piece, list[str]]] = {}
        for name, index in takes.items():
            piece = self.inputs[index].piece(name)
            if piece is not None:
                pieces.setdefault(id(piece), (index, piece, []))[2].append(name)
        # In page order: where two pieces hold states of one class, the newer one counts.
        for _, piece, names in sorted(pieces.values(), key=lambda found: found[0]):
            self.arrived.append((tuple(names), travel.load(self.namespace, piece, names)))
        present = self.namespace.globals
        earlier = self.inputs[work.all_from].order if work.all_from is not None else ()
        for name in dict.fromkeys((*earlier, *work.order)):
            if name in present:
                present[name] = present.pop(name)

    def _fingerprints(self) -> dict[str, bytes | None]:
        present = self.namespace.globals
        watched = [name for names, _ in self.arrived for name in names if name not in self.given]
        return {
            name: travel.look(self.namespace, name).digest()
            for name in watched
            if not isinstance(present[name], _ATOMS) and not self.work.gives_all
        }

    def _run_cells(self, mine: Any) -> BaseException | None:
        from nbflow.authoring.cells import shell

        for name in {name for cell in self.work.cells for _, names in cell.secrets for name in names}:
            references.resolve(name)  # else the step fails before it begins
        for cell in self.work.cells:
            started = time.time()
            self.emit("cell", json.dumps({"number": cell.number, "started": started}))
            error = shell.run_cell(mine, cell.number, cell.source)
            for variable, _ in cell.secrets if error is None else ():
                value = references.referring(self.namespace.globals[variable])
                self.namespace.globals[variable] = references.resolved(value)
            lacks = error is not None and self._lacking(error) is not None
            self.emit("cell_end", json.dumps({"number": cell.number, "finished": time.time()}))
            if error is not None and (lacks or not cell.may_fail):
                return error
        return None

    def _lacking(self, error: BaseException) -> Report | None:
        """What a step has to be run again with, if that is why it failed."""
        name = getattr(error, "name", None) if isinstance(error, NameError) else None
        pattern = _UNPICKLED if isinstance(error, AttributeError) else _UNDEFINED
        found = pattern.search(str(error)) if isinstance(error, (AttributeError, NameError)) and name is None else None
        if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
            name = error.args[0]  # globals()[name]
        name = found[1] if found is not None else name
        if not isinstance(name, str) or name in self.namespace.globals:
            return None
        if name in self.stuck:
            return Report(blocked=(name,))
        exists = name in self.work.before or (self.work.before_unknown and name not in self._taken())
        return Report(missing=(name,)) if exists else None

    def _present(self) -> list[str]:
        from nbflow.authoring.cells.shell import INTERNAL

        hidden = INTERNAL - (self.given & set(HISTORY_NAMES))
        return [name for name in self.namespace.globals if name not in hidden and not _numbered(name)]

    def _verify(self, seen: dict[str, travel.Seen], before: dict[str, bytes | None], ids: dict[str, int]) -> Report:
        present = self.namespace.globals
        changed = [
            name
            for name, digest in before.items()
            if name in seen and id(present[name]) == ids[name] and seen[name].digest() != digest
        ]
        defined = [
            name for name in seen if name not in self.given and (name not in ids or id(present[name]) != ids[name])
        ]
        arrived = [name for names, _ in self.arrived for name in names]
        deleted = [name for name in arrived if name not in present and name not in self.given]
        if self.work.gives_all:
            defined, deleted = [], []
        return Report(changed=tuple(changed), defined=tuple(sorted({*defined, *deleted})), shares=self._shares(seen))

    def _changed_classes(self, before: Mapping[str, bytes | None]) -> Iterator[str]:
        """Names of classes that were changed by way of an object or a function, and not by their names."""
        if self.work.gives_all:
            return
        for token, kind in self.namespace.classes().items():
            name = kind.__name__
            if token in before and name not in self.given and (name in self.work.before or name in self._taken()):
                if self.namespace.held_by(kind).digest() != before[token]:
                    yield name

    def _taken(self) -> set[str]:
        return {name for name, _ in (*self.work.takes, *self.work.also)}

    def _shares(self, seen: dict[str, travel.Seen]) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        found = []
        for names in sharing.components({name: look.reach for name, look in seen.items() if look.reach.keys}):
            keys = frozenset().union(*[seen[name].reach.keys for name in names])
            starts = {name for group, reached in self.arrived for name in group if not keys.isdisjoint(reached.keys)}
            if len(starts.union(names)) > 1:
                found.append((names, tuple(sorted(starts))))
        return tuple(found)

    def _effects(self, settings: dict[str, Any], random: dict[str, Any]) -> tuple[str, ...]:
        effects = []
        now, settings_now = process_state.random_state(), process_state.settings()
        # Some modules draw random numbers when they are imported; that matters only where numbers are to be repeatable.
        by_import = settings_now["modules"] != settings["modules"] and not self.work.seeded
        if not self.work.gives_random and now != random and set(now) == set(random) and not by_import:
            effects.append("random")
        if not self.work.gives_settings and not process_state.same_settings(settings, settings_now):
            effects.append("settings")
        if not self.work.patches and python_modules.changed():
            effects.append("patch")
        return tuple(effects)

    def _take_out(self, report: Report, seen: dict[str, travel.Seen]) -> CellValues:
        """All that later steps may need, with what shares objects with it; also what the plan did not foresee."""
        wanted = self.given.union(report.changed, report.defined)
        order: tuple[str, ...] = ()
        if self.work.gives_all:
            wanted.update(seen)
            wanted.update(name for names, _ in self.arrived for name in names)
            order = tuple(seen)
        stuck = {name: why for name, why in self.stuck.items() if name not in seen}
        absent = tuple(sorted(wanted - set(seen) - set(stuck)))
        result = pack(self.namespace, seen, wanted)
        result.report, result.absent, result.order = report, absent, order
        result.stuck.update(stuck)
        reached = {name: look.reach for name, look in seen.items()}
        result.apart = tuple(sorted({tuple(sorted(pair)) for pair in sharing.memory_shared(reached)}))
        for pair in result.apart:
            if set(pair) <= set(self.work.together):
                why = f"{pair[0]} and {pair[1]} are an array and a frame with the same memory, which is changed later"
                result.stuck.update(dict.fromkeys(pair, why))
        if self.work.gives_random or "random" in report.effects:
            result.random = pickle.dumps(process_state.random_state())
        if self.work.gives_settings or "settings" in report.effects:
            result.settings = process_state.pack_settings(process_state.settings())
        return result


def _why(value: Any, error: Exception | None) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}: {error}".removeprefix("builtins.")


def _numbered(name: str) -> bool:
    return name[0] == "_" and name.lstrip("_i").isdigit()
