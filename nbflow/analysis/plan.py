"""The graph of steps: which step supplies each name to which, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbflow.analysis.cells import Cell
from nbflow.analysis.facts import HISTORY, INPUT, OPAQUE, OUTSIDE, PATCH, RANDOM, SEED, SETTINGS, CellFacts, Event, Mark
from nbflow.analysis.steps import StepCells, group

HISTORY_NAMES = ("_", "__", "___", "Out")


@dataclass(frozen=True, slots=True)
class Edge:
    """A name that a step takes from another."""

    name: str
    source: int  # position of the step that supplies it
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step and what travels to and from it."""

    step: StepCells
    takes: tuple[Edge, ...]
    gives: tuple[tuple[str, ...], ...]  # names in groups; those of one group may share objects
    before: tuple[str, ...]  # names that earlier steps define and this one does not take
    effects: frozenset[str]
    random_from: int | None  # the step whose random state it goes on with
    settings_from: int | None  # the step whose settings it runs under
    after: int | None  # a step that has to be over, since both touch the outside

    @property
    def sources(self) -> tuple[int, ...]:
        """Positions of the steps that it needs something of."""
        found = {edge.source for edge in self.takes}
        found.update(source for source in (self.random_from, self.settings_from, self.after) if source is not None)
        return tuple(sorted(found))


@dataclass(slots=True)
class Amendments:
    """What was learned while the flow ran, and the source does not show. Keys are numbers of first cells."""

    changes: dict[int, set[str]] = field(default_factory=dict)
    reads: dict[int, set[str]] = field(default_factory=dict)
    defines: dict[int, set[str]] = field(default_factory=dict)
    links: dict[int, set[tuple[str, ...]]] = field(default_factory=dict)
    effects: dict[int, set[str]] = field(default_factory=dict)
    fused: set[tuple[int, int]] = field(default_factory=set)  # ranges of cells


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a notebook in page order."""

    steps: tuple[PlannedStep, ...]
    final: Mapping[str, int]  # where the last value of each name comes from


def make_plan(cells: Sequence[Cell], facts: Sequence[CellFacts], amendments: Amendments | None = None) -> Plan:
    """Plan a notebook from what its cells may do and what was learned since."""
    learned = amendments or Amendments()
    fused = set(learned.fused) | _ranges_to_fuse(cells, facts)
    steps = group(cells, facts, fused)
    steps = [_amended(step, learned) for step in steps]
    return _Planner(steps).plan()


class _Group:
    """Names that may share objects."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.links: list[tuple[int, frozenset[str]]] = []  # (step, names) where they came to share


