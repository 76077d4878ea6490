"""The inputs of a step that failed, in a namespace of their own, to look at and to try things on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbflow.authoring.cells import travel
from nbflow.authoring.cells.records import CellsWork, CellValues


class Scratch:
    """What a step was given. Its names are attributes and items; `run` runs code on them."""

    def __init__(self, step: str, source: str, names: dict[str, Any], traceback: str = "") -> None:
        self.step = step
        self.source = source
        self.names = names
        self.traceback = traceback

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.__dict__.get("names", {}):
            raise AttributeError(f"step {self.__dict__.get('step')!r} was given no {name!r}")
        return self.names[name]

    def __getitem__(self, name: str) -> Any:
        return self.names[name]

    def run(self, source: str | None = None, ipython: Any = None) -> Any:
        """Run code, by default the step's own, on the names; in `ipython` (a shell), else as plain Python."""
        code = self.source if source is None else source
        if ipython is None:
            exec(compile(code, f"<{self.step}>", "exec"), self.names)  # noqa: S102 - the user's own code
            return None
        before = ipython.user_ns
        self.names.setdefault("get_ipython", ipython.get_ipython)
        ipython.user_ns = self.names
        try:
            result = ipython.run_cell(code, store_history=False)
        finally:
            ipython.user_ns = before
        result.raise_error()
        return None

    def __repr__(self) -> str:
        names = [f"{name}: {type(value).__name__}" for name, value in self.names.items() if not name.startswith("__")]
        listed = "\n".join(f"  {name}" for name in sorted(names)) or "  nothing"
        ends = self.traceback.strip().splitlines()[-1:] if self.traceback else []
        return "\n".join([f"step {self.step} was given", listed, *[f"and failed: {end}" for end in ends]])


def scratch_of(work: CellsWork, inputs: Sequence[CellValues], traceback: str) -> Scratch:
    """The inputs of a step of cells."""
    namespace = travel.Namespace(work.name)
    takes = sorted({**dict(work.also), **dict(work.takes)}.items(), key=lambda item: item[1])
    pieces: dict[int, tuple[Any, list[str]]] = {}
    for name, index in takes:
        piece = inputs[index].piece(name)
        if piece is not None:
            pieces.setdefault(id(piece), (piece, []))[1].append(name)
    for piece, names in pieces.values():
        travel.load(namespace, piece, names)
    source = "\n\n".join(cell.source for cell in work.cells)
    return Scratch(work.name, source, namespace.globals, traceback)
