"""Code statistics: how large notebooks and flow functions are, what changed, and where their time goes."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.analysis.cells import with_injected
from nbflow.analysis.steering import cells_that_run, source_of
from nbflow.authoring.notebook import NotebookFunction
from nbflow.deploying.reports.facts import CellFigures, CodeFigures, Spread, Tally
from nbflow.deploying.reports.period import Period
from nbflow.model.errors import CodecError
from nbflow.model.specs import FlowSpec
from nbflow.storage import reporting, versions
from nbflow.storage.reporting import CellMark, VersionUse
from nbflow.views.words import one_line

if TYPE_CHECKING:
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_SLOWEST = 3  # cells of a notebook
_LONGEST_LINE = 60  # characters


class _Code(NamedTuple):
    """The code of one version."""

    cells: tuple[str, ...]  # sources, in order; of a function the one that it is
    content: dict[str, Any] | None  # JSON of a notebook

    @property
    def lines(self) -> list[str]:
        """The lines that are not empty, without spaces at their ends."""
        return [line.rstrip() for cell in self.cells for line in cell.splitlines() if line.strip()]


class _Executed(NamedTuple):
    """One execution of a cell."""

    source: str
    seconds: float | None  # None: it did not end


def code_figures(
    database: Database, values: ValueStore, period: Period, steps: Mapping[tuple[str, ...], Tally]
) -> tuple[CodeFigures, ...]:
    """The code of all flows that ran in a period. `steps`: what became of the tasks of each (flow, step)."""
    used = database.retrying(lambda each: reporting.versions_used(each, period.begin, period.end), write=False)
    by_flow: dict[str, list[VersionUse]] = defaultdict(list)
    for use in used:
        by_flow[use.flow].append(use)
    library = _Library(database, values)
    executed = _executions(database, library, period)
    found = [_of_flow(flow, uses, library, executed[flow], steps) for flow, uses in sorted(by_flow.items())]
    return tuple(each for each in found if each is not None)


def _of_flow(
    flow: str,
    uses: Sequence[VersionUse],
    library: _Library,
    executed: Sequence[_Executed],
    steps: Mapping[tuple[str, ...], Tally],
) -> CodeFigures | None:
    """None if it did not run in the period, or its code cannot be read any more."""
    ran = [use for use in uses if use.last is not None]
    newest = max(ran, key=lambda use: use.last or 0.0, default=None)
    code = library.code(newest.version) if newest is not None else None
    if newest is None or code is None:
        return None
    added, removed = _changes(library, uses, newest, code)
    if newest.kind == "notebook":
        cells, count, seconds = _cells(code, executed), len(executed), sum(each.seconds or 0.0 for each in executed)
    else:
        mine = [tally for (of, _), tally in steps.items() if of == flow]
        cells, count = (), sum(tally.durations.count for tally in mine)
        seconds = sum(tally.durations.total for tally in mine)
    return CodeFigures(
        flow=flow,
        kind=newest.kind,
        cells=len(code.cells) if newest.kind == "notebook" else None,
        lines=len(code.lines),
        added=added,
        removed=removed,
        versions=len(ran),
        executions=count,
        seconds=seconds,
        slowest=cells,
    )


def _changes(
    library: _Library, uses: Sequence[VersionUse], newest: VersionUse, code: _Code
) -> tuple[int | None, int | None]:
    """Lines added and removed since what ran last before the period; if nothing did, since what ran first in it."""
    before = [use for use in uses if use.before is not None]
    base = max(before, key=lambda use: use.before or 0.0) if before else min(
        (use for use in uses if use.first is not None), key=lambda use: use.first or 0.0
    )  # fmt: skip
    if not before and base.version == newest.version:
        return None, None
    old = library.code(base.version)
    return changed_lines(old.lines, code.lines) if old is not None else (None, None)


def changed_lines(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many lines were added and removed; one that was changed is both."""
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    same = sum(block.size for block in blocks)
    return len(new) - same, len(old) - same


