"""Running the body of a flow function, of the run itself or of a sub-flow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbflow.engine import leftovers
from nbflow.engine.frames import FRAME, FlowThreads, Frame
from nbflow.engine.placeholders import ATOMS, is_placeholder, task_of
from nbflow.engine.suspending import Suspended
from nbflow.model.errors import CodecError, CycleError, StorageError
from nbflow.model.ports import Inputs
from nbflow.model.states import State
from nbflow.running.attempt import load_inputs
from nbflow.values.secrets import references

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.engine.decide import Task
    from nbflow.engine.journal import Journal
    from nbflow.engine.replay import History


_DEEPEST = 60  # flows inside flows; on the serial executor each takes a part of Python's stack


def _too_deep(task: Task, depth: int) -> CycleError:
    names = [part.partition("#")[0] for part in task.key.split("/")]
    around = list(dict.fromkeys(names))
    return CycleError(
        f"Flows call one another without an end: {' -> '.join([*around, around[0]])}, {depth} deep. "
        "Let the recursion end on a plain value, or loop inside one flow.",
        cycle=around,
    )


class FlowBody:
    """Executes flow functions for one engine."""

    engine: Engine

    def __init__(self, history: History, journal: Journal) -> None:
        self._history = history
        self._journal = journal
        self._threads = FlowThreads()

    def run(self, frame: Frame, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a flow function and return its value without placeholders, after all that it called is finished."""
        token, place = FRAME.set(frame), references.PLACE.set(references.FLOW)
        self.engine.begin_body()
        try:
            try:
                self.engine.check(frame)  # its time may be up before it goes on
                return self._settled(frame, function(*args, **kwargs))
            except KeyboardInterrupt:
                self.engine.cancel("interrupted from the keyboard")
                raise
            finally:
                # What was called goes on to its end also when the flow function fails: its results are kept for
                # the next run, and every executor leaves the same states behind.
                self.engine.drain(frame)
        finally:
            self.engine.end_body()
            references.PLACE.reset(place)
            FRAME.reset(token)

    def start(self, task: Task) -> None:
        """Run the sub-flow behind a ready task, and settle the task: here, or on a thread of its own."""
        depth = task.frame.depth + 1 if task.frame is not None else 1
        if depth > _DEEPEST:
            self.engine.flow_finished(task, None, _too_deep(task, depth))
        elif self.engine.inline:
            self._run_task(task)
        else:
            self._threads.start(depth, task.key, lambda: self._run_task(task))

    def _run_task(self, task: Task) -> None:
        engine = self.engine
        if not engine.flow_started(task):
            engine.flow_finished(task, None)
            return
        try:
            frame = Frame(engine, task.key, task, self._history.script(task.key))
            inputs = task.inputs
            upstream = tuple([up.value for up in task.sources if up.value is not None])
            references.PLACE.set(references.FLOW)  # of this thread's own context
            args, kwargs = load_inputs(Inputs(inputs.args, inputs.kwargs, inputs.packed, upstream), engine.values)
            result = self._run_limited(frame, task, args, kwargs)
            value = engine.values.put(result, f"the result of flow {task.spec.name!r}")
        except Suspended:
            return  # it is left as it is
        except BaseException as error:  # whatever a flow function may raise is the task's outcome
            self._tidy(task)  # before anybody learns of its end: the run may be over then
            engine.flow_finished(task, None, error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            self._tidy(task)
            engine.flow_finished(task, value)

    def _tidy(self, task: Task) -> None:
        """End what a sub-flow that took too long has left on the queue, and did not come to in this execution."""
        engine = self.engine
        if engine.continues and engine.ending.under(task) is not None:
            engine.flush()
            with suppress(StorageError):
                leftovers.drop(engine.stores.db, engine.values, engine.run, "its flow took too long", under=task.key)

    def _run_limited(self, frame: Frame, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a sub-flow for no longer than it may take."""
        engine, spec = self.engine, task.spec
        seconds = spec.timeout
        known = self._history.find(task.key) if engine.continues else None
        if known is not None and State(known.state).finished:
            seconds = None  # it is replayed, and took its time before
        with engine.ending.limited(spec.name, seconds, task.started_at or engine.clock.time(), task):
            return self.run(frame, spec.function, args, kwargs)

    def _settled(self, frame: Frame, result: Any) -> Any:
        result = self._search_deep(frame, frame.resolve(result))
        frame.script.ended()
        for key in frame.script.left_out():
            record = self._history.find(key)
            if record is not None:
                self._journal.moved(record, 0)
        return result

    def _search_deep(self, frame: Frame, result: Any) -> Any:
        """Replace placeholders inside objects that are no plain containers, such as dataclasses."""
        found: list[Any] = []

        def substitute(value: object) -> int | None:
            if not is_placeholder(value):
                return None
            found.append(value)
            return len(found) - 1

        values = self.engine.values
        if type(result) in ATOMS:
            return result
        try:
            packed = values.pack(result, "the result of the flow", substitute)
        except CodecError:
            return result  # told where the result is stored
        if not found:
            return result
        self.engine.wait(tuple([task_of(value) for value in found]))
        return values.unpack(packed, [value.__wrapped__ for value in found])
