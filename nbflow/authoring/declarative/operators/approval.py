"""Steps that wait until a person has said yes or no."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nbflow.authoring.declarative.operators.base import Operator, Outcome, wrong_durations
from nbflow.authoring.patterns import receive
from nbflow.client.functions import flow_function
from nbflow.engine.frames import FRAME
from nbflow.model.errors import StepTimeoutError
from nbflow.model.states import State
from nbflow.queue.cron import seconds

if TYPE_CHECKING:
    from nbflow.client.run import Run

APPROVED, REJECTED = "approved", "rejected"


class Approval(Operator, kind="approval", main="message"):
    """A gate: it ends with the outcome "approved" or "rejected", and steps after it that name none run if approved.

    Settings: message (what there is to decide), timeout, and on_timeout ("fail", the default, or "reject"). The value
    is {approved, by, note, at}. Answer with `nbflow approve RUN GATE [--reject]`, or with `approve`.
    """

    labels = (APPROVED, REJECTED)
    passing = APPROVED

    def check(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Whether its time limit is one."""
        return wrong_durations(self.settings, ("timeout",))

    def lasts(self) -> bool:
        """A person may take days."""
        return True

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Outcome:
        """Return what was decided."""
        limit = seconds(settings["timeout"]) if "timeout" in settings else None
        frame = FRAME.get()
        try:
            answer = receive(signal_of(frame.path if frame is not None else ""), limit)
        except StepTimeoutError as error:
            if settings.get("on_timeout", "fail") != "reject":
                raise StepTimeoutError(f"Nobody has approved or rejected within {limit:g} seconds.") from error
            answer = {"approved": False, "by": None, "note": "nobody answered in time", "at": None}
        return Outcome(APPROVED if answer["approved"] else REJECTED, answer)


def signal_of(path: str) -> str:
    """The signal that the gate whose task has this key waits for."""
    return f"approve {'.'.join(part.partition('#')[0] for part in path.split('/'))}"


def gates(run: Run) -> dict[str, bool]:
    """The gates of a run by name, and whether each waits for an answer; those of sub-flows as "subflow.gate"."""
    found: dict[str, bool] = {}
    definition = getattr(flow_function(run), "definition", None)
    for step in definition.steps.values() if definition is not None else ():
        found |= dict.fromkeys(_inside(step, ""), False)
    for task in run.tasks():
        name = signal_of(task.key).partition(" ")[2]
        if name in found and task.state in (State.RUNNING, State.READY):
            found[name] = True
    return found


def _inside(step: Any, path: str) -> Iterator[str]:
    name = f"{path}{step.name}"
    if isinstance(step.operator, Approval):
        yield name
    inner = getattr(getattr(step.operator, "target", None), "definition", None)
    for each in inner.steps.values() if inner is not None else ():
        yield from _inside(each, f"{name}.")


def approve(run: Run, gate: str, *, approved: bool = True, by: str | None = None, note: str = "") -> bool:
    """Answer a gate of a run, which may not have come to it yet. The first answer counts; False if there was one.

    gate: the step's name; for a gate in a sub-flow "subflow.gate". Raises RunFailedError if the run is over.
    """
    value = {"approved": approved, "by": by, "note": note, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    name = f"approve {gate}"
    return run.send(name, value, key=name)