def _cells(code: _Code, executed: Iterable[_Executed]) -> tuple[CellFigures, ...]:
    """The cells that took longest in all."""
    by_source: dict[str, list[float]] = defaultdict(list)
    for each in executed:
        if each.seconds is not None:
            by_source[each.source].append(each.seconds)
    found = []
    for number, source in enumerate(code.cells, start=1):
        if source in by_source:  # the first of several that are the same has the time of all
            found.append(CellFigures(number, _first_line(source), spread(by_source.pop(source))))
    return tuple(sorted(found, key=lambda cell: -cell.durations.total)[:_SLOWEST])


def _first_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    telling = next((line for line in lines if not line.startswith(("#", "%%step"))), lines[0] if lines else "")
    return one_line(telling, _LONGEST_LINE)


def spread(seconds: Sequence[float]) -> Spread:
    """How spans of time are spread; percentiles are interpolated, as pandas does."""
    if not seconds:
        return Spread()
    import numpy as np

    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return Spread(len(seconds), float(p50), float(p95), max(seconds), sum(seconds))


class _Library:
    """The code of versions, each read once."""

    def __init__(self, database: Database, values: ValueStore) -> None:
        self._database = database
        self._values = values
        self._known: dict[str, _Code | None] = {}
        self._numbered: dict[tuple[str, bool], tuple[str, ...]] = {}

    def code(self, version: str) -> _Code | None:
        """The code of a version; None if it is not kept, or cannot be read here."""
        if version not in self._known:
            self._known[version] = self._read(version)
        return self._known[version]

    def numbered(self, version: str, *, injected: bool) -> tuple[str, ...]:
        """The cells of a notebook as they were counted in a run; `injected`: with a cell that sets its parameters."""
        key = version, injected
        if key not in self._numbered:
            code = self.code(version)
            content = code.content if code is not None else None
            if content is not None and injected:
                content = with_injected(content, _INJECTED)
            self._numbered[key] = _sources(content) if content is not None else ()
        return self._numbered[key]

    def _read(self, version: str) -> _Code | None:
        record = self._database.retrying(lambda each: versions.get(each, version), write=False)
        if record is None:
            return None
        if record.kind != "notebook":
            return _Code((record.source,), None) if record.source is not None else None
        try:
            spec = self._values.get(self._values.unseal_stored(record.code)) if record.code is not None else None
        except CodecError:
            return None
        if not isinstance(spec, FlowSpec) or not isinstance(spec.function, NotebookFunction):
            return None
        content = json.loads(spec.function.text)
        return _Code(_sources(content), content)


_INJECTED = "# parameters"


def _sources(content: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(source_of(content["cells"][position]) for position in cells_that_run(content["cells"]))


def _executions(database: Database, library: _Library, period: Period) -> dict[str, list[_Executed]]:
    """What cells did in the period, by flow."""

    def read(connection: Any) -> tuple[dict[str, tuple[str, str]], list[CellMark]]:
        runs = reporting.runs_of_notebooks(connection, period.begin, period.end)
        return runs, list(reporting.cell_marks(connection, runs))

    runs, marks = database.retrying(read, write=False)
    flows = {use.version: use.flow for use in database.retrying(
        lambda each: reporting.versions_used(each, period.begin, period.end), write=False)}  # fmt: skip
    found: dict[str, list[_Executed]] = defaultdict(list)
    for run, number, started, finished in _pairs(marks):
        version, parameters = runs[run]
        sources = library.numbered(version, injected=bool(json.loads(parameters)))
        if period.begin <= started < period.end and 0 < number <= len(sources):
            seconds = max(0.0, finished - started) if finished is not None else None
            found[flows.get(version, "")].append(_Executed(sources[number - 1], seconds))
    return found


def _pairs(marks: Iterable[CellMark]) -> Iterator[tuple[str, int, float, float | None]]:
    """(run, cell, began, ended) of each execution."""
    begun: tuple[tuple[str, int, int], int, float] | None = None
    for mark in marks:
        told, place = json.loads(mark.text), (mark.run, mark.seq, mark.attempt)
        if mark.stream == "cell_end" and begun is not None and begun[:2] == (place, told["number"]):
            yield mark.run, begun[1], begun[2], float(told["finished"])
            begun = None
        elif mark.stream == "cell":
            if begun is not None:
                yield begun[0][0], begun[1], begun[2], None
            begun = place, int(told["number"]), float(told["started"])
    if begun is not None:
        yield begun[0][0], begun[1], begun[2], None
