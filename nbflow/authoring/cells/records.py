"""What a step of cells is asked to do, and what comes of it."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CellSource:
    """One cell to run."""

    number: int  # execution count
    source: str
    may_fail: bool = False  # an error in it ends nothing
    secrets: tuple[tuple[str, tuple[str, ...]], ...] = ()  # parameters that it sets to secrets, and names of these


@dataclass(frozen=True, slots=True)
class CellsWork:
    """One step of cells. Numbers after a name say which of the step's inputs holds it."""

    name: str
    cells: tuple[CellSource, ...]
    takes: tuple[tuple[str, int], ...]
    gives: tuple[str, ...]
    passes: tuple[str, ...] = ()  # names of `takes` that the cells hardly need: it may hand them on as they are
    gives_all: bool = False  # whatever names there are in the end
    also: tuple[tuple[str, int], ...] = ()  # names that it may take, as far as they can travel
    all_from: int | None = None  # an input of which every name is taken that no other supplies
    order: tuple[str, ...] = ()  # names in the order in which they came to be, where cells may see it
    before: tuple[str, ...] = ()  # names that exist by then, though nothing says that the step needs them
    before_unknown: bool = False  # there may be more of these, which nobody can list
    together: tuple[str, ...] = ()  # names that have to leave with what they share
    seeded: bool = True  # whether the notebook sets random numbers anywhere
    random_from: int | None = None
    gives_random: bool = False
    settings_from: int | None = None
    gives_settings: bool = False
    patches: bool = False  # modules are changed, and have to be as they were afterwards
    history: bool = False  # `_` and `Out` travel
    sources: tuple[CellSource, ...] = ()  # cells before these, where `In` is read

    def debug(self, *inputs: CellValues, traceback: str = "") -> Any:
        """The names that the step was given, in a namespace of their own."""
        from nbflow.authoring.cells.scratch import scratch_of

        return scratch_of(self, inputs, traceback)


class Piece:
    """Values that travel together: names, and one pickle of all that they are bound to."""

    def __init__(self, names: tuple[str, ...], stream: bytes, buffers: list[Any]) -> None:
        self.names = names
        self.stream = stream
        self.buffers = buffers

    def __reduce_ex__(self, protocol: Any) -> Any:
        if protocol >= 5:
            return Piece, (self.names, self.stream, [pickle.PickleBuffer(part) for part in self.buffers])
        return Piece, (self.names, self.stream, [bytes(part) for part in self.buffers])


@dataclass(frozen=True, slots=True)
class Files:
    """What a step did with files and programs, as far as Python itself did it."""

    began: float  # seconds since 1970
    ended: float
    read: tuple[str, ...] = ()  # absolute paths; for a folder, that its entries were listed
    written: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What a step found out about itself that the plan did not say."""

    blocked: tuple[str, ...] = ()  # not run: these inputs cannot travel
    waits: bool = False  # not run: an input comes from a step that was not run
    missing: tuple[str, ...] = ()  # not valid: names that it needed and did not get
    changed: tuple[str, ...] = ()  # inputs that it changed, though the plan took them as only read
    defined: tuple[str, ...] = ()  # names that it set, though the plan did not say so
    effects: tuple[str, ...] = ()  # "random", "settings", "patch"
    # Names that share objects in the end, and names whose objects of before are among these. The plan may know better
    # which other names those come to.
    shares: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    files: Files | None = None

    @property
    def amends(self) -> bool:
        """Whether it says for certain that the plan has to be made again."""
        return bool(self.blocked or self.waits or self.missing or self.changed or self.defined or self.effects)


@dataclass(slots=True)
class CellValues:
    """The result of a step of cells."""

    pieces: tuple[Piece, ...] = ()
    stuck: dict[str, str] = field(default_factory=dict)  # name → why its value cannot leave the process
    absent: tuple[str, ...] = ()  # names that are not bound after the step
    apart: tuple[tuple[str, ...], ...] = ()  # names that share memory, and travelled as copies
    order: tuple[str, ...] = ()  # of a step that gives all there is: the names in the order of the namespace
    random: bytes | None = None
    settings: bytes | None = None
    report: Report = field(default_factory=Report)

    def covers(self, names: Iterable[str]) -> bool:
        """Whether it says of each name what became of it."""
        held = {name for piece in self.pieces for name in piece.names}
        return set(names) <= held | set(self.stuck) | set(self.absent)

    def piece(self, name: str) -> Piece | None:
        """The piece that holds a name."""
        return next((piece for piece in self.pieces if name in piece.names), None)
