"""Generated notebooks: each is run as a flow and from top to bottom, and both have to say the same.

python -m tests.cases.generated --cases 100000 --seed 1 [--executor processes]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import random
import re
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from nbflow.authoring.notebook import from_notebook
from nbflow.model.errors import NbflowError
from tests.cases.grammar import NAMES, PIECES, WRAPPERS
from tests.cases.linear import (
    Kernel,
    Outcome,
    fresh_process,
    is_data,
    is_opaque,
    is_plain,
    linear_outcome,
    shape,
    without_addresses,
)  # fmt: skip
from tests.cases.minimise import kind_of, minimised, shown

_HOLE = re.compile(r"<([a-z]+)\d*>")
_SEEDED = {"drawn": "random.seed(", "drawn_numpy": "np.random.seed("}


class Choice(Protocol):
    """Where decisions come from: hypothesis, or a random number generator."""

    def __call__(self, options: Sequence[Any], /) -> Any:
        """One of the options; the simplest stands first."""


class Builder:
    """Makes a notebook cell by cell, running what there is already, so that it knows which names exist and of what kind."""

    def __init__(self, choose: Choice, without: Iterable[str] = ()) -> None:
        self.choose = choose
        self.without = frozenset(without)  # topics and parts of pieces that are left out
        self.kernel = Kernel()
        self.cells: list[str] = []
        self.ended = False

    def notebook(self) -> list[str]:
        """The cells of one notebook."""
        with fresh_process(), _folder("building"):
            for _ in range(self.choose((3, 4, 5, 6, 7))):
                self._cell()
                if self.ended:
                    break
            self._cell(observe=True)
        return self.cells

    def _cell(self, observe: bool = False) -> None:
        pieces = [] if observe else [self._piece() for _ in range(self.choose((1, 1, 2, 3)))]
        if self.choose((False, True)) or observe:
            pieces.append(self._observation())
        text = "\n".join(piece for piece in pieces if piece)
        if text:
            self.cells.append(text)

    def _piece(self) -> str:
        if self.ended:
            return ""
        text = self._filled(self.choose(self._offers()))
        if self.choose(range(6)) == 5 and "\n" not in text:
            wrapper = self.choose(self._possible(WRAPPERS, self._there()))
            text = self._filled(wrapper).replace("...", text)
        _, error = self.kernel.run(text, len(self.cells) + 1)
        self.ended = error is not None
        return text

    def _offers(self) -> list[str]:
        there = self._there()
        offers = {
            topic: pieces
            for topic in PIECES
            if topic not in self.without
            and (topic not in _SEEDED or any(_SEEDED[topic] in cell for cell in self.cells))
            and (pieces := self._possible(PIECES[topic], there))
        }
        return offers[self.choose(list(offers))]

    def _there(self) -> set[str]:
        return {"new", "int", "key"}.union(kind for kind in KINDS if self._named(kind))

    def _possible(self, pieces: Sequence[str], there: set[str]) -> list[str]:
        return [piece for piece in pieces if _holes(piece) <= there and not any(part in piece for part in self.without)]

    def _named(self, kind: str) -> list[str]:
        test = KINDS[kind]
        return sorted(name for name, value in self.kernel.names.items() if name in NAMES and test(value))

    def _filled(self, piece: str) -> str:
        chosen: dict[str, str] = {}

        def fill(match: re.Match[str]) -> str:
            hole, kind = match[0], match[1]
            if hole not in chosen:
                options = NAMES if kind == "new" else range(3, 8) if kind == "int" else self._named(kind)
                free = [option for option in options if str(option) not in chosen.values()] or options
                chosen[hole] = str(self.choose(free))
            return chosen[hole]

        return _HOLE.sub(fill, piece)

    def _observation(self) -> str:
        if self.ended:
            return ""
        shown = [how for name in NAMES if (how := self._shown(name))]
        if not shown:
            return ""
        lists = self._named("mutable")
        if len(lists) > 1 and self.choose((False, False, True)):
            shown.append(f"{self.choose(lists)} is {self.choose(lists)}")
        some = [item for item in shown if self.choose((True, True, False))] or shown[:1]
        return f"print({', '.join(some)})"

    def _shown(self, name: str) -> str:
        if name not in self.kernel.names:
            return ""
        value = self.kernel.names[name]
        if isinstance(value, (set, frozenset)):
            return f"sorted({name}, key=repr)"
        if isinstance(value, np.ndarray):
            return f"{name}.tolist()"
        if isinstance(value, pd.DataFrame):
            return f"{name}.to_dict('list')"
        if isinstance(value, pd.Series):
            return f"{name}.tolist()"
        plain = isinstance(value, (int, float, str, list, dict, tuple, type(None))) or KINDS["obj"](value)
        return name if plain else ""


@functools.cache
def _holes(piece: str) -> frozenset[str]:
    return frozenset(_HOLE.findall(piece))


def _is_own(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__ == "__main__"


def _first(value: Any) -> str:
    code = value.__code__
    return code.co_varnames[0] if code.co_argcount or code.co_flags & 4 else ""


KINDS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: not isinstance(value, types.ModuleType),
    "num": lambda value: type(value) in (int, float),
    "str": lambda value: type(value) is str,
    "list": lambda value: type(value) is list,
    "mutable": lambda value: isinstance(value, (list, dict)),
    "dict": lambda value: type(value) is dict,
    "set": lambda value: type(value) is set,
    "arr": lambda value: type(value) is np.ndarray,
    "df": lambda value: type(value) is pd.DataFrame,
    "cls": lambda value: isinstance(value, type) and value.__module__ == "__main__" and hasattr(value, "add"),
    "obj": lambda value: not isinstance(value, type) and type(value).__module__ == "__main__" and hasattr(type(value), "add"),
    "fun": lambda value: _is_own(value) and _first(value) not in {"xs", "fn"},
    "funxs": lambda value: _is_own(value) and _first(value) == "xs",
    "deco": lambda value: _is_own(value) and _first(value) == "fn",
    "bound": lambda value: isinstance(value, (types.MethodType, types.BuiltinMethodType)) and value.__name__ in {"add", "append"},
    "iter": lambda value: hasattr(type(value), "__next__"),
}  # fmt: skip


class Comparison:
    """Runs notebooks both ways, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        (folder / ".nbflow").mkdir(exist_ok=True)

    def difference(self, cells: Sequence[str], executor: str = "serial") -> str | None:
        """How the flow differs from the notebook; None where it does not, or where it is refused."""
        os.chdir(self.folder)
        with _folder("linear"):
            wanted = linear_outcome(cells)
        with _folder("flow"), fresh_process():
            found = self._flow_outcome(cells, executor)
        self.counts["refused" if isinstance(found, str) else "raised" if wanted.failed else "ran"] += 1
        if isinstance(found, str):
            return None
        return differs(wanted, found)

    def is_repeatable(self, cells: Sequence[str]) -> bool:
        """Whether the notebook does the same whatever the state of the process is when it begins."""
        os.chdir(self.folder)
        outcomes = []
        for seed in (0, 1):
            with _folder("linear"):
                outcomes.append(linear_outcome(cells, seed))
        return outcomes[0] == outcomes[1]

    def _flow_outcome(self, cells: Sequence[str], executor: str) -> Outcome | str:
        path = self.folder / "case.ipynb"
        path.write_text(json.dumps(content_of(cells)), encoding="utf-8")
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                run = from_notebook(path).run(executor=executor, workers=2, db=f"sqlite:///{self.folder}/runs.db")
        except NbflowError as error:
            return str(error)
        if isinstance(run.error, NbflowError):
            return str(run.error)
        logs = sorted(run.logs(), key=lambda record: (record.seq, record.attempt, record.number))
        printed = printed_by_cell(logs, len(cells))
        if run.error is not None:
            number = failed_cell(logs, type(run.error).__name__)
            return Outcome(tuple(printed[:number]), {}, (number, type(run.error).__name__))
        return Outcome(tuple(printed), _values(run.values), None)


