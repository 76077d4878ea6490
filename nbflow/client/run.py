"""`Run` and `Task`: handles on what ran, what runs and what came of it, read from the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nbflow import settings as settings_module
from nbflow.client.executed import executed_notebook, write_notebook
from nbflow.client.pictures import run_graph
from nbflow.client.task import Task, stored_error
from nbflow.engine import again, detached, outside, stores
from nbflow.engine import session as session_module
from nbflow.model.errors import (
    NotebookError,
    RunActiveError,
    RunFailedError,
    RunNotFoundError,
    UnknownStepError,
)
from nbflow.model.records import (
    AttemptRecord,
    ErrorRecord,
    FlowVersionRecord,
    LogRecord,
    RunRecord,
    StoredValue,
)
from nbflow.model.states import State
from nbflow.running.failure import of_cells, with_user_frames

if TYPE_CHECKING:
    from nbflow.engine.session import Session
    from nbflow.model.specs import FlowSpec
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore
    from nbflow.views.gantt import Gantt
    from nbflow.views.graph import Picture

T = TypeVar("T")


class Run:
    """One execution of a flow, live or past.

    Reading attributes asks the database, so that a handle made anywhere tells the present state.
    """

    def __init__(
        self, run_id: str, *, db: str | None = None, session: Session | None = None, database: Database | None = None
    ) -> None:
        """`database`: an open one to read from, in place of that at the URL `db`."""
        self.id = run_id
        self._db_url = db if database is None else database.full_url
        self._session = session
        self._database = database

    def __reduce__(self) -> Any:
        """By its id and its database; the session that executes it stays where it is, and so does a password."""
        url = self._db.url
        return _by_id, (self.id, None if ":***@" in url else url)

    # --- state ---------------------------------------------------------------------------------------------------

    @property
    def record(self) -> RunRecord:
        """The run's row in the database. Raises RunNotFoundError if there is none."""
        from nbflow.storage import runs

        if self._session is not None and not self._session.done.is_set():
            self._session.flush()
        return self._read(lambda connection: runs.get(connection, self.id))

    @property
    def flow(self) -> str:
        """Name of the flow."""
        return self.record.flow

    @property
    def state(self) -> State:
        """What became of it so far."""
        return State(self.record.state)

    @property
    def interrupted(self) -> bool:
        """Whether its process died or lost it before it was finished; `resume` goes on."""
        from nbflow.storage import runs

        record = self.record
        if State(record.state).finished or runs.alive(record, time.time()):
            return False
        return not (record.executor == "queue" and detached.waits(self._db, self.id))

    @property
    def parameters(self) -> dict[str, str]:
        """The flow's arguments as short texts."""
        return json.loads(self.record.parameters)  # type: ignore[no-any-return]

    @property
    def started_at(self) -> datetime | None:
        """When it began, in UTC."""
        return _utc(self.record.started_at)

    @property
    def finished_at(self) -> datetime | None:
        """When it ended, in UTC."""
        return _utc(self.record.finished_at)

    @property
    def error(self) -> BaseException | None:
        """What it failed with, or None."""
        record = self.record
        if self._session is not None and self._session.outcome is not None and record.state != State.SUCCEEDED:
            return self._session.outcome.error
        return stored_error(self._values, record.error, record.error_message)

    # --- acting --------------------------------------------------------------------------------------------------

    def explanation(self) -> str:
        """What went wrong, with the traceback in the user's code; "" if nothing did."""
        record = self.record
        if record.error_type is None:
            return ""
        trace = ""
        if record.error is not None:
            trace = ErrorRecord(*self._values.get(self._values.unseal_stored(record.error))).traceback
        version = self._version()
        if version is not None and version.kind == "notebook":
            trace = of_cells(trace)
        return trace.rstrip() or f"{record.error_type}: {record.error_message}"

    def wait(self, timeout: float | None = None) -> Run:
        """Return when the run is finished. Raises TimeoutError after `timeout` seconds.

        What the steps of a run of other processes print and display is shown meanwhile; the setting `echo` turns
        that off.
        """
        if self._session is not None:
            if not self._session.done.wait(timeout):
                raise TimeoutError(f"Run {self.id} is still {self.state} after {timeout:g} seconds.")
            return self
        from nbflow.client import waiting  # imports SQLAlchemy

        waiting.wait(self, self._db, timeout)
        return self

    def result(self, timeout: float | None = None) -> Any:
        """The flow's value, waiting for it. Raises the flow's error if it failed."""
        self.wait(timeout)
        if self._session is not None and self._session.outcome is not None:
            outcome = self._session.outcome
            if outcome.error is None:
                return outcome.value
            if self.record.state != State.SUCCEEDED:  # as it is, unless another handle went on with it
                raise with_user_frames(outcome.error)
        record = self.record
        if record.state != State.SUCCEEDED:
            raise self.error or RunFailedError(f"Run {self.id} is {record.state} and has no result.")
        if record.result_digest is None:
            raise RunFailedError(f"The result of run {self.id} could not be stored; its tasks' results are kept.")
        data = self._values.unseal(record.result) if record.result is not None else None
        return self._values.get(
            StoredValue(
                record.result_digest, record.result_size or 0, record.result_type or "", data, record.result_uri
            )
        )

    def cancel(self, reason: str = "cancelled by run.cancel()") -> None:
        """End what is not finished. A run of another process stops within a few seconds."""
        if self._session is not None:
            self._session.cancel(reason)
        elif not self.state.finished:
            detached.cancel(self._db, self.id, reason)

    def send(self, name: str, value: Any = None, *, key: str | None = None) -> bool:
        """Send a signal to the run, whose flow takes it with `nbflow.receive(name)`; also before it waits for it.

        `key`: what has been sent with a key is not sent again; False then.
        """
        if self.state.finished:
            raise RunFailedError(f"Run {self.id} is {self.state}; it takes no signals.")
        return outside.send(self._db, self._values, self.id, name, value=value, key=key)

    def resume(self, *, spec: FlowSpec | None = None, **options: Any) -> Run:
        """Go on where the run stopped, and return when it is finished.

        Finished tasks are kept as long as their code and inputs are the same; the others run. `options` are those
        of `Flow.run`. Raises RunActiveError if another process executes it now. A run that succeeded is returned
        as it is.
        """
        if self.state is State.SUCCEEDED:
            return self
        self._db.check_writable()
        if self.record.executor == "queue" and detached.waits(self._db, self.id):
            raise RunActiveError(
                f"Run {self.id} is on the queue; workers go on with it. Wait for it, or cancel it first."
            )
        options.setdefault("db", self._db_url)
        if "listeners" in options:
            options["listeners"] = tuple(options["listeners"])
        live, args, kwargs = session_module.resume(self.id, session_module.RunOptions(**options), spec)
        outcome = live.execute(args, kwargs)
        if isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error
        return Run(self.id, db=self._db_url, session=live)

    retry = resume

    def again(self, **options: Any) -> Run:
        """Run the same flow once more with the same arguments, as a new run; returns it when it is finished.

        `options` are those of `Flow.run`; `executor` is by default that of this run. Raises FlowNotFoundError if the
        code is lost, and RunFailedError if the arguments could not be stored.
        """
        self._db.check_writable()
        record = self.record
        options = {"db": self._db_url, "executor": record.executor, **options}
        live, args, kwargs = again.begin(record, session_module.RunOptions(**options))
        live.execute(args, kwargs)
        return Run(live.id, db=self._db_url, session=live)

    # --- tasks ---------------------------------------------------------------------------------------------------

    def tasks(self) -> list[Task]:
        """Its tasks in the order of their calls, those of sub-flows included."""
        from nbflow.storage import tasks

        if self._session is not None and not self._session.done.is_set():
            self._session.flush()
        records = self._read(lambda connection: tasks.of_run(connection, self.id))
        return [Task(self, record) for record in records if record.position or record.kind == "record"]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks())

    def __getitem__(self, name: str) -> Task:
        """The task of this step name or key ("train#2"). Raises UnknownStepError if there is none, or several."""
        every = self.tasks()
        found = [task for task in every if name in (task.key, task.name)]
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(task.key for task in found[:5])
            raise UnknownStepError(
                f"Run {self.id} has {len(found)} tasks of step {name!r}: {keys} ... Name one by its key."
            )
        known = ", ".join(sorted({task.name for task in every})) or "none"
        raise UnknownStepError(f"Run {self.id} has no step {name!r}. Its steps: {known}.")

    def attempts(self) -> list[AttemptRecord]:
        """The tries of all of its tasks."""
        from nbflow.storage import attempts

        return self._read(lambda connection: attempts.of_run(connection, self.id))

    def events(self) -> list[dict[str, Any]]:
        """What else is worth knowing: errors that nobody looked at, warnings; each with kind, time, task and data."""
        from nbflow.storage import events

        records = self._read(lambda connection: events.of_run(connection, self.id))
        return [
            {"kind": record.kind, "time": record.time, "seq": record.seq, "data": json.loads(record.data)}
            for record in records
        ]

    def logs(self) -> list[LogRecord]:
        """Everything its tasks wrote, in order of time."""
        from nbflow.storage import logs

        return self._read(lambda connection: logs.read(connection, self.id))

    def gantt(self, **options: Any) -> Gantt:
        """Its tries as bars over time, with the critical path; where it is shown live it follows the run.

        `options` are those of `nbflow.views.gantt.gantt`: lanes, title, tz, height.
        """
        from nbflow.client.charts import run_gantt

        return run_gantt(self, **options)

    def graph(self) -> Picture:
        """Its tasks as a picture: sub-flows as boxes, many equal tasks as one node.

        In a notebook it is coloured anew while the run goes on; a click on a task shows its times, output, source
        and traceback.
        """
        return run_graph(self)

    # --- notebooks -----------------------------------------------------------------------------------------------

    @property
    def notebook(self) -> str | None:
        """Path of the notebook that it ran; None for a flow of functions."""
        version = self._version()
        if version is None or version.kind != "notebook" or version.reference is None:
            return None
        return version.reference.partition("@")[2]

    @property
    def notebook_function(self) -> Any:
        """The flow function of a notebook's run as it was stored, with the notebook in it; None for other flows."""
        version = self._version()
        if version is None or version.kind != "notebook" or version.code is None:
            return None
        return self._values.get(self._values.unseal_stored(version.code)).function

    @property
    def values(self) -> Mapping[str, Any]:
        """The final values of a notebook run by name, each loaded when it is looked at.

        Raises NotebookError if this is no run of a notebook, and the run's error if it failed.
        """
        found = self.result()
        if not hasattr(found, "bind"):
            raise NotebookError(f"Run {self.id} is no run of a notebook; its value is run.result().")
        values: Mapping[str, Any] = found.bind(lambda key: self[key].result())
        return values

    def save_notebook(self, path: str | Path) -> Path:
        """Write the executed notebook: every output that was recorded in its place, errors included.

        Raises NotebookError if this is no run of a notebook.
        """
        function = self.notebook_function
        if function is None:
            raise NotebookError(f"Run {self.id} is a run of flow {self.flow!r}, which is no notebook.")
        record = self.record
        parameters = self._values.get(self._values.unseal_stored(record.inputs))[1] if record.inputs is not None else {}
        logs: dict[str, list[LogRecord]] = {}
        for task in self.tasks():
            if task.record.kind == "cells":
                logs[task.key] = task.logs()
        write_notebook(executed_notebook(function.content(parameters), logs), path)
        return Path(path)

    def _version(self) -> FlowVersionRecord | None:
        from nbflow.storage import versions

        version = self.record.version
        if version is None:
            return None
        return self._read(lambda connection: versions.get(connection, version))

    def __repr__(self) -> str:
        try:
            record = self.record
        except RunNotFoundError:
            return f"<run {self.id} (not found)>"
        return f"<run {self.id} of {record.flow}: {record.state}>"

    # --- what it stands on ---------------------------------------------------------------------------------------

    @property
    def _db(self) -> Database:
        if self._database is not None and not self._database.closed:
            return self._database
        return stores.database(self._db_url, create=False)

    def _read(self, action: Callable[[Any], T]) -> T:
        return self._db.retrying(action, write=False)

    @property
    def _values(self) -> ValueStore:
        return stores.value_store(settings_module.current(), self._db.url)


def runs(
    *, limit: int | None = 20, flow: str | None = None, state: str | None = None, db: str | None = None
) -> list[Run]:
    """The latest runs, newest first; only those of a flow or in a state, if given."""
    from nbflow.storage import runs as stored_runs

    found = stores.database(db, create=False).retrying(
        lambda connection: stored_runs.latest(connection, limit=limit, flow=flow, state=state), write=False
    )
    return [Run(record.id, db=db) for record in found]


def find(text: str, *, db: str | None = None, database: Database | None = None) -> Run:
    """The run of this id, of a unique beginning of one, or "last". Raises RunNotFoundError.

    `database`: an open one, in place of that at the URL `db`.
    """
    from nbflow.storage import runs as stored_runs

    where = database if database is not None else stores.database(db, create=False)
    found = where.retrying(lambda connection: stored_runs.find(connection, text), write=False)
    return Run(found.id, db=db, database=database)


def _utc(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None


def _by_id(run_id: str, db: str | None) -> Run:
    return Run(run_id, db=db)