class _Planner:
    """One pass to learn which shared objects matter, one to say what travels."""

    def __init__(self, steps: Sequence[StepCells]) -> None:
        self.steps = steps
        self.groups: dict[str, _Group] = {}  # names that may share anything
        self.objects: dict[str, _Group] = {}  # names that may share objects whose identity can be seen
        self.touched: list[set[str]] = []  # by step: names whose objects it may change
        self.shared: list[set[str]] = [set() for _ in steps]  # by step: names that have to leave it in one piece
        self.ends: list[dict[str, frozenset[str]]] = []
        effects = [set(step.facts.effects) for step in steps]
        self.seeded = any(found & {SEED, OPAQUE} for found in effects)
        self.history = any(HISTORY in found for found in effects)

    def plan(self) -> Plan:
        """The plan."""
        for position, step in enumerate(self.steps):
            self._share(position, step.facts)
        producers: dict[str, int] = {}
        last: dict[str, int] = {}
        planned = []
        for position, step in enumerate(self.steps):
            planned.append(self._planned(position, step, producers, last))
            for names in planned[-1].gives:
                producers.update(dict.fromkeys(names, position))
        return Plan(tuple(planned), producers)

    def _share(self, position: int, facts: CellFacts) -> None:
        for name in facts.reads:
            found = self.objects.get(name)
            if found is not None and len(found.names & facts.reads.keys()) > 1:
                self._matters(found)
        touched: set[str] = set()
        for event in facts.events:
            if event.kind == "bind" and event.certain:
                self._leave(event.names[0])
            elif event.kind in {"link", "share"}:
                _join(self.groups, position, event.names)
                if event.kind == "link":
                    _join(self.objects, position, event.names)
            elif event.kind == "change":
                found = self.groups.get(event.names[0])
                touched.update(found.names if found is not None else event.names)
                if found is not None:
                    self._matters(found)
        self.touched.append(touched)
        self.ends.append({name: frozenset(found.names) for name, found in self.groups.items()})

    def _leave(self, name: str) -> None:
        for groups in (self.groups, self.objects):
            found = groups.pop(name, None)
            if found is not None:
                found.names.discard(name)

    def _matters(self, found: _Group) -> None:
        for position, names in found.links:
            self.shared[position] |= names
        found.links = found.links[-1:]

    def _planned(self, position: int, step: StepCells, producers: dict[str, int], last: dict[str, int]) -> PlannedStep:
        facts = step.facts
        effects = frozenset(facts.effects)
        gives = set(facts.defines) | set(facts.deletes) | self.touched[position] | self.shared[position]
        wanted = dict(facts.reads)
        for name in sorted(gives - facts.certain):
            wanted.setdefault(
                name,
                facts.changes.get(name)
                or facts.defines.get(name)
                or Mark(1, f"{name} may share objects with what it changes"),
            )
        for name in sorted((self.touched[position] | self.shared[position]) - set(wanted)):
            if name not in facts.certain:
                wanted[name] = Mark(1, f"{name} may share objects with what it changes")
        if OPAQUE in effects:
            reason = facts.effects[OPAQUE]
            wanted.update({name: reason for name in producers if name not in wanted})
            gives |= set(producers)
        if self.history:
            wanted.update({name: Mark(1, "later cells read the history of outputs") for name in HISTORY_NAMES})
            gives |= set(HISTORY_NAMES)
        takes = []
        for name, mark in wanted.items():
            source = producers.get(name, last.get(OPAQUE))
            if source is not None:
                takes.append(Edge(name, source, f"cell {step.cells[0].number}, line {mark.line}: {mark.reason}"))
        taken = {edge.name for edge in takes}
        settings_from = last.get(SETTINGS)
        random = self.seeded and bool(effects & {RANDOM, SEED, OPAQUE})
        random_from = last.get(RANDOM) if random else None
        outside = bool(effects & {OUTSIDE, INPUT, OPAQUE})
        after = last.get(OUTSIDE) if outside else None
        if effects & {SETTINGS, OPAQUE, PATCH}:
            last[SETTINGS] = position
        if random:
            last[RANDOM] = position
        if outside:
            last[OUTSIDE] = position
        if OPAQUE in effects:
            last[OPAQUE] = position
        return PlannedStep(
            step,
            tuple(takes),
            self._pieces(position, gives),
            tuple(sorted(set(producers) - taken)),
            effects | ({RANDOM} if random else frozenset()),
            random_from,
            settings_from,
            after,
        )

    def _pieces(self, position: int, gives: set[str]) -> tuple[tuple[str, ...], ...]:
        pieces: list[tuple[str, ...]] = []
        done: set[str] = set()
        for name in sorted(gives):
            if name not in done:
                piece = tuple(sorted((self.ends[position].get(name, frozenset()) | {name}) & gives))
                done.update(piece)
                pieces.append(piece)
        return tuple(pieces)


def _join(groups: dict[str, _Group], position: int, names: Sequence[str]) -> None:
    target = _Group(set())
    for name in names:
        found = groups.get(name) or _Group({name})
        target.names |= found.names
        target.links += [link for link in found.links if link not in target.links]
    for member in target.names:
        groups[member] = target
    target.links.append((position, frozenset(target.names)))


def _amended(step: StepCells, learned: Amendments) -> StepCells:
    facts = step.facts
    for number in (cell.number for cell in step.cells):
        mark = Mark(1, "found when it ran")
        for name in learned.reads.get(number, ()):
            facts.reads.setdefault(name, mark)
        for name in learned.defines.get(number, ()):
            facts.defines.setdefault(name, mark)
        for effect in learned.effects.get(number, ()):
            facts.effects.setdefault(effect, mark)
        for name in learned.changes.get(number, ()):
            facts.changes.setdefault(name, mark)
            facts.reads.setdefault(name, mark)
            facts.events.append(Event("change", (name,), mark))
        for names in learned.links.get(number, ()):
            facts.events.append(Event("link", names, mark))
    return step


def _ranges_to_fuse(cells: Sequence[Cell], facts: Sequence[CellFacts]) -> set[tuple[int, int]]:
    """Steps that need what cannot travel are one step with the one that makes it."""
    ranges: set[tuple[int, int]] = set()
    held: dict[str, int] = {}
    for cell, found in zip(cells, facts, strict=True):
        for name in found.reads:
            if name in held:
                ranges.add((held[name], cell.number))
        for name in found.defines:
            held.pop(name, None)
        held.update(dict.fromkeys(found.resources, cell.number))
        if PATCH in found.effects:
            ranges.add((cell.number, cells[-1].number))
    return ranges
