"""Advancing a run: calls and reports come in, tasks start, and every change is put on record.

Whoever brings a call or a report does the work that follows from it; there is no thread of the engine's own.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import xxhash

from nbflow.engine.attempts import Attempts
from nbflow.engine.barriers import Waiting
from nbflow.engine.cache import Reuse, cache_key
from nbflow.engine.decide import Consequences, Decider, Failure, Task
from nbflow.engine.ending import End, Ending
from nbflow.engine.placeholders import Packed, input_digest
from nbflow.engine.replay import stored_value
from nbflow.engine.signals import Signals
from nbflow.model.errors import NbflowError, TaskCancelledError
from nbflow.model.events import TASK_CREATED, TASK_STATE
from nbflow.model.ports import Inputs
from nbflow.model.records import StoredValue
from nbflow.model.specs import StepSpec
from nbflow.model.states import State
from nbflow.running.attempt import error_record, restore_error
from nbflow.values.identity import code_digest

if TYPE_CHECKING:
    from nbflow.engine.announce import Announcer
    from nbflow.engine.frames import Frame
    from nbflow.engine.journal import Journal
    from nbflow.engine.replay import History
    from nbflow.engine.stores import Stores
    from nbflow.model.ports import Clock, Executor, Report
    from nbflow.model.records import ErrorRecord
    from nbflow.values.store import ValueStore


class Engine:
    """The tasks of one live run."""

    def __init__(
        self,
        run: str,
        *,
        stores: Stores,
        journal: Journal,
        executors: Callable[[str | None], Executor],
        clock: Clock,
        random: Callable[[], float],
        history: History,
        announcer: Announcer,
        flows: Callable[[Task], None],
        continues: bool = False,
        started: Callable[[], list[Executor]] = list,
    ) -> None:
        """`continues`: the run was suspended, not stopped: retries are counted on, and what is finished stays so."""
        self.continues = continues
        self.started = started  # the executors that were used so far
        self.run = run
        self.values: ValueStore = stores.values
        self.clock = clock
        self.lock = threading.Lock()
        self.decider = Decider()  # under the lock
        self.journal = journal
        self.executors = executors
        self.announcer = announcer
        self.failed: list[Task] = []  # tasks that failed themselves, in order of finishing
        self.stores = stores
        self._history = history
        self._reuse = Reuse(self, history, stores, journal)
        self._flows = flows  # starts the body of a sub-flow that is ready
        self.waiting = Waiting(self.lock)
        self._seq = history.last_seq
        self.attempts = Attempts(self, random)
        self.open: dict[int, Task] = {}  # by seq: not finished; under the lock
        self.ending = Ending(self)
        self._codes: dict[int, tuple[StepSpec, str]] = {}
        self.last_news = clock.time()  # when something was called or reported last
        self.signals = Signals(run, stores, history)
        self.bodies = 0  # flow functions that are being executed

    # --- calls ---------------------------------------------------------------------------------------------------

    def admit(self, frame: Frame, spec: StepSpec, packed: Packed, left_out: str | None = None) -> Task:
        """Take a call made by a flow function. `left_out`: why the step is only put on record, as skipped."""
        self.check(frame)
        self.last_news = self.clock.time()
        key = frame.key(spec.name)
        known = self._history.find(key)
        code = self.code_digest(spec)
        if known is not None and self.continues and left_out is None and all(up.stored for up in packed.upstream):
            frame.script.gave(known, input_digest(packed.encoding, packed.upstream))
        with self.lock:
            if known is not None:
                seq = known.seq
            else:
                self._seq = seq = self._seq + 1
            task = Task(
                seq,
                key,
                spec,
                packed.inputs,
                packed.upstream + packed.after,
                frame=frame,
                position=frame.position,
                code_digest=code,
                encoding=packed.encoding,
                created_at=self.clock.time(),
                given=len(packed.upstream),
            )
            if known is not None and left_out is None:
                self.attempts.go_on(task, known)
            frame.open += 1
            self.open[seq] = task
            out = self.decider.admit(task) if left_out is None else self.decider.leave_out(task, left_out)
            self.announcer.task(TASK_CREATED, task)
            if not out.settled and not out.ready:
                self.journal.task(task)
            self.note(out)
        self.launch(out.ready, here=True)
        return task

    def record(self, frame: Frame, name: str, produce: Callable[[], Any]) -> Any:
        """The value of `produce()`, stored so that a replay gets the same."""
        self.check(frame)
        key = frame.key(f"@{name}")
        known = self._history.reusable(key, "", "")
        if known is not None:
            return self.values.get(stored_value(known, self.stores.result(self.run, known.seq)))
        spec = StepSpec(f"@{name}", produce, kind="record")
        value = self.values.put(produce(), f"the result of {name}()")
        earlier = self._history.find(key)
        with self.lock:
            if earlier is not None:
                seq = earlier.seq
            else:
                self._seq = seq = self._seq + 1
            now = self.clock.time()
            task = Task(seq, key, spec, Inputs(), (), frame=frame, position=frame.position, created_at=now)
            task.input_digest = ""
            task.state = State.READY
            task.ready_at = task.started_at = task.finished_at = now
            self.decider.succeed(task, value)
            self.journal.settled(task)
        return self.values.get(value)

    def code_digest(self, spec: StepSpec) -> str:
        """Identity of a step's code and all that it reads, as of its first call in this run."""
        known = self._codes.get(id(spec))
        if known is None:
            digest = spec.identity or code_digest(spec.function)
            if spec.version is not None:
                digest = xxhash.xxh3_128_hexdigest(f"{digest} {spec.version}".encode())
            known = self._codes[id(spec)] = (spec, digest)  # the spec is kept, so that its id stays its own
        return known[1]

    # --- starting ------------------------------------------------------------------------------------------------

    def release(self, ready: Sequence[Task]) -> None:
        """Start tasks that became ready by a report; what runs in the thread of the flow function is left to it."""
        self.attempts.timers.ready(ready)
        if ready and self.inline:
            # Not at once: a report may come from any thread, and from deep inside of other tasks' ends.
            self.waiting.hand_over(functools.partial(self.launch, ready, here=True))
        else:
            self.launch(ready)

    def launch(self, ready: Sequence[Task], *, here: bool = False) -> None:
        """Start ready tasks, or settle them with a result that is known. Not under the lock.

        `here`: this thread belongs to a flow function, so that executors which work in such threads may do so now.
        """
        queue = deque(ready)
        while queue:
            task = queue.popleft()
            self.attempts.timers.ready((task,))
            task.input_digest = input_digest(task.encoding, task.sources)
            try:
                value = self._reuse.find(task)
                failure = self._reuse.failure(task) if value is None and self.continues else None
                if value is not None:
                    queue.extend(self._spare(task, value))
                elif failure is not None:
                    queue.extend(self._fail_again(task, failure))
                elif task.spec.kind == "flow":
                    self._start_flow(task)
                elif here or not self.executors(task.spec.executor).inline:
                    self.attempts.submit(task)
                else:
                    self.waiting.hand_over(functools.partial(self.attempts.submit, task))
            except NbflowError as error:  # a changed row, a step that cannot be sent: the task's own failure
                queue.extend(self._refuse(task, error))

    def _spare(self, task: Task, value: StoredValue) -> list[Task]:
        """Settle a ready task with a result that is known."""
        with self.lock:
            if task.order:
                return []  # cancelled meanwhile
            out = self.decider.succeed(task, value)
            self.note(out)
        return out.ready

    def _fail_again(self, task: Task, failure: tuple[State, ErrorRecord]) -> list[Task]:
        """Settle a ready task that failed before the run was suspended."""
        state, record = failure
        with self.lock:
            if task.order:
                return []
            if state is not State.EXPIRED:
                task.move(State.RUNNING)
            out = self.decider.fail(task, state, Failure(record, None, task))
            self.note(out)
        return out.ready

    def _refuse(self, task: Task, error: NbflowError) -> list[Task]:
        """Settle a task that cannot even begin."""
        with self.lock:
            if task.order:
                return []
            if task.state is State.READY:
                task.move(State.RUNNING)
            out = self.decider.fail(task, State.FAILED, Failure(error_record(error), error, task))
            self.note(out)
        return out.ready

    def _start_flow(self, task: Task) -> None:
        with self.lock:
            if task.order:
                return
            task.ready_at = self.clock.time()
            task.attempts += 1
            self.journal.task(task)
        self._flows(task)

    def flow_started(self, task: Task) -> bool:
        """Note that a sub-flow's body begins; False if it is not wanted any more."""
        with self.lock:
            if task.order or self.ending.of(task.frame) is not None:
                return False
            task.move(State.RUNNING)
            if task.started_at is None:  # else it was left while it waited
                task.started_at = self.clock.time()
            self.journal.task(task)
            self.announcer.task(TASK_STATE, task)
        return True

    def flow_finished(self, task: Task, value: StoredValue | None, error: BaseException | None = None) -> None:
        """Settle a sub-flow with what its function returned or raised."""
        with self.lock:
            if task.order:
                return
            if task.state is State.READY:
                task.move(State.RUNNING)  # its body was not wanted, or is refused
            end = self.ending.under(task)
            if value is not None and end is None:
                out = self.decider.succeed(task, value)
            else:
                error = error or TaskCancelledError(f"{task.key} was cancelled.")
                ended = isinstance(error, (TaskCancelledError, KeyboardInterrupt))
                state = State.CANCELLED if ended else State.FAILED
                if end is not None:  # whatever its function made of it
                    state, error = end.state, end.error()
                out = self.decider.fail(task, state, Failure(error_record(error), error, task))
            self.note(out)
        self.release(out.ready)

    # --- settling ---------------------------------------------------------------------------------------------------

    def note(self, out: Consequences) -> None:
        """Put settled tasks on record and wake whoever waits for them. Under the lock."""
        for task in out.settled:
            if task.finished_at is None:
                task.finished_at = self.clock.time()
            self.open.pop(task.seq, None)
            if task.failure is not None and task.failure.cause is task:
                self.failed.append(task)
            if not task.stored:
                self.journal.settled(task)
            if not task.stored and task.spec.cache.enabled and task.value is not None and task.cached_from is None:
                self.journal.cached(task, cache_key(task), task.value, task.finished_at, task.spec.cache.lifetime)
            self.announcer.task(TASK_STATE, task)
            self.waiting.finished(task)
            frame = task.frame
            if frame is not None:
                frame.open -= 1
                if not frame.open:
                    self.waiting.wake_all()

    # --- waiting -------------------------------------------------------------------------------------------------

    def wait(self, tasks: Sequence[Task], *, at_least: int | None = None) -> None:
        """Return when all (or `at_least` so many) of `tasks` are finished and what they gave is on disk."""
        self.waiting.for_tasks(tasks, len(tasks) if at_least is None else at_least, self.executors(None))
        self.stores.flush()

    def drain(self, frame: Frame) -> None:
        """Return when every task that `frame` called is finished."""
        with self.lock:
            if not frame.open:  # where nothing was called no executor is begun
                return
        self.waiting.for_all_of(frame, self.executors(None))

    def report(self, report: Report) -> None:
        """Take what an executor tells about an attempt."""
        self.last_news = self.clock.time()
        self.attempts.report(report)

    def exception(self, task: Task) -> BaseException:
        """The exception that stands for a failed task."""
        failure = task.failure
        assert failure is not None
        if failure.exception is not None:
            return failure.exception
        return restore_error(failure.record)

    # --- ending --------------------------------------------------------------------------------------------------

    def cancel(self, reason: str) -> None:
        """End every task that is not finished; running ones as soon as their executor can."""
        self.ending.end(End(State.CANCELLED, reason))

    # --- for being suspended -------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Return when the database tells all that happened so far."""
        self.stores.flush()

    def begin_body(self) -> None:
        """Note that a flow function begins."""
        with self.lock:
            self.bodies += 1

    def end_body(self) -> None:
        """Note that a flow function ended."""
        with self.lock:
            self.bodies -= 1

    def busy(self) -> list[Executor]:
        """The executors that have tasks. Under the lock."""
        return [self.executors(task.spec.executor) for task in self.attempts.running().values()]

    def next_time(self) -> float | None:
        """The next time that something waits for: a retry, a flow function. Under the lock."""
        return min([*self.attempts.retries.values(), *self.waiting.deadlines], default=None)

    @property
    def inline(self) -> bool:
        """Whether the run's steps run in the thread of its flow function."""
        return self.executors(None).inline

    def abort(self, error: BaseException) -> None:
        """Stop for good, since nothing can be recorded any more. What runs on a queue is left to whoever goes on."""
        with self.lock:
            self.waiting.broken = error
            self.waiting.wake_all()
            running = self.attempts.running()
        for task in running.values():
            executor = self.executors(task.spec.executor)
            if not hasattr(executor, "detach"):
                executor.cancel(task.ticket)

    def check(self, frame: Frame) -> None:
        """Raise why a flow function is not to go on, if there is a reason."""
        if self.waiting.broken is not None:
            raise self.waiting.broken
        end = self.ending.of(frame)
        if end is not None:
            raise end.error()
