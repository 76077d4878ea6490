"""The check: a version runs in a clean process, and has to do there what it did before."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.authoring.notebook import NotebookFlow
from nbflow.client.run import Run
from nbflow.deploying import apart
from nbflow.deploying.comparing import (
    BLOCKING,
    DIFFERENT,
    FAILED,
    SAME,
    UNRECORDED,
    Compared,
    compare_notebooks,
)
from nbflow.engine import new_runs
from nbflow.model.errors import NbflowError, WorkerLostError
from nbflow.model.states import State
from nbflow.running.clock import SystemClock
from nbflow.values.compare import compare

if TYPE_CHECKING:
    from nbflow.authoring.flow import Flow
    from nbflow.deploying.versions import Draft
    from nbflow.queue.broker import Broker

_TAG = "check"
_FEW = 3  # differences of a value that are told
_LOOKED_AT = 50  # earlier runs among which one with the same parameters is looked for


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    run: str  # id of the run in a clean process
    steps: tuple[Compared, ...]
    against: str | None  # what it was compared with: "the outputs of a.ipynb", "run 01ABC"; None: nothing was there
    error: str = ""  # what ended the run, if it did not succeed

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against scheduling it."""
        return not self.error and not any(step.state in BLOCKING for step in self.steps)

    def text(self) -> str:
        """What was found, in lines."""
        wrong = [step.text() for step in self.steps if step.state in BLOCKING]
        if self.error and not any(step.state == FAILED for step in self.steps):
            wrong.insert(0, f"the run failed: {self.error}")
        if wrong:
            return "\n".join(wrong)
        same = sum(step.state == SAME for step in self.steps)
        if self.against is None:
            return "it runs in a clean process; there was nothing recorded to compare it with"
        ignored = f", {len(self.steps) - same} without a comparison" if same < len(self.steps) else ""
        return f"it does what {self.against} tells: {same} the same{ignored}"

    def json(self) -> str:
        """For the version's row."""
        return json.dumps({**asdict(self), "passed": self.passed})


def check(flow: Flow[..., Any], draft: Draft, broker: Broker) -> Report:
    """Run a version that is not stored yet in a clean process, and compare what it shows or returns.

    A notebook is compared with the outputs that it was saved with, and runs with its own parameters for that; a flow
    of functions with its latest successful run that had the same parameters.
    """
    from nbflow.storage import versions as flow_versions

    database = broker.database
    database.retrying(lambda connection: flow_versions.add(connection, draft.flow))
    run = new_runs.new_id(SystemClock())
    parameters = {} if isinstance(flow, NotebookFlow) else json.loads(draft.record.parameters)
    before = None if isinstance(flow, NotebookFlow) else _earlier(broker, flow.spec.name, parameters)
    try:
        apart.run(apart.Order(run, draft.record, None, parameters, tags=(_TAG,)), database, broker.values)
    except WorkerLostError as problem:
        return Report(run, (), None, str(problem))
    done = Run(run, database=database)
    error = ""
    if done.state is not State.SUCCEEDED:
        record = done.record
        error = f"{(record.error_type or '').rpartition('.')[2]}: {record.error_message}"
    if isinstance(flow, NotebookFlow):
        return _of_notebook(flow, done, error)
    return _of_functions(done, before, error)


def _of_notebook(flow: NotebookFlow, done: Run, error: str) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        path = done.save_notebook(Path(folder) / "executed.ipynb")
        executed = json.loads(path.read_text(encoding="utf-8"))
    steps = tuple(compare_notebooks(flow.notebook.content, executed))
    recorded = any(step.state != UNRECORDED for step in steps)
    against = f"the outputs saved in {Path(flow.notebook.path).name}" if recorded else None
    return Report(done.id, steps, against, error)


def _earlier(broker: Broker, name: str, parameters: dict[str, Any]) -> Run | None:
    """The latest successful run of a flow with these parameters, checks left out."""
    from nbflow.storage import runs

    database, values = broker.database, broker.values
    found = database.retrying(
        lambda connection: runs.latest(connection, limit=_LOOKED_AT, flow=name, state="succeeded"), write=False
    )
    for record in found:
        if record.inputs is None or _TAG in json.loads(record.tags):
            continue
        with suppress(NbflowError):
            args, kwargs = values.get(values.unseal_stored(record.inputs))
            if not args and kwargs == parameters:
                return Run(record.id, database=database)
    return None


def _of_functions(done: Run, before: Run | None, error: str) -> Report:
    now = {task.key: task for task in done.tasks()}
    steps = [_failed(key, task) for key, task in now.items() if task.state is State.FAILED]
    if before is None:
        return Report(done.id, tuple(steps), None, error)
    earlier = {task.key: task for task in before.tasks()}
    for key, task in now.items():
        if task.state is State.SUCCEEDED and key in earlier and earlier[key].state is State.SUCCEEDED:
            steps.append(_compare_values(key, earlier[key], task))
    steps += [Compared(key, DIFFERENT, "a result", "it is not called") for key in earlier if key not in now]
    steps += [Compared(key, DIFFERENT, "it is not called", "a result") for key in now if key not in earlier]
    return Report(done.id, tuple(steps), f"run {before.id}", error)


def _failed(key: str, task: Any) -> Compared:
    return Compared(
        key, FAILED, found=f"{(task.record.error_type or '').rpartition('.')[2]}: {task.record.error_message}"
    )


def _compare_values(key: str, before: Any, now: Any) -> Compared:
    if before.record.result_digest == now.record.result_digest:
        return Compared(key, SAME)
    try:
        found: Sequence[Any] = compare(before.result(), now.result(), name="result")
    except NbflowError as problem:
        return Compared(key, UNRECORDED, found=str(problem))
    if not found:
        return Compared(key, SAME)
    return Compared(key, DIFFERENT, f"the result of run {before.record.run}", "; ".join(map(str, found[:_FEW])))
