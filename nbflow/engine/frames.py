"""The execution of one flow function: its calls, its place among the other flow functions of the run, its threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from nbflow.engine.decide import earliest_failure
from nbflow.engine.placeholders import Packed, Placeholder, pack, task_of
from nbflow.model.names import task_key
from nbflow.model.ports import Inputs

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.engine.decide import Task
    from nbflow.engine.replay import Script
    from nbflow.model.specs import StepSpec

FRAME: ContextVar[Frame | None] = ContextVar("nbflow_frame", default=None)


@contextmanager
def no_frame() -> Iterator[None]:
    """Run what is no part of any flow function."""
    token = FRAME.set(None)
    try:
        yield
    finally:
        FRAME.reset(token)


# A flow function waits only for flows below it. With a limit for each depth instead of one for all,
# any number of them can wait without keeping those they wait for from starting.
_FLOWS_PER_DEPTH = 32


class Frame:
    """One flow function while it runs."""

    __slots__ = ("_counts", "depth", "engine", "open", "parent", "path", "position", "script")

    def __init__(self, engine: Engine, path: str, parent: Task | None, script: Script) -> None:
        self.engine = engine
        self.path = path  # "" for the run's own flow, else the key of the sub-flow's task
        self.parent = parent
        self.depth: int = 0 if parent is None or parent.frame is None else parent.frame.depth + 1
        self.script = script
        self.position = 0  # calls so far
        self.open = 0  # tasks that were called and have not finished
        self._counts: dict[str, int] = {}

    def key(self, name: str) -> str:
        """The key of the next call of `name`; raises `PathChangedError` if a replay makes another call here."""
        number = self._counts.get(name, 0) + 1
        key = task_key(self.path, name, number)
        self.script.called(key)
        self._counts[name] = number
        self.position += 1
        return key

    def call(
        self, spec: StepSpec, args: tuple[Any, ...], kwargs: dict[str, Any], after: Iterable[Placeholder] = ()
    ) -> Placeholder:
        """Call a step or a sub-flow: returns at once with a placeholder.

        `after`: results that it does not get, but whose tasks have to succeed before it begins.
        """
        engine = self.engine
        packed = pack(args, kwargs, engine.values, f"step {spec.name!r}")
        others = dict.fromkeys(task_of(each) for each in after)
        if others:
            packed = packed._replace(after=tuple([task for task in others if task not in packed.upstream]))
        task = engine.admit(self, spec, packed)
        return Placeholder(task, self.value)

    def leave_out(self, spec: StepSpec, after: Iterable[Placeholder], why: str) -> Task:
        """Put a step on record as skipped, in the place of a call; `after` are those that it would have come after."""
        others = tuple(dict.fromkeys(task_of(each) for each in after))
        return self.engine.admit(self, spec, Packed(Inputs(), (), b"", others), left_out=why)

    def value(self, task: Task) -> Any:
        """Wait for a task and return its value, a copy that belongs to the flow function; raises its error."""
        self.engine.wait((task,))
        return self.taken(task)

    def taken(self, task: Task) -> Any:
        """The value of a finished task; raises its error."""
        self.script.saw(task)
        failure = task.failure
        if failure is not None:
            failure.looked_at = True
            raise self.engine.exception(task)
        assert task.value is not None  # a finished task has a value or a failure
        return self.engine.values.get(task.value)

    def record(self, name: str, produce: Callable[[], Any]) -> Any:
        """The value of `produce()`, or what it was when this flow function ran before."""
        return self.engine.record(self, name, produce)

    def resolve(self, result: Any) -> Any:
        """`result` with every placeholder in it replaced by its value; the earliest error is raised."""
        found: list[Task] = []
        _search(result, found, 0)
        if found:
            self.engine.wait(tuple(found))
            for task in found:
                if task.failure is not None:
                    task.failure.looked_at = True
            first = earliest_failure(found)
            if first is not None:
                self.taken(first)
            result = _replace(result, {})
        return result


_CONTAINERS: frozenset[type] = frozenset({list, tuple, set, frozenset})
_DEEPEST = 200  # a structure deeper than this is taken to contain itself


def _search(value: Any, found: list[Task], depth: int) -> None:
    kind = type(value)
    if kind is Placeholder:
        found.append(task_of(value))
    elif kind in _CONTAINERS and depth < _DEEPEST:
        for item in value:
            _search(item, found, depth + 1)
    elif kind is dict and depth < _DEEPEST:
        for key, item in value.items():
            _search(key, found, depth + 1)
            _search(item, found, depth + 1)


def _replace(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind is Placeholder:
        return value.__wrapped__
    if kind in _CONTAINERS or kind is dict:
        known = memo.get(id(value))
        if known is None:  # an object that occurs twice stays one object
            if kind is dict:
                known = {_replace(key, memo): _replace(item, memo) for key, item in value.items()}
            else:
                known = kind(_replace(item, memo) for item in value)
            memo[id(value)] = known
        return known
    return value


class FlowThreads:
    """Threads for sub-flows: one each, since a flow function may block while its tasks run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[int, int] = {}
        self._waiting: dict[int, deque[Callable[[], None]]] = {}

    def start(self, depth: int, name: str, action: Callable[[], None]) -> None:
        """Run `action`, which belongs to a flow at `depth`, on a thread of its own as soon as there is room."""
        context = copy_context()

        def run() -> None:
            context.run(action)

        with self._lock:
            active = self._active.get(depth, 0)
            if active >= _FLOWS_PER_DEPTH:
                self._waiting.setdefault(depth, deque()).append(run)
                return
            self._active[depth] = active + 1
        threading.Thread(target=self._work, args=(depth, run), name=f"nbflow-flow-{name}", daemon=True).start()

    def _work(self, depth: int, action: Callable[[], None] | None) -> None:
        while action is not None:
            action()
            with self._lock:
                waiting = self._waiting.get(depth)
                action = waiting.popleft() if waiting else None
                if action is None:
                    self._active[depth] -= 1
