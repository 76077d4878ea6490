"""Replaying: each frozen step alone, with the notebook's present code."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from nbflow.analysis.cells import Notebook, from_content, read_notebook, with_injected
from nbflow.analysis.plan import Plan, PlannedStep
from nbflow.authoring.cells.records import CellSource
from nbflow.authoring.flow import Flow
from nbflow.authoring.patterns import wait
from nbflow.authoring.replay import fixtures
from nbflow.authoring.replay.child import MOST, Job, Verdict, replay_step, verdict
from nbflow.authoring.replay.fixtures import FrozenStep, Manifest
from nbflow.authoring.replay.freezing import planned, source_digest, taken
from nbflow.authoring.replay.shown import shown
from nbflow.authoring.step import Step
from nbflow.client.task import Task
from nbflow.engine import stores
from nbflow.model.errors import UnknownStepError
from nbflow.model.events import Listener
from nbflow.model.records import LogRecord
from nbflow.model.specs import FlowSpec, StepSpec
from nbflow.model.states import State
from nbflow.values.compare import ATOL, RTOL, Difference, Walk

SAME, DIFFERENT, FAILED, NEW, GONE = "same", "different", "failed", "new", "gone"


@dataclass(frozen=True, slots=True)
class StepReport:
    """What came of the test of one step."""

    name: str
    state: str  # same, different, failed, new or gone
    seconds: float | None = None  # of its cells and the comparison; None if it was not run
    differences: tuple[Difference, ...] = ()  # the first ten
    count: int = 0  # of all differences
    message: str = ""  # traceback, or why it was not run
    notes: tuple[str, ...] = ()  # what may explain it, and the way out

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong. A new step is not: nothing is expected of it yet."""
        return self.state in (SAME, NEW)

    def text(self) -> str:
        """What is wrong, in lines; "" if nothing is."""
        lines = [str(difference) for difference in self.differences]
        rest = self.count - len(self.differences) - sum(difference.more for difference in self.differences)
        lines += [f"… and {rest} more differences"] if rest > 0 else []
        return "\n".join([*([self.message] if self.message else []), *lines, *self.notes])


@dataclass(slots=True)
class _Test:
    """One test of a notebook: what was frozen, and what is there now."""

    path: Path
    manifest: Manifest
    notebook: Notebook
    plan: Plan
    reports: dict[str, StepReport] = field(default_factory=dict)

    def way_out(self, name: str | None = None) -> str:
        """How to freeze again."""
        again = f"if that is meant, freeze again: nbflow test {self.path} --freeze"
        return f"{again} --step {name}" if name is not None else again

    def members(self, step: FrozenStep) -> list[PlannedStep]:
        """The planned steps that a frozen one is made of, as far as they are still there."""
        return [one for one in self.plan.steps if one.step.name in step.parts]


def replay(
    notebook: str | Path,
    *,
    steps: Collection[str] = (),
    rtol: float = RTOL,
    atol: float = ATOL,
    outputs: bool = False,
    workers: int | None = None,
    listeners: Iterable[Listener] = (),
) -> list[StepReport]:
    """Replay each frozen step of a notebook (or those named in `steps`) in a child process, and compare what it gives.

    Floats may differ by `atol + rtol * |frozen|`. `outputs` compares what cells print and show as well. Returns a
    report for each step, in page order. Loads the pickles in `NAME.frozen`: trust that folder as much as the notebook.

    Raises NotebookError if nothing is frozen, and UnknownStepError for a step that is neither frozen nor there.
    """
    test = _opened(Path(notebook))
    chosen = _chosen(test, steps)
    jobs = [job for step in chosen if (job := _job(test, step, rtol, atol)) is not None]
    if jobs:
        frozen = {job.step.name: job.step for job in jobs}
        for done in _run(test, jobs, workers, listeners):
            test.reports[done.name] = _report(test, frozen[done.name], done, outputs=outputs)
    for planned_step in test.plan.steps:
        name = planned_step.step.name
        if _is_new(test, name) and (not steps or name in steps):
            note = f"freeze it: nbflow test {test.path} --freeze --step {name}"
            test.reports[name] = StepReport(name, NEW, notes=(note,))
    order = [one.step.name for one in test.plan.steps]
    return sorted(test.reports.values(), key=lambda each: order.index(each.name) if each.name in order else len(order))


def _opened(path: Path) -> _Test:
    manifest = fixtures.read_manifest(fixtures.frozen_folder(path))
    notebook = read_notebook(path)
    if manifest.injected is not None:
        notebook = from_content(with_injected(notebook.content, manifest.injected), str(path))
    return _Test(path, manifest, notebook, planned(notebook))


def _chosen(test: _Test, names: Collection[str]) -> list[FrozenStep]:
    frozen = test.manifest.steps
    for name in names:
        if name not in {step.name for step in frozen} and not _is_new(test, name):
            why = test.manifest.left_out.get(name)
            known = ", ".join(step.name for step in frozen)
            raise UnknownStepError(
                f"Step {name!r} of {test.path} is not frozen" + (f": {why}." if why else ".") + f" Frozen are: {known}."
            )
    return [step for step in frozen if not names or step.name in names]


def _is_new(test: _Test, name: str) -> bool:
    known = {part for step in test.manifest.steps for part in step.parts} | test.manifest.left_out.keys()
    return name in {one.step.name for one in test.plan.steps} - known


