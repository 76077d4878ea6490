"""The graph of steps: which step supplies each name to which, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from nbflow.analysis.cells import Cell
from nbflow.analysis.facts import (
    HISTORY,
    IDENTITY,
    INPUT,
    OPAQUE,
    OUTSIDE,
    PATCH,
    RANDOM,
    SEED,
    SETTINGS,
    CellFacts,
    Event,
    Mark,
)
from nbflow.analysis.steps import GIVEN, StepCells, given_step, group

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
    passes: tuple[str, ...]  # of these, the ones that it only hands on, since it may leave them as they are
    also: tuple[Edge, ...]  # names that it may need, and takes as far as they can travel
    gives: tuple[str, ...]
    groups: Mapping[str, frozenset[str]]  # after it, the names that each name may share objects with, itself included
    objects: Mapping[str, frozenset[str]]  # the same of those that were seen to share them
    together: tuple[str, ...]  # names that have to leave it with what they share
    before: tuple[str, ...]  # names that earlier steps define and this one does not take
    before_unknown: bool  # whether there may be others, since an opaque step came before
    effects: frozenset[str]
    seeded: bool  # whether some step sets random numbers, so that they can be the same in each run
    random_from: int | None  # the step whose random state it goes on with
    settings_from: int | None  # the step whose settings it runs under
    all_from: int | None  # the step of which it takes whatever there is, since nobody knows its names
    order: tuple[str, ...]  # of what an opaque step takes: the order in which the names came to be
    after: tuple[int, ...]  # steps that have to be over, since both touch the outside

    @property
    def sources(self) -> tuple[int, ...]:
        """Positions of the steps that it needs something of."""
        found = {edge.source for edge in (*self.takes, *self.also)} | set(self.after)
        states = (self.random_from, self.settings_from, self.all_from)
        found.update(source for source in states if source is not None)
        return tuple(sorted(found))


# Names that share objects after a step, and names from before it whose objects are among these.
Sharing = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class Amendments:
    """What was learned while the flow ran, and the source does not show. Keys are numbers of first cells."""

    changes: dict[int, set[str]] = field(default_factory=dict)
    reads: dict[int, set[str]] = field(default_factory=dict)
    defines: dict[int, set[str]] = field(default_factory=dict)
    shares: dict[int, set[Sharing]] = field(default_factory=dict)
    memory: dict[int, set[tuple[str, ...]]] = field(default_factory=dict)  # an array and a frame, each with the other's
    after: dict[int, set[int]] = field(default_factory=dict)  # cells whose steps have to be over before
    effects: dict[int, set[str]] = field(default_factory=dict)
    fused: set[tuple[int, int]] = field(default_factory=set)  # ranges of cells


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a notebook in page order."""

    steps: tuple[PlannedStep, ...]
    final: Mapping[str, int]  # where the last value of each name comes from


def make_plan(
    cells: Sequence[Cell],
    facts: Sequence[CellFacts],
    amendments: Amendments | None = None,
    given: Sequence[tuple[str, ...]] = (),
) -> Plan:
    """Plan a notebook from what its cells may do and what was learned since.

    `given`: groups of names that have values before its first cell; then the first step is one of no cells, "kernel".
    """
    learned = amendments or Amendments()
    fused = set(learned.fused) | _ranges_to_fuse(cells, facts)
    steps = group(cells, facts, fused)
    steps = [_amended(step, learned) for step in steps]
    if given:
        steps.insert(0, given_step(given))
    return _Planner(steps, learned).plan()


