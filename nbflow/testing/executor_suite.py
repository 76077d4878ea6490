"""What every executor has to do: work in, reports out.

`CHECKS` maps a sentence to a function that takes a `Bench` and raises AssertionError. With pytest:

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
    def test_executor(check, tmp_path):
        with Bench(lambda **options: MyExecutor(**options), tmp_path) as bench:
            check(bench)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbflow.model.errors import JobExpiredError, StepTimeoutError
from nbflow.model.policies import Resources
from nbflow.model.ports import Due, Executor, Finished, Inputs, Output, Progress, Ref, Report, Work
from nbflow.model.records import StoredValue
from nbflow.model.specs import StepSpec
from nbflow.model.states import State
from nbflow.running.clock import SystemClock
from nbflow.running.failure import restore_error
from nbflow.testing import steps
from nbflow.values.artifacts import open_store
from nbflow.values.signing import Signer
from nbflow.values.store import ValueStore

Check = Callable[["Bench"], None]
CHECKS: dict[str, Check] = {}

_PATIENCE = 30.0  # seconds until a report that does not come is a failure


class Bench:
    """An executor under test, with all that it reported."""

    def __init__(self, factory: Callable[..., Executor], folder: Path, workers: int = 2, *, echo: bool = False) -> None:
        self.folder = folder
        self.values = ValueStore(open_store(str(folder / "artifacts")), Signer(b"k" * 32))
        self.executor = factory(workers=workers, values=self.values, clock=SystemClock(), echo=echo)
        self.reports: list[Report] = []
        self.on_report: Callable[[Report], None] = lambda report: None
        self._changed = threading.Condition()
        self._tickets = 0
        self._specs: dict[Any, StepSpec] = {}

    def __enter__(self) -> Bench:
        self.executor.start(self._take)
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.close(wait=False)

    def submit(self, function: Callable[..., Any], *args: Any, **more: Any) -> int:
        """Submit a call; `more` are fields of `Inputs`, `Work` and `StepSpec`. Returns its ticket."""
        self._tickets += 1
        ticket = self._tickets
        inputs = Inputs(args, more.get("kwargs"), more.get("packed"), more.get("values", ()))
        is_async = more.get("is_async", False)
        if (function, is_async) not in self._specs:  # a step has one spec, however often it is called
            name = getattr(function, "__name__", "step")
            resources = more.get("resources") or Resources()
            self._specs[function, is_async] = StepSpec(name, function, is_async=is_async, resources=resources)
        spec = self._specs[function, is_async]
        key = f"{spec.name}#{ticket}"
        limits = {name: more[name] for name in ("timeout", "expires", "deadline", "heartbeat_timeout") if name in more}
        self.executor.submit(Work(ticket, spec, inputs, "run", ticket, key, 1, **limits))
        return ticket

    def in_background(self, function: Callable[..., Any], *args: Any, **more: Any) -> int:
        """Submit a call without waiting for it, even if the executor runs it in the thread that submits."""
        ticket = self._tickets + 1
        if self.executor.inline:
            threading.Thread(target=lambda: self.submit(function, *args, **more), daemon=True).start()
        else:
            self.submit(function, *args, **more)
        return ticket

    def put(self, value: object) -> StoredValue:
        """Store a value, as the result of an earlier task."""
        return self.values.put(value, "a value of the suite")

    def finished(self, ticket: int) -> Finished:
        """The last report of a ticket, awaited."""
        end = self.wait(lambda: next((r for r in self.reports if r.ticket == ticket and type(r) is Finished), None))
        assert type(end) is Finished
        return end

    def value(self, ticket: int) -> Any:
        """The result of a ticket, awaited; raises its error."""
        end = self.finished(ticket)
        if end.value is None:
            raise self.error(ticket)
        return self.values.get(end.value)

    def error(self, ticket: int) -> BaseException:
        """The error of a ticket, awaited, as another process would see it."""
        end = self.finished(ticket)
        assert end.error is not None, end
        return restore_error(end.error)

    def text(self, ticket: int, stream: str = "stdout") -> str:
        """What a ticket has written so far."""
        found = [r.text for r in list(self.reports) if type(r) is Output and (r.ticket, r.stream) == (ticket, stream)]
        return "".join(found)

    def wait(self, look: Callable[[], Any]) -> Any:
        """The first true result of `look`, called whenever a report comes."""
        with self._changed:
            assert self._changed.wait_for(lambda: look(), _PATIENCE), "the report does not come"
            return look()

    def _take(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()
        self.on_report(report)


def _check(function: Check) -> Check:
    CHECKS[function.__name__.removeprefix("_").replace("_", " ")] = function
    return function


@_check
def _values_come_back(bench: Bench) -> None:
    assert bench.value(bench.submit(steps.add, 1, 2)) == 3
    assert bench.value(bench.submit(steps.add, kwargs={"left": "a", "right": "b"})) == "ab"
    assert bench.value(bench.submit(lambda: [1, {"two": 2.0}, None])) == [1, {"two": 2.0}, None]
    assert bench.value(bench.submit(steps.identity, packed=bench.values.pack((([1, 2],), {}), "arguments"))) == [1, 2]


@_check
def _large_values_come_back(bench: Bench) -> None:
    large = bench.put(bytes(3_000_000))
    assert bench.value(bench.submit(steps.add, Ref(0), b"!", values=(large,))) == bytes(3_000_000) + b"!"


@_check
def _a_result_used_twice_in_a_call_is_one_object_there(bench: Bench) -> None:
    stored = bench.put([1])
    assert bench.value(bench.submit(steps.same_object, Ref(0), Ref(0), values=(stored,))) is True


@_check
def _tasks_never_share_what_can_be_changed(bench: Bench) -> None:
    stored = bench.put([1])
    tickets = [bench.submit(steps.append_two, Ref(0), values=(stored,)) for _ in range(4)]
    assert [bench.value(ticket) for ticket in tickets] == [[1, 2]] * 4
    assert bench.values.get(stored) == [1]


@_check
def _closures_and_async_functions_run(bench: Bench) -> None:
    base = 40
    assert bench.value(bench.submit(lambda x: base + x, 2)) == 42
    assert bench.value(bench.submit(steps.add_async, 1, 2, is_async=True)) == 3


@_check
def _an_error_keeps_type_arguments_attributes_notes_and_cause(bench: Bench) -> None:
    error = bench.error(bench.submit(steps.fail, "boom"))
    assert type(error) is steps.SuiteError
    assert (str(error), vars(error)["code"]) == ("boom (7)", 7)
    assert "a note" in error.__notes__
    assert type(error.__cause__) is KeyError


@_check
def _a_traceback_shows_the_code_of_the_user_only(bench: Bench) -> None:
    record = bench.finished(bench.submit(lambda: dict[str, int]()["missing"])).error
    assert record is not None
    assert (record.type, record.message) == ("KeyError", "'missing'")
    assert "running/attempt.py" not in record.traceback
    assert "<lambda>" in record.traceback


@_check
def _system_exit_is_a_failure_like_any_other(bench: Bench) -> None:
    end = bench.finished(bench.submit(steps.leave))
    assert (end.state, type(bench.error(end.ticket))) == (State.FAILED, SystemExit)
    assert bench.value(bench.submit(steps.add, 1, 1)) == 2


@_check
def _what_is_no_value_is_refused_by_name(bench: Bench) -> None:
    for function, kind, word in (
        (steps.numbers, "StepResultError", "generator"),
        (steps.lock, "UnpicklableError", "lock"),
    ):
        ticket = bench.submit(function)
        error = bench.error(ticket)
        assert type(error).__name__ == kind
        assert word in str(error)
        assert function.__name__ in str(error)


@_check
def _output_is_captured_for_each_attempt(bench: Bench) -> None:
    tickets = [bench.submit(steps.speak, str(number)) for number in range(6)]
    for number, ticket in enumerate(tickets):
        assert bench.finished(ticket).state is State.SUCCEEDED
        assert bench.text(ticket) == f"out {number}\nand more"
        assert bench.text(ticket, "stderr") == f"err {number}\n"


@_check
def _output_and_progress_can_be_seen_while_the_step_runs(bench: Bench) -> None:
    marker = bench.folder / "go"
    ticket = bench.in_background(steps.speak_and_wait, str(marker))
    bench.wait(lambda: "waiting" in bench.text(ticket))
    assert [(r.value, r.message) for r in bench.reports if type(r) is Progress] == [(0.5, "half")]
    marker.touch()
    assert bench.value(ticket) is True


@_check
def _a_step_knows_who_it_is(bench: Bench) -> None:
    ticket = bench.submit(steps.who)
    key = f"who#{ticket}"
    assert bench.value(ticket) == ("run", key, ticket, 1, f"run/{key}")


@_check
def _a_timeout_ends_a_step(bench: Bench) -> None:
    for function in (steps.spin, steps.stubborn):
        end = bench.finished(bench.submit(function, timeout=0.1))
        assert end.state is State.TIMED_OUT
        error = bench.error(end.ticket)
        assert isinstance(error, TimeoutError)
        assert type(error).__name__ == "StepTimeoutError"
        assert function.__name__ in str(error)
        assert "0.1 seconds" in str(error)
    end = bench.finished(bench.submit(steps.sleep_async, 20, is_async=True, timeout=0.1))
    assert end.state is State.TIMED_OUT
    assert bench.value(bench.submit(steps.add, 1, 1)) == 2


@_check
def _a_timeout_ends_a_step_that_sleeps(bench: Bench) -> None:
    tickets = [bench.submit(steps.sleep, 3, timeout=0.1) for _ in range(3)]
    assert {bench.finished(ticket).state for ticket in tickets} == {State.TIMED_OUT}
    assert bench.value(bench.submit(steps.add, 1, 1)) == 2


@_check
def _a_timeout_never_hits_the_next_task(bench: Bench) -> None:
    tickets = [bench.submit(steps.spin_for, 0.003, timeout=0.003 + number % 7 / 10_000) for number in range(100)]
    tickets += [bench.submit(steps.spin_for, 0.001) for _ in range(100)]
    states = [bench.finished(ticket).state for ticket in tickets]
    assert set(states[100:]) == {State.SUCCEEDED}
    assert set(states[:100]) <= {State.SUCCEEDED, State.TIMED_OUT}


@_check
def _what_is_too_late_is_not_begun(bench: Bench) -> None:
    marker, past = bench.folder / "begun", Due(0.0, 1.0)
    expired = bench.submit(steps.touch, str(marker), expires=past)
    overdue = bench.submit(steps.touch, str(marker), deadline=past)
    in_time = bench.submit(steps.add, 1, 2, expires=Due(4e9, 1.0), deadline=Due(4e9, 1.0))
    assert (bench.finished(expired).state, bench.finished(overdue).state) == (State.EXPIRED, State.TIMED_OUT)
    assert (type(bench.error(expired)), type(bench.error(overdue))) == (JobExpiredError, StepTimeoutError)
    assert not marker.exists()
    assert bench.value(in_time) == 3


@_check
def _a_deadline_ends_a_step(bench: Bench) -> None:
    ticket = bench.submit(steps.spin, timeout=50.0, deadline=Due(time.time() + 1.0, 1.0))
    assert bench.finished(ticket).state is State.TIMED_OUT
    assert "deadline of 1 seconds" in str(bench.error(ticket))


@_check
def _a_step_that_is_silent_for_too_long_is_ended(bench: Bench) -> None:
    beating = bench.in_background(steps.beat_for, 20, heartbeat_timeout=30.0)
    assert bench.value(beating) == 20
    for function in (steps.spin, steps.stubborn):
        ticket = bench.submit(function, timeout=50.0, heartbeat_timeout=0.2)
        assert bench.finished(ticket).state is State.TIMED_OUT
        assert "heartbeat_timeout of 0.2 seconds" in str(bench.error(ticket))


@_check
def _a_running_task_can_be_cancelled(bench: Bench) -> None:
    ticket = bench.in_background(steps.beat, str(bench.folder / "beats"))
    bench.wait(lambda: any(type(report) is Progress for report in bench.reports))
    bench.executor.cancel(ticket)
    assert bench.finished(ticket).state is State.CANCELLED
    assert type(bench.error(ticket)).__name__ == "TaskCancelledError"


@_check
def _a_waiting_task_can_be_cancelled(bench: Bench) -> None:
    marker = bench.folder / "go"
    blockers = [bench.in_background(steps.speak_and_wait, str(marker))]
    bench.wait(lambda: bench.text(blockers[0]))
    blockers += [bench.submit(steps.speak_and_wait, str(marker)) for _ in range(bench.executor.workers - 1)]
    ticket = bench.submit(steps.add, 1, 2)
    bench.executor.cancel(ticket)
    assert bench.finished(ticket).state is State.CANCELLED
    marker.touch()
    assert [bench.value(blocker) for blocker in blockers] == [True] * len(blockers)


@_check
def _each_ticket_gets_exactly_one_last_report(bench: Bench) -> None:
    tickets = [bench.submit(steps.add, number, 1) for number in range(300)]
    assert [bench.value(ticket) for ticket in tickets] == list(range(1, 301))
    ends = [report.ticket for report in bench.reports if type(report) is Finished]
    assert sorted(ends) == tickets


@_check
def _work_that_follows_from_a_report_is_taken(bench: Bench) -> None:
    def go_on(report: Report) -> None:
        if type(report) is Finished and report.ticket < 200 and report.value is not None:
            bench.submit(steps.add, Ref(0), 1, values=(report.value,))

    bench.on_report = go_on
    bench.submit(steps.add, 0, 1)
    assert bench.value(200) == 200


@_check
def _tasks_run_side_by_side(bench: Bench) -> None:
    if bench.executor.inline:
        return
    first, second = str(bench.folder / "first"), str(bench.folder / "second")
    tickets = [bench.submit(steps.meet, first, second), bench.submit(steps.meet, second, first)]
    assert [bench.value(ticket) for ticket in tickets] == [True, True]


@_check
def _a_long_task_holds_nothing_back(bench: Bench) -> None:
    if bench.executor.inline:
        return
    for number in range(50):  # so that the executor takes tasks of this kind to be short
        assert bench.value(bench.submit(steps.add, number, 1)) == number + 1
    marker = bench.folder / "go"
    long = bench.submit(steps.speak_and_wait, str(marker))
    tickets = [bench.submit(steps.add, number, 1) for number in range(50)]
    assert [bench.value(ticket) for ticket in tickets] == list(range(1, 51))
    marker.touch()
    assert bench.value(long) is True


@_check
def _closing_with_wait_finishes_what_was_submitted(bench: Bench) -> None:
    tickets = [bench.submit(steps.spin_for, 0.02) for _ in range(5)]
    bench.executor.close(wait=True)
    assert {bench.finished(ticket).state for ticket in tickets} == {State.SUCCEEDED}


@_check
def _closing_without_wait_cancels_everything_at_once(bench: Bench) -> None:
    tickets = [bench.in_background(steps.beat, str(bench.folder / "beats"))]
    bench.wait(lambda: any(type(report) is Progress for report in bench.reports))
    tickets += [bench.submit(steps.sleep, 30) for _ in range(bench.executor.workers + 2)]
    clock = SystemClock()
    began = clock.time()
    bench.executor.close(wait=False)
    assert clock.time() - began < 2
    assert {bench.finished(ticket).state for ticket in tickets} == {State.CANCELLED}
