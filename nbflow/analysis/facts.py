"""What is known of a cell before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

# Effects beyond the values of names. Steps that share one of these are run in page order.
RANDOM = "random"  # moves a global random number generator
SEED = "seed"  # sets one
SETTINGS = "settings"  # environment, working directory, options, sys.path, patched modules
INPUT = "input"  # reads files or the network
OUTSIDE = "outside"  # changes files, runs programs, talks to the network
PATCH = "patch"  # changes a module, which cannot be carried
HISTORY = "history"  # reads `_` or `Out`
SOURCES = "sources"  # reads `In` or `_i`
IDENTITY = "identity"  # uses addresses of objects, which change when these travel
OPAQUE = "opaque"  # may read, define and change any name
EFFECTS = frozenset({RANDOM, SEED, SETTINGS, INPUT, OUTSIDE, PATCH, HISTORY, SOURCES, IDENTITY, OPAQUE})


class Mark(NamedTuple):
    """Where something is said in a cell, and why it counts."""

    line: int  # in the cell, from 1
    reason: str


class Event(NamedTuple):
    """One thing that a cell does to names, in the order of its statements."""

    kind: str  # "bind", "change", "link" (may share objects) or "share" (may share data: seen only if it is changed)
    names: tuple[str, ...]
    mark: Mark
    certain: bool = True  # for "bind": on every path


@dataclass(slots=True)
class CellFacts:
    """What one cell may do."""

    reads: dict[str, Mark] = field(default_factory=dict)  # names whose value from before it may use
    defines: dict[str, Mark] = field(default_factory=dict)  # names that it may bind
    certain: set[str] = field(default_factory=set)  # of these, the ones bound on every path
    deletes: dict[str, Mark] = field(default_factory=dict)
    changes: dict[str, Mark] = field(default_factory=dict)  # names whose objects it may change in place
    effects: dict[str, Mark] = field(default_factory=dict)
    resources: dict[str, Mark] = field(default_factory=dict)  # names it binds to what cannot travel
    events: list[Event] = field(default_factory=list)
    compared: set[str] = field(default_factory=set)  # names whose objects it compares by identity


@dataclass(frozen=True, slots=True)
class Code:
    """What functions and classes defined in cells do with global names when they are used."""

    reads: frozenset[str] = frozenset()
    defines: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()  # parameters whose objects may be changed; "*": any
    effects: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()  # global names whose objects may be in what it returns

    def joined(self, other: Code) -> Code:
        """What either does."""
        return Code(
            self.reads | other.reads,
            self.defines | other.defines,
            self.changes | other.changes,
            self.parameters | other.parameters,
            self.effects | other.effects,
            self.gives | other.gives,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a value: an expression's, or the one that a name is bound to."""

    roots: frozenset[str] = frozenset()  # names whose objects it may share
    kind: str | None = None  # "atom", "data", "module", "resource", "class", or None: unknown
    path: str | None = None  # qualified name, for modules and what is in them
    code: Code | None = None  # of functions and classes that it may hold
    views: frozenset[str] = frozenset()  # names whose data (not: objects) it may share

    def joined(self, other: Known) -> Known:
        """What is known of a value that is one of the two, or made of both."""
        code = self.code.joined(other.code) if self.code and other.code else self.code or other.code
        kind = self.kind if self.kind == other.kind else None
        path = self.path if self.path == other.path else None
        mine, theirs = self._as_part(kind), other._as_part(kind)
        return Known(mine[0] | theirs[0], kind, path, code, mine[1] | theirs[1])

    def _as_part(self, kind: str | None) -> tuple[frozenset[str], frozenset[str]]:
        if self.kind == "data" and kind != "data":
            return frozenset(), self.roots | self.views
        return self.roots, self.views


ATOM = Known(kind="atom")
