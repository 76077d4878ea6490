"""One run in this process: opened, executed and closed, from its first start or from where it stopped."""

from __future__ import annotations

import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbflow import settings as settings_module
from nbflow.engine import leftovers, loader, stores
from nbflow.engine.advance import Engine
from nbflow.engine.announce import Announcer
from nbflow.engine.body import FlowBody
from nbflow.engine.ending import End
from nbflow.engine.frames import Frame
from nbflow.engine.journal import Journal
from nbflow.engine.new_runs import LEASE, create, new_record, this_process
from nbflow.engine.replay import History
from nbflow.engine.suspending import Suspended, Suspender
from nbflow.engine.versions import run_update
from nbflow.executors import registry
from nbflow.model.errors import (
    CodecError,
    NbflowError,
    RunActiveError,
    StepTimeoutError,
    StorageError,
    TaskCancelledError,
    TaskError,
)
from nbflow.model.events import IGNORED_ERROR, RUN_FINISHED, RUN_STARTED, WARNING, Listener
from nbflow.model.records import RunRecord
from nbflow.model.states import State
from nbflow.running import context
from nbflow.running.attempt import error_record
from nbflow.running.clock import SystemClock

if TYPE_CHECKING:
    from nbflow.model.ports import Clock, Executor
    from nbflow.model.records import FlowVersionRecord, TaskRecord
    from nbflow.model.specs import FlowSpec

_log = logging.getLogger("nbflow")
_SESSIONS: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()  # of this process, by run
_LIVE: set[str | None] = set()  # owners of runs that this process executes


