"""Steps that are left out, and dependencies without a value."""

from __future__ import annotations

from typing import Any

import pytest

from nbflow import Pipeline
from nbflow.engine.decide import Decider, Task
from nbflow.model.ports import Inputs
from nbflow.model.specs import StepSpec
from nbflow.model.states import State


def fail_to_load() -> None:
    raise RuntimeError("nobody asked for this value")


class Trap:
    """A value that cannot be loaded."""

    def __reduce__(self) -> Any:
        return fail_to_load, ()


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_dependency_without_a_value_is_not_loaded(executor: str) -> None:
    with Pipeline("order", output="${{ after }}") as made:
        made.step(Trap, "trap") >> made.step(lambda: "after", "after")
    run = made.run(executor=executor)
    assert run.result() == "after"
    assert run["after"].record.upstream == "[1]"
    assert run["after"].inputs() == ((), {})


def test_a_task_that_is_left_out_has_no_failure_and_a_reason() -> None:
    spec = StepSpec("a", print)
    before = Task(1, "before#1", spec, Inputs(), ())
    task = Task(2, "a#1", spec, Inputs(), (before,), given=0)
    out = Decider().leave_out(task, "its branch")
    assert (task.state, task.failure, task.note, task.sources) == (State.SKIPPED, None, "its branch", ())
    assert (out.settled, out.ready) == ([task], [])