def _values(held: Any) -> dict[str, Any]:
    found = {}
    for name in held:
        try:
            value = held[name]
        except NbflowError as error:
            found[name] = error
            continue
        if is_data(name, value):
            found[name] = shape(value)
    return found


def content_of(cells: Sequence[str]) -> dict[str, Any]:
    """The JSON of a notebook."""
    made = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None} for cell in cells
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}


def printed_by_cell(logs: Sequence[Any], count: int) -> list[str]:
    """What each cell printed when it ran for the last time."""
    printed, inside = [""] * count, 0
    for record in logs:
        if record.stream == "cell":
            inside = json.loads(record.text)["number"]
            printed[inside - 1] = ""
        elif record.stream == "stdout" and inside:
            printed[inside - 1] += record.text
    return [without_addresses(text) for text in printed]


def failed_cell(logs: Sequence[Any], name: str) -> int:
    """The number of the first cell that raised the error of this name when it ran for the last time."""
    inside, raised = 0, {}
    for record in logs:
        if record.stream == "cell":
            inside = json.loads(record.text)["number"]
            raised[inside] = False
        elif record.stream == "error" and json.loads(record.text)["ename"] == name:
            raised[inside] = True
    return min((number for number, has in raised.items() if has), default=0)


def differs(wanted: Outcome, found: Outcome) -> str | None:
    """The first difference in words."""
    if wanted.failed != found.failed:
        return f"failed: {wanted.failed} as a notebook, {found.failed} as a flow"
    for number, (mine, other) in enumerate(zip(wanted.printed, found.printed, strict=True), 1):
        if mine != other:
            return f"cell {number} prints {mine!r} as a notebook, {other!r} as a flow"
    if wanted.failed:
        return None
    for name, value in wanted.values.items():
        if is_opaque(value) or (isinstance(found.values.get(name), NbflowError) and not is_plain(value)):
            continue
        if name not in found.values or found.values[name] != value:
            return f"{name} ends as {value} as a notebook, {found.values.get(name, 'nothing')} as a flow"
    extra = sorted(set(found.values) - set(wanted.values))
    return f"the flow leaves {extra}, the notebook does not" if extra else None


