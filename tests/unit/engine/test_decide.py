"""The decisions of the engine as a state machine: random graphs, outcomes in random order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbflow.engine.decide import Consequences, Decider, Failure, Task
from nbflow.model.ports import Inputs
from nbflow.model.records import ErrorRecord, StoredValue
from nbflow.model.specs import StepSpec
from nbflow.model.states import FINISHED, IllegalMoveError, State

VALUE = StoredValue("digest", 1, "int", b"1", None)
SPEC = StepSpec("step", print)


class Deciding(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.decider = Decider()
        self.tasks: list[Task] = []
        self.ready: list[Task] = []
        self.settled: list[Task] = []

    def take(self, out: Consequences) -> None:
        self.ready += out.ready
        self.settled += out.settled

    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        upstream = data.draw(st.lists(st.sampled_from(self.tasks), max_size=4, unique=True)) if self.tasks else []
        task = Task(len(self.tasks) + 1, f"step#{len(self.tasks) + 1}", SPEC, Inputs(), tuple(upstream))
        self.tasks.append(task)
        self.take(self.decider.admit(task))

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), ending=st.sampled_from(["succeed", "fail", "time out", "retry", "cancel"]))
    def finish(self, data: st.DataObject, ending: str) -> None:
        task = data.draw(st.sampled_from(self.ready))
        if ending != "cancel":
            task.move(State.RUNNING)
        if ending == "retry":
            self.decider.retry(task)
            return
        self.ready.remove(task)
        if ending == "succeed":
            self.take(self.decider.succeed(task, VALUE))
        else:
            state = {"fail": State.FAILED, "time out": State.TIMED_OUT, "cancel": State.CANCELLED}[ending]
            failure = Failure(ErrorRecord("ValueError", task.key, "", None), None, task)
            self.take(self.decider.fail(task, state, failure))

    @invariant()
    def nothing_is_ready_before_its_inputs(self) -> None:
        assert all(up.state is State.SUCCEEDED for task in self.ready for up in task.upstream)

    @invariant()
    def each_task_is_settled_once(self) -> None:
        assert len({id(task) for task in self.settled}) == len(self.settled)
        assert sorted(task.order for task in self.settled) == list(range(1, len(self.settled) + 1))
        assert {id(task) for task in self.settled} == {id(task) for task in self.tasks if task.state in FINISHED}

    @invariant()
    def what_could_run_is_ready(self) -> None:
        could = {
            task.seq
            for task in self.tasks
            if task.state not in FINISHED and all(up.state is State.SUCCEEDED for up in task.upstream)
        }
        assert {task.seq for task in self.ready} == could

    @invariant()
    def a_task_is_skipped_with_the_earliest_error_of_its_inputs(self) -> None:
        for task in self.tasks:
            failed = [up for up in task.upstream if up.failure is not None]
            if failed:
                earliest = min(failed, key=lambda up: up.order)
                assert task.state is State.SKIPPED
                assert task.failure is earliest.failure or task.order < earliest.order


Deciding.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestDeciding = Deciding.TestCase


def test_a_chain_longer_than_pythons_stack_is_skipped_at_once() -> None:
    decider = Decider()
    tasks = [Task(1, "step#1", SPEC, Inputs(), ())]
    decider.admit(tasks[0])
    for number in range(2, 5000):
        tasks.append(Task(number, f"step#{number}", SPEC, Inputs(), (tasks[-1],)))
        decider.admit(tasks[-1])
    tasks[0].move(State.RUNNING)
    failure = Failure(ErrorRecord("ValueError", "", "", None), None, tasks[0])
    assert len(decider.fail(tasks[0], State.FAILED, failure).settled) == 4999


def test_a_finished_task_cannot_succeed_again() -> None:
    decider, task = Decider(), Task(1, "step#1", SPEC, Inputs(), ())
    decider.admit(task)
    decider.succeed(task, VALUE)
    with pytest.raises(IllegalMoveError, match="step#1"):
        decider.fail(task, State.FAILED, Failure(ErrorRecord("E", "", "", None), None, task))