@dataclass(frozen=True, slots=True)
class Origin:
    """The deployment that starts a run."""

    deployment: str
    version: int
    logical_time: float | None = None  # seconds since 1970


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is executed. None: what the flow says, then the settings."""

    db: str | None = None
    executor: str | None = None
    workers: int | None = None
    tags: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = ()
    echo: bool | None = None
    clock: Clock | None = None
    id: str | None = None  # None: a new one
    on_parent_end: str = leftovers.ABANDON  # what becomes of it when the run ends that started it
    origin: Origin | None = None
    version: FlowVersionRecord | None = None  # as which the flow is known already
    suspend_after: float | None = None  # seconds without news after which it is suspended; None: never, it blocks
    random: Callable[[], float] = field(
        default=random.SystemRandom().random
    )  # for jitter; in [0, 1). Not the global generator, whose state is the user's


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    state: State
    value: Any = None
    error: BaseException | None = None


class Session:
    """The live execution of one run."""

    def __init__(self, record: RunRecord, spec: FlowSpec, options: RunOptions, history: Sequence[TaskRecord]) -> None:
        self.id = record.id
        self.spec = spec
        self.record = record
        self.outcome: Outcome | None = None
        self.unrecorded: NbflowError | None = None  # why the database does not tell how it ended
        self.done = threading.Event()
        _SESSIONS[record.id] = self
        self._settings = settings_module.current()
        self._echo = self._settings.echo if options.echo is None else options.echo
        self._clock = options.clock or SystemClock()
        self._executors: dict[str, Executor] = {}
        self._executors_lock = threading.Lock()
        owner = record.owner or ""
        _LIVE.add(record.owner)
        database = stores.database(options.db)
        self._stores = stores.Stores(
            database,
            stores.value_store(self._settings, database.url),
            fence=(record.id, owner),
            on_error=self._stop,
        )
        journal = Journal(record.id, self._stores.writer, self._stores.values)
        self._announcer = Announcer(record.id, journal, self._clock, options.listeners)
        self._resumed = bool(history)
        self._history = History(history)
        self._body = FlowBody(self._history, journal)
        self.engine = Engine(
            record.id,
            stores=self._stores,
            journal=journal,
            executors=self._executor,
            clock=self._clock,
            random=options.random,
            history=self._history,
            announcer=self._announcer,
            flows=self._body.start,
            continues=options.suspend_after is not None,
            started=lambda: list(self._executors.values()),
        )
        self._body.engine = self.engine
        if options.suspend_after is not None:
            self.engine.waiting.suspender = Suspender(self.engine, options.suspend_after)

    def execute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        """Run the flow function in this thread, and everything it calls, to the end."""
        self._announcer.start()
        self._tell(RUN_STARTED, flow=self.spec.name, executor=self.record.executor, resumed=self._resumed)
        interrupted: BaseException | None = None
        try:
            frame = Frame(self.engine, "", None, self._history.script(""))
            with self.engine.ending.limited(self.spec.name, self.spec.timeout, self._began()):
                value, error = self._body.run(frame, self.spec.function, args, kwargs), None
        except BaseException as problem:  # whatever a flow function may raise is the run's outcome
            value, error = None, problem
            if isinstance(problem, KeyboardInterrupt):
                interrupted = problem
            elif isinstance(self.engine.waiting.broken, Suspended):
                return self._suspend(self.engine.waiting.broken)
        self.outcome = self._close(value, error, interrupted is not None)
        _LIVE.discard(self.record.owner)
        self.done.set()
        return self.outcome

    def flush(self) -> None:
        """Return when the database tells all that happened so far."""
        self._stores.flush()

    def cancel(self, reason: str = "asked to stop") -> None:
        """End what is not finished."""
        self.engine.cancel(reason)

    def _executor(self, name: str | None) -> Executor:
        name = name or self.record.executor
        found = self._executors.get(name)
        if found is None:
            with self._executors_lock:
                found = self._executors.get(name)
                if found is None:
                    found = registry.get_executor(
                        name,
                        workers=self.record.workers or self._settings.workers or 1,
                        values=self._stores.values,
                        clock=self._clock,
                        echo=self._echo,
                        database=self._stores.db,
                    )
                    found.start(self.engine.report)
                    self._executors[name] = found
        return found

    def _stop(self, error: StorageError | RunActiveError) -> None:
        self.engine.abort(self._cancelled_elsewhere() or error)

    def _cancelled_elsewhere(self) -> TaskCancelledError | None:
        """What to tell if the run was not taken over but cancelled, by another process."""
        from nbflow.storage import runs

        try:
            with self._stores.db.read(patience=0.0) as connection:
                state = runs.get(connection, self.id).state
        except NbflowError:
            return None  # the database does not answer, which is told already
        return TaskCancelledError(f"Run {self.id} was cancelled by another process.") if state == "cancelled" else None

    def _suspend(self, suspended: Suspended) -> Outcome:
        """Leave the run as it is; what it waits for goes on without this process."""
        from nbflow.storage import runs

        self._leave()
        self._stores.writer.close()
        self._stores.db.retrying(lambda connection: runs.release(connection, self.id, self.record.owner or ""))
        self._announcer.close()
        _LIVE.discard(self.record.owner)
        self.outcome = Outcome(State.PENDING, None, suspended)
        self.done.set()
        return self.outcome

    def _leave(self) -> None:
        """End what runs in this process; what is elsewhere goes on, for whoever goes on with the run."""
        for executor in self._executors.values():
            if hasattr(executor, "detach"):
                executor.detach()
            else:
                executor.close(wait=False)

    def _close(self, value: Any, error: BaseException | None, interrupted: bool) -> Outcome:
        broken = self.engine.waiting.broken
        if isinstance(broken, (RunActiveError, StorageError)):
            self._leave()
        else:
            for executor in self._executors.values():
                executor.close(wait=not interrupted and broken is None)
        state, end = State.SUCCEEDED if error is None else State.FAILED, self.engine.ending.under(None)
        if end is not None and end.state is State.TIMED_OUT and broken is None and not interrupted:
            state, value, error = State.TIMED_OUT, None, _instead_of(error, end)
        elif self._decides_too_long(error):
            state, value, error = State.TIMED_OUT, None, self._slow_decision()
        elif interrupted or (error is not None and (end is not None or isinstance(broken, TaskCancelledError))):
            state = State.CANCELLED
        outcome = Outcome(state, value, error)
        try:
            if broken is None:
                self._report_ignored()
            self._settle(outcome.state)
            self._store_outcome(outcome)
        except NbflowError as problem:
            self.unrecorded = problem
            if error is None:
                outcome = Outcome(State.FAILED, None, broken or problem)
            elif broken is None:
                error.add_note(f"nbflow could not record the end of run {self.id}: {problem}")
        finally:
            self._tell(RUN_FINISHED, state=outcome.state.value, error=repr(outcome.error) if outcome.error else None)
            self._announcer.close()
        return outcome

    def _decides_too_long(self, error: BaseException | None) -> bool:
        """Whether a flow function was interrupted on a worker since it computed for too long without waiting."""
        attempt = context.current()
        on_worker = attempt is not None and attempt.job is not None and not attempt.alive
        return on_worker and self.spec.decision_timeout is not None and isinstance(error, StepTimeoutError)

    def _slow_decision(self) -> StepTimeoutError:
        return StepTimeoutError(
            f"flow {self.spec.name!r} computed for longer than its decision_timeout of "
            f"{self.spec.decision_timeout or 0:g} seconds without waiting for anything (run {self.id}). "
            "Move the work into steps."
        )

    def _began(self) -> float:
        """When the run began; one that was stopped and resumed by somebody has all its time once more."""
        began = self.record.started_at if self.engine.continues else None
        return began if began is not None else self._clock.time()

    def _settle(self, state: State) -> None:
        """See to what goes on elsewhere though the run ends: other runs, and tasks that this execution did not meet."""
        leftovers.settle_children(self._stores.db, self.id, _cancel_here)
        if state is State.TIMED_OUT and self.engine.continues:
            self.flush()
            leftovers.drop(self._stores.db, self._stores.values, self.id, "its run took too long")

    def _store_outcome(self, outcome: Outcome) -> None:
        stored = None
        if outcome.state is State.SUCCEEDED:
            try:
                stored = self._stores.values.put(outcome.value, f"the result of flow {self.spec.name!r}")
            except CodecError as problem:
                message = f"The run succeeded, but its result cannot be stored: {problem}"
                self._announcer.notable(WARNING, None, message=message)
                _log.warning(message)
        error = error_record(outcome.error) if outcome.error is not None else None
        self._stores.writer.put(
            run_update(self.id, outcome.state, self._clock.time(), self._stores.values, value=stored, error=error)
        )
        self._stores.writer.close()
        for executor in self._executors.values():
            if hasattr(executor, "discard"):
                executor.discard(self.id)

    def _report_ignored(self) -> None:
        for task in self.engine.failed:
            failure = task.failure
            if failure is None or failure.looked_at or task.state is State.CANCELLED:
                continue
            text = f"{failure.record.type}: {failure.record.message}"
            self._announcer.notable(IGNORED_ERROR, task, key=task.key, error=text)
            _log.warning("Run %s: nobody looked at the error of %s: %s", self.id, task.key, text)

    def _tell(self, kind: str, **data: Any) -> None:
        self._announcer.send(kind, None, data)


def begin(spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], options: RunOptions) -> Session:
    """Create the record of a new run and return its session, ready to be executed."""
    record, version = new_record(spec, args, kwargs, options)
    stores.database(options.db).retrying(lambda connection: create(connection, record, version, options.on_parent_end))
    return Session(record, spec, options, ())


def _cancel_here(run: str, reason: str) -> bool:
    """Cancel a run, if this process executes it; whether it does."""
    live = _SESSIONS.get(run)
    if live is None or live.done.is_set():
        return False
    live.cancel(reason)
    return True


def _instead_of(error: BaseException | None, end: End) -> TaskError:
    """The error of a run that was ended, with what its function raised then as the cause."""
    found = end.error()
    if error is not None and str(error) != str(found):
        found.__cause__ = error
    return found


def resume(
    run_id: str, options: RunOptions, spec: FlowSpec | None = None
) -> tuple[Session, tuple[Any, ...], dict[str, Any]]:
    """Take over a run that stopped. Returns its session and the arguments to execute it with.

    Raises `RunActiveError` if another living process executes it, and `FlowNotFoundError` if its code is lost.
    """
    from nbflow.storage import runs, tasks, versions

    db = stores.database(options.db, create=False)
    values = stores.value_store(settings_module.current(), db.url)
    record = db.retrying(lambda connection: runs.get(connection, run_id), write=False)
    version = db.retrying(lambda connection: versions.get(connection, record.version or ""), write=False)
    clock = options.clock or SystemClock()
    # A session of this process that has ended lost its claim without being able to say so, as on a full disk.
    gone = record.owner if record.owner_pid == os.getpid() and record.owner not in _LIVE else None
    runs.check_free(record, clock.time(), gone=gone)
    if spec is None:
        if version is None:
            raise NbflowError(f"Run {run_id} has no stored flow; pass the flow: flow.resume({run_id!r}).")
        spec = loader.find(version, values)
    if record.inputs is None:
        raise NbflowError(
            f"The arguments of run {run_id} could not be stored, so it cannot be resumed. Start a new run."
        )
    args, kwargs = values.get(values.unseal_stored(record.inputs))
    owner, started = this_process()
    runs.claim(db, run_id, owner, pid=os.getpid(), process_started=started, lease=LEASE, now=clock.time(), gone=gone)
    history = db.retrying(lambda connection: tasks.of_run(connection, run_id), write=False)
    record = record._replace(
        owner=owner, executor=options.executor or record.executor, workers=options.workers or record.workers
    )
    return Session(record, spec, options, history), args, kwargs