class _folder:  # noqa: N801 - used like a function
    """An empty working directory below the present one."""

    def __init__(self, name: str) -> None:
        self.path = Path.cwd() / name

    def __enter__(self) -> None:
        self.path.mkdir(exist_ok=True)
        os.chdir(self.path)
        for entry in self.path.iterdir():
            if entry.is_file():
                entry.unlink()

    def __exit__(self, *_: object) -> None:
        os.chdir(self.path.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """The long form; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", default="serial")
    parser.add_argument("--without", action="append", default=[], help="a topic, or a part of pieces, to leave out")
    parser.add_argument("--stop-after", type=int, default=10, help="differences")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NBFLOW_HOME"] = folder + "/home"
        comparison = Comparison(Path(folder))
        try:
            found = _hunt(comparison, options)
        finally:
            os.chdir("/")
    return 1 if found else 0


def _hunt(comparison: Comparison, options: argparse.Namespace) -> int:
    started, found = time.monotonic(), 0
    for case in range(options.cases):
        os.chdir(comparison.folder)
        seed = f"{options.seed}-{case}"
        cells = Builder(random.Random(seed).choice, options.without).notebook()
        difference = comparison.difference(cells, options.executor)
        if difference and comparison.is_repeatable(cells):
            found += 1

            def fails(smaller: list[str], wanted: str = kind_of(difference)) -> bool:
                now = comparison.difference(smaller, options.executor)
                return now is not None and kind_of(now) == wanted and comparison.is_repeatable(smaller)

            small = minimised(cells, fails)
            print(f"--- {seed}: {comparison.difference(small, options.executor)}\n{shown(small)}", flush=True)
            if found >= options.stop_after:
                break
        if case % 1000 == 999:
            print(f"{case + 1} notebooks, {(case + 1) / (time.monotonic() - started):.0f} a second, "
                  f"{dict(comparison.counts)}, {found} differences", file=sys.stderr, flush=True)  # fmt: skip
    print(f"{case + 1} notebooks in {time.monotonic() - started:.0f} s, {dict(comparison.counts)}, {found} differences")
    return found


if __name__ == "__main__":
    sys.exit(main())