def _job(test: _Test, step: FrozenStep, rtol: float, atol: float) -> Job | None:
    """What to run for a step; None, with a report, if it cannot be run from what was frozen."""
    members = test.members(step)
    missing = sorted(set(step.parts) - {member.step.name for member in members})
    if missing:
        told = f"the notebook has no step {' or '.join(missing)} any more"
        test.reports[step.name] = StepReport(step.name, GONE, message=told, notes=(test.way_out(),))
        return None
    added = sorted(set(taken(members, test.plan)) - set(step.takes) - step.inputs.keys())
    if added:
        found = verdict([Difference(name, "is an input now, and was none when it was frozen") for name in added])
        test.reports[step.name] = StepReport(
            step.name, DIFFERENT, None, found.differences, found.count, notes=(test.way_out(step.name),)
        )
        return None
    cells = tuple(
        CellSource(cell.number, cell.source, cell.may_fail, cell.secrets)
        for member in members
        for cell in member.step.cells
    )
    folder = fixtures.frozen_folder(test.path).resolve()
    return Job(str(folder), str((folder.parent / test.manifest.folder).resolve()), step, cells, rtol, atol)


class _Replay:
    """The flow function: every job is a step of its own name."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs

    def __call__(self) -> None:
        """Run the jobs side by side; what came of each is asked of its task."""
        running = []
        for job in self.jobs:
            run_step: Step[..., Any] = Step(StepSpec(job.step.name, replay_step))
            running.append(run_step(job))
        for each in running:
            with suppress(Exception):
                wait(each)


def _run(test: _Test, jobs: Sequence[Job], workers: int | None, listeners: Iterable[Listener]) -> list[_Done]:
    """The finished tasks, with what they wrote. A database of its own, since a test is no run to keep."""
    stem = test.path.stem
    name = stem.replace(":", "-") if stem[:1].isalpha() else f"notebook-{stem}"
    flow: Flow[..., Any] = Flow(FlowSpec(name=name, function=_Replay(jobs), executor="processes", doc="A test."))
    options: dict[str, Any] = {"workers": workers} if workers is not None else {}
    with tempfile.TemporaryDirectory(prefix="nbflow-test-") as folder:
        db = str(Path(folder) / "test.db")
        run = flow.run(db=db, executor="processes", listeners=tuple(listeners), **options)
        try:
            return [_done(task) for task in run.tasks() if task.record.kind != "record"]
        finally:
            stores.database(db).close()
            stores.database(db, create=False).close()


@dataclass(frozen=True, slots=True)
class _Done:
    """A finished task, with all that is asked of it: its database goes away."""

    name: str
    key: str
    seconds: float | None
    verdict: Verdict | None  # None: it failed
    trace: str
    logs: list[LogRecord]


def _done(task: Task) -> _Done:
    found = task.result() if task.state is State.SUCCEEDED else None
    trace = "" if found is not None else task.traceback.rstrip() or str(task.error or task.state)
    return _Done(task.name, task.key, task.duration, found, trace, task.logs())


def _report(test: _Test, step: FrozenStep, done: _Done, *, outputs: bool) -> StepReport:
    found, unused = done.verdict, _unused(test, step)
    versions = _versions(test.manifest)
    notes = (*unused, *_unchanged(test, step), *versions, test.way_out(step.name))
    if found is None:  # freezing runs the notebook, and would fail as well unless it is the versions
        return StepReport(step.name, FAILED, done.seconds, message=done.trace, notes=notes if versions else notes[:-1])
    if outputs:
        found = _with_outputs(test, step, done, found)
    if not found.count:
        return StepReport(step.name, SAME, done.seconds, notes=unused)
    return StepReport(step.name, DIFFERENT, done.seconds, found.differences, found.count, notes=notes)


def _with_outputs(test: _Test, step: FrozenStep, done: _Done, found: Verdict) -> Verdict:
    """Also what the cells printed and showed."""
    before = fixtures.read_step(fixtures.frozen_folder(test.path), step).shown
    walk = Walk()
    walk.compare(before, shown(test.notebook.content, done.key, done.logs), "outputs")
    printed = verdict(walk.found)
    return Verdict((*found.differences, *printed.differences)[:MOST], found.count + printed.count)


def _unused(test: _Test, step: FrozenStep) -> tuple[str, ...]:
    surplus = sorted(set(step.takes) - set(taken(test.members(step), test.plan)))
    return (f"it does not take {', '.join(surplus)} any more",) if surplus else ()


def _unchanged(test: _Test, step: FrozenStep) -> tuple[str, ...]:
    sources = [cell.source for member in test.members(step) for cell in member.step.cells]
    if source_digest(sources) != step.source:
        return ()
    return ("its cells are as they were: look at modules, files, versions, and random numbers without a seed",)


def _versions(manifest: Manifest) -> tuple[str, ...]:
    """What is installed in another version than when it was frozen, which may explain a difference."""
    versions = [("Python", manifest.python, platform.python_version())]
    versions += [(name, then, _version(name)) for name, then in manifest.packages.items()]
    told = [f"{name} {then}, now {now}" for name, then, now in versions if then != now]
    return (f"frozen with {'; '.join(told)}",) if told else ()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
