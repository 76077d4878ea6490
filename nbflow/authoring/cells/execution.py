"""The flow function of every notebook: plan, run, and plan again where a step found out more than was planned."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

import xxhash

from nbflow.analysis.cells import Cell
from nbflow.analysis.facts import HISTORY, OPAQUE, OUTSIDE, PATCH, RANDOM, SEED, SETTINGS, SOURCES, CellFacts
from nbflow.analysis.plan import Amendments, Plan, PlannedStep, make_plan, shared_names
from nbflow.analysis.steps import GIVEN, StepCells
from nbflow.authoring.cells.conflicts import conflicts
from nbflow.authoring.cells.records import CellSource, CellsWork, CellValues, Report
from nbflow.authoring.cells.runner import run_cells
from nbflow.authoring.patterns import wait
from nbflow.authoring.step import Step
from nbflow.engine.placeholders import Placeholder, is_placeholder, task_of
from nbflow.model.errors import NotebookError
from nbflow.model.policies import NO_CACHE, NO_RETRY, Cache, Retry, check_times
from nbflow.model.specs import StepSpec


def execute(
    cells: Sequence[Cell],
    facts: Sequence[CellFacts],
    given: CellValues | None = None,
    learned: Amendments | None = None,
) -> dict[str, str]:
    """Run cells inside a flow function; returns for each name the key of the task that holds it.

    `facts`: what each cell may do. `given`: values that are there before the first cell. `learned`: what is known of
    the cells beside their source.
    """
    return _Execution(cells, facts, given, learned or Amendments()).run()


class _Asked(NamedTuple):
    """A step that was submitted, and what it was asked for."""

    work: CellsWork
    placeholder: Any
    key: str  # of its task


class _Execution:
    """One run of a notebook's flow function. Deterministic: what it does follows from the steps' results only."""

    def __init__(
        self, cells: Sequence[Cell], facts: Sequence[CellFacts], given: CellValues | None, learned: Amendments
    ) -> None:
        self.cells = cells
        self.facts = facts
        self.given = given
        self.groups = [piece.names for piece in given.pieces] if given is not None else []
        self.learned = learned
        self.asked: dict[Any, list[_Asked]] = {}  # by what a step is given
        self.results: dict[str, CellValues] = {}  # by key of the task
        self.calls: dict[str, int] = {}
        self.outside: dict[int, str] = {}  # cells that ran and did something outside → what

    def run(self) -> dict[str, str]:
        """Run until a plan was carried out that no step contradicts."""
        plan = make_plan(self.cells, self.facts, self.learned, self.groups)
        while True:
            steps = self._submit(plan)
            if self._look(plan, steps):
                plan = make_plan(self.cells, self.facts, self.learned, self.groups)
            elif not any(step is None for step in steps):
                return self._final(plan, cast("list[_Asked]", steps))

    def _submit(self, plan: Plan) -> list[_Asked | None]:
        """Ask for all steps that may start; None stands for those that have to wait until more is known."""
        steps: list[_Asked | None] = []
        for planned in plan.steps:
            work = work_of(planned, self.cells)
            if planned.step.cells[0].number == GIVEN:
                steps.append(_Asked(work, self.given, ""))
                continue
            inputs = [steps[source] for source in planned.sources]
            present = [step for step in inputs if step is not None]
            found = self._earlier(work, present) if len(present) == len(inputs) else None
            # What it does cannot be undone: all before it has to be as planned.
            held = planned.effects & {OUTSIDE, OPAQUE} and not all(self._is_known(step) for step in steps)
            if found is None and len(present) == len(inputs) and not held:
                self._refuse_repetition(planned)
                found = self._ask(planned, work, present)
            steps.append(found)
        return steps

    def _is_known(self, step: _Asked | None) -> bool:
        return step is not None and (step.key in self.results or not step.key)

    def _ask(self, planned: PlannedStep, work: CellsWork, inputs: Sequence[_Asked]) -> _Asked:
        run_step: Step[..., Any] = Step(_spec(planned.step, work))
        placeholder = run_step(work, *[step.placeholder for step in inputs])
        number = self.calls[work.name] = self.calls.get(work.name, 0) + 1
        found = _Asked(work, placeholder, f"{work.name}#{number}")
        self.asked.setdefault(_given(work, inputs), []).append(found)
        return found

    def _earlier(self, work: CellsWork, inputs: Sequence[_Asked]) -> _Asked | None:
        """A submitted step that does the same with the same, and whose result has everything that is wanted of it."""
        for step in self.asked.get(_given(work, inputs), ()):
            result = self.results.get(step.key)
            if step.work == work or (result is not None and _enough(result, work)):
                return step
        return None

    def _look(self, plan: Plan, steps: Sequence[_Asked | None]) -> bool:
        """Learn from the results, up to the first step that waits; whether there is anything to plan anew."""
        amended = False
        asked = [step for step in itertools.takewhile(lambda step: step is not None, steps) if step is not None]
        for position, (planned, step) in enumerate(zip(plan.steps, asked, strict=False)):
            known = self.results.get(step.key)
            try:
                found = known or _result(step.placeholder)
            except Exception:
                if amended:  # it may have run with a wrong value
                    return True
                raise
            self.results[step.key] = found
            if found.report.amends and known is None:
                amended = True
                self._learn(plan, planned, found.report)
            amended = self._learn_sharing(plan, position, step.key) or amended
            amended = self._learn_stuck(plan, position, found) or amended
            if OUTSIDE in planned.effects and not (found.report.blocked or found.report.waits):
                for cell in planned.step.cells:
                    self.outside[cell.number] = planned.step.facts.effects[OUTSIDE].reason
        return amended or self._learn_order(plan, asked)

    def _learn(self, plan: Plan, planned: PlannedStep, report: Report) -> None:
        number = planned.step.cells[0].number
        self.learned.changes.setdefault(number, set()).update(report.changed)
        self.learned.reads.setdefault(number, set()).update(report.missing)
        self.learned.defines.setdefault(number, set()).update(report.defined)
        self.learned.effects.setdefault(number, set()).update(report.effects)
        if PATCH in report.effects:  # state of a module cannot be carried
            self.learned.fused.add((number, self.cells[-1].number))
        if RANDOM in report.effects:  # it may as well have set a generator as drawn from it
            self.learned.effects[number].add(SEED)
        sources = {edge.name: edge.source for edge in (*planned.takes, *planned.also)}
        for name in report.blocked:
            source = sources.get(name, planned.all_from)
            if source is not None:
                last = _last_to_take(plan, name, source, planned)
                self.learned.fused.add((plan.steps[source].step.cells[0].number, last.step.cells[-1].number))

    def _learn_sharing(self, plan: Plan, position: int, key: str) -> bool:
        planned = plan.steps[position]
        before = plan.steps[position - 1].objects if position else {}
        number = planned.step.cells[0].number
        new = False
        for sharing in self.results[key].report.shares:
            together = shared_names(sharing, before, planned.step.facts.defines)
            if not together <= planned.objects.get(sharing[0][0], frozenset(sharing[0][:1])):
                known = self.learned.shares.setdefault(number, set())
                new = new or sharing not in known
                known.add(sharing)
        for pair in self.results[key].apart:
            if not set(pair) <= planned.groups.get(pair[0], frozenset(pair[:1])):
                held = self.learned.memory.setdefault(number, set())
                new = new or pair not in held
                held.add(pair)
        return new

    def _learn_stuck(self, plan: Plan, position: int, found: CellValues) -> bool:
        """Steps that take what cannot travel are one with the step that has it; best known before they start."""
        ranges = set()
        for planned in plan.steps[position + 1 :]:
            edges = (*planned.takes, *planned.also)
            taken = {edge.name for edge in edges if edge.source == position}.difference(planned.passes)
            if not taken.isdisjoint(found.stuck):
                ranges.add((plan.steps[position].step.cells[0].number, planned.step.cells[-1].number))
        new = not ranges <= self.learned.fused
        self.learned.fused |= ranges
        return new

    def _learn_order(self, plan: Plan, steps: Sequence[_Asked]) -> bool:
        new = False
        touched = [self.results[step.key].report.files for step in steps]
        for earlier, later, path in conflicts(touched):
            first, second = plan.steps[earlier].step.cells[0].number, plan.steps[later].step.cells[0].number
            found = touched[later]
            if found is not None and path in found.written:
                raise NotebookError(
                    f"cell {second} changed {path} before cell {first} had used it; nothing in them tells that they "
                    f"belong together. Say so: begin both with %%step NAME effects=outside, or with the same name.",
                    cell=second,
                )
            known = self.learned.after.setdefault(second, set())
            new = new or first not in known
            known.add(first)
        return new

    def _refuse_repetition(self, planned: PlannedStep) -> None:
        for cell in planned.step.cells:
            if cell.number in self.outside:
                raise NotebookError(
                    f"cell {cell.number} would have to run again, since a step needs a value that cannot travel or was "
                    f"changed unexpectedly; it has an effect on the outside ({self.outside[cell.number]}), so it "
                    f"is not repeated. Make one step of the cells that belong together: begin each with "
                    f"%%step {planned.step.name}.",
                    cell=cell.number,
                )

    def _final(self, plan: Plan, steps: Sequence[_Asked]) -> dict[str, str]:
        used = set(map(id, steps))  # to compare them would mean to look at their results
        for step in (step for asked in self.asked.values() for step in asked if id(step) not in used):
            with suppress(Exception):  # it ran with a wrong value, and nobody needs to hear what came of that
                _result(step.placeholder)
        tasks = {name: steps[source].key for name, source in plan.final.items()}
        for step in steps:
            found = self.results.get(step.key) or _result(step.placeholder)
            for name in (name for piece in found.pieces for name in piece.names):
                if name not in plan.final:  # only opaque cells know it
                    tasks[name] = step.key
            for name in found.absent:
                if name not in plan.final or tasks.get(name) == step.key:
                    tasks.pop(name, None)
        return {name: key for name, key in tasks.items() if key}


def _last_to_take(plan: Plan, name: str, source: int, first: PlannedStep) -> PlannedStep:
    """The last step that needs what `first` could not get: all of them have to be one step with the one that has it."""
    last = first
    for planned in plan.steps[source + 1 :]:
        if any(edge.name == name and edge.source == source for edge in planned.takes) and name not in planned.passes:
            last = planned
    return last


def _given(work: CellsWork, inputs: Sequence[_Asked]) -> Any:
    """What decides on the course of a step: the code, and where each thing that it gets comes from."""
    keys = [step.key for step in inputs]
    names = frozenset((name, keys[index]) for name, index in (*work.takes, *work.also))
    states = tuple(
        keys[index] if index is not None else None for index in (work.random_from, work.settings_from, work.all_from)
    )
    return work.name, work.cells, names, states, work.history, frozenset(keys)


def _enough(result: CellValues, work: CellsWork) -> bool:
    return (
        result.covers(work.gives)
        and not any(set(names) <= set(work.together) for names in result.apart)
        and not work.gives_all
        and (result.random is not None or not work.gives_random)
        and (result.settings is not None or not work.gives_settings)
    )


def _result(placeholder: Any) -> CellValues:
    """The result behind a placeholder, which itself stays untouched.

    The engine has to check a value that the flow function held in its hands before it hands it on; these can be large.
    """
    if is_placeholder(placeholder):
        return cast("CellValues", wait(Placeholder(task_of(placeholder), placeholder._self_resolve)))
    return cast("CellValues", placeholder)


def work_of(planned: PlannedStep, cells: Sequence[Cell]) -> CellsWork:
    """What a planned step asks of the process that runs it; `cells` are the notebook's."""
    position = {source: index for index, source in enumerate(planned.sources)}
    effects = planned.effects
    first = planned.step.cells[0].number

    def of(source: int | None) -> int | None:
        return position[source] if source is not None else None

    return CellsWork(
        name=planned.step.name,
        cells=_sources(planned.step.cells),
        takes=tuple((edge.name, position[edge.source]) for edge in planned.takes),
        passes=planned.passes,
        also=tuple((edge.name, position[edge.source]) for edge in planned.also),
        all_from=of(planned.all_from),
        gives=planned.gives,
        gives_all=OPAQUE in effects,
        order=planned.order,
        before=planned.before,
        before_unknown=planned.before_unknown,
        together=planned.together,
        seeded=planned.seeded,
        random_from=of(planned.random_from),
        gives_random=bool(effects & {RANDOM, OPAQUE}),
        settings_from=of(planned.settings_from),
        gives_settings=bool(effects & {SETTINGS, OPAQUE, PATCH}),
        patches=bool(effects & {PATCH, OPAQUE}),
        history=HISTORY in effects,
        sources=_sources(cell for cell in cells if cell.number < first) if effects & {SOURCES, OPAQUE} else (),
    )


def _sources(cells: Iterable[Cell]) -> tuple[CellSource, ...]:
    return tuple(CellSource(cell.number, cell.source, cell.may_fail, cell.secrets) for cell in cells)


def _spec(step: StepCells, work: CellsWork) -> StepSpec:
    options = step.options
    check_times(f"step {step.name!r}", options.times)  # which the cells of the step may say together
    return StepSpec(
        name=step.name,
        function=run_cells,
        retry=Retry(retries=options.retries, delays=(options.delay,)) if options.retries else NO_RETRY,
        timeout=options.timeout,
        expires=options.expires,
        deadline=options.deadline,
        heartbeat_timeout=options.heartbeat_timeout,
        cache=Cache(enabled=True) if options.cache else NO_CACHE,
        executor=options.executor,
        identity=xxhash.xxh3_128_hexdigest(repr(work.cells).encode("utf-8", "surrogatepass")),
        kind="cells",
    )