class _Group:
    """Names that may share objects."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.links: list[tuple[int, frozenset[str]]] = []  # (step, names) where they came to share


class _Planner:
    """One pass to learn which shared objects matter, one to say what travels."""

    def __init__(self, steps: Sequence[StepCells], learned: Amendments) -> None:
        self.steps = steps
        self.learned = learned
        self.groups: dict[str, _Group] = {}  # names that may share anything
        self.objects: dict[str, _Group] = {}  # names that were seen to share objects
        self.touched: list[set[str]] = []  # by step: names whose objects it may change
        self.shared: list[set[str]] = [set() for _ in steps]  # by step: names that have to leave it in one piece
        self.ends: list[dict[str, frozenset[str]]] = []
        self.seen_ends: list[dict[str, frozenset[str]]] = []
        self.outside: set[int] = set()  # the latest step that writes, and those that read since
        self.writer: int | None = None
        self.order: dict[str, None] = {}  # names that exist, in the order in which they came to be
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
            producers.update(dict.fromkeys(planned[-1].gives, position))
            self._born(step.facts)
        return Plan(tuple(planned), producers)

    def _share(self, position: int, facts: CellFacts) -> None:
        for name in facts.reads:
            found = self.objects.get(name)
            if found is not None and len(found.names & facts.reads.keys()) > 1:
                self._matters(found, position)
        for name in facts.compared:
            found = self.groups.get(name)
            if found is not None and len(found.names & facts.compared) > 1:
                self._matters(found, position)
        touched: set[str] = set()
        bound: set[str] = set()  # names whose values are of this step, whatever they share
        before = self.seen_ends[-1] if self.seen_ends else {}
        for event in facts.events:
            found = self.groups.get(event.names[0])
            if event.kind == "bind" and event.certain:
                self._leave(event.names[0])
                bound.add(event.names[0])
            elif event.kind in {"link", "share"}:
                _join(self.groups, position, event.names)
                if self.steps[position].cells[0].number == GIVEN:
                    _join(self.objects, position, event.names)
            elif event.kind == "change" or (found is not None and event.names[0] not in bound):
                # A name that may keep its objects from before passes them on, together with the others that share them.
                touched.update(found.names if found is not None else event.names)
                if found is not None:
                    self._matters(found, position)
                    found.links.append((position, frozenset(found.names)))
        for sharing in self._seen(position):
            together = tuple(sorted(shared_names(sharing, before, facts.defines)))
            _join(self.groups, position, together)
            _join(self.objects, position, together)
        for cell in self.steps[position].cells:
            for pair in sorted(self.learned.memory.get(cell.number, ())):
                _join(self.groups, position, pair)
        self.touched.append(touched)
        self.ends.append({name: frozenset(found.names) for name, found in self.groups.items()})
        self.seen_ends.append({name: frozenset(found.names) for name, found in self.objects.items()})

    def _seen(self, position: int) -> list[Sharing]:
        cells = self.steps[position].cells
        return sorted(sharing for cell in cells for sharing in self.learned.shares.get(cell.number, ()))

    def _leave(self, name: str) -> None:
        for groups in (self.groups, self.objects):
            found = groups.pop(name, None)
            if found is not None:
                found.names.discard(name)

    def _matters(self, found: _Group, now: int) -> None:
        for position, names in found.links:
            if position != now:  # within a step they share without our help
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
        if self.history:
            wanted.update({name: Mark(1, "later cells read the history of outputs") for name in HISTORY_NAMES})
            gives |= set(HISTORY_NAMES)
        opaque = OPAQUE in effects
        rest = {name: facts.effects[OPAQUE] for name in producers if name not in wanted} if opaque else {}
        gives |= set(producers) if opaque else set()
        takes, also = (self._edges(step, names, producers, last.get(OPAQUE)) for names in (wanted, rest))
        taken = {edge.name for edge in (*takes, *also)}
        all_from = last.get(OPAQUE) if opaque else None
        before_unknown = OPAQUE in last
        settings_from = last.get(SETTINGS)
        random = self.seeded and bool(effects & {RANDOM, SEED, OPAQUE})
        random_from = last.get(RANDOM) if random else None
        if effects & {SETTINGS, OPAQUE, PATCH}:
            last[SETTINGS] = position
        if random:
            last[RANDOM] = position
        if opaque:
            last[OPAQUE] = position
        return PlannedStep(
            step,
            takes,
            tuple(sorted(edge.name for edge in takes if edge.name not in {*facts.reads, *facts.deletes})),
            also,
            tuple(sorted(gives)),
            self.ends[position],
            self.seen_ends[position],
            tuple(sorted(self.shared[position])),
            tuple(sorted(set(producers) - taken)),
            before_unknown,
            effects | ({RANDOM} if random else frozenset()),
            self.seeded,
            random_from,
            settings_from,
            all_from,
            tuple(name for name in self.order if name in taken) if opaque else (),
            self._after(position, effects),
        )

    def _born(self, facts: CellFacts) -> None:
        for name in facts.deletes:
            self.order.pop(name, None)
        for name, _ in sorted(facts.defines.items(), key=lambda found: found[1].line):
            self.order.setdefault(name)

    def _edges(
        self, step: StepCells, wanted: Mapping[str, Mark], producers: Mapping[str, int], opaque: int | None
    ) -> tuple[Edge, ...]:
        found = []
        for name, mark in wanted.items():
            source = producers.get(name, opaque)
            if source is not None:
                found.append(Edge(name, source, f"cell {step.cells[0].number}, line {mark.line}: {mark.reason}"))
        return tuple(found)

    def _after(self, position: int, effects: frozenset[str]) -> tuple[int, ...]:
        """Steps that have to be over: readers wait for writers, and writers for both."""
        found: set[int] = set()
        if effects & {OUTSIDE, OPAQUE}:
            found |= self.outside
            self.outside = {position}
            self.writer = position
        elif INPUT in effects:
            found |= set() if self.writer is None else {self.writer}
            self.outside.add(position)
        firsts = {step.cells[0].number: other for other, step in enumerate(self.steps)}
        for cell in self.steps[position].cells:
            found.update(firsts[number] for number in self.learned.after.get(cell.number, ()) if number in firsts)
        return tuple(sorted(other for other in found if other < position))


def shared_names(sharing: Sharing, before: Mapping[str, frozenset[str]], defines: Collection[str]) -> set[str]:
    """All names that share objects after a step in which `sharing` was seen.

    `before`: who shared with whom before the step; `defines`: names that the step may have bound anew.
    """
    ends, starts = sharing
    old = set().union(*[before.get(name, frozenset({name})) for name in starts])
    return set(ends) | (old - set(defines))


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
    by_address = [cell.number for cell, found in zip(cells, facts, strict=True) if IDENTITY in found.effects]
    if by_address:
        ranges.add((by_address[0], by_address[-1]))
    return ranges
