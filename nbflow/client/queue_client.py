"""`QueueClient`: what runs, waits and has ended, as DataFrames, handles, pictures and words."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from nbflow import settings
from nbflow.client import cut, filters, lineage, why
from nbflow.client import run as run_module
from nbflow.client.frames import NbflowSource
from nbflow.client.run import Run
from nbflow.client.sources import OWN, Source, check_kind, open_source
from nbflow.client.task import Task
from nbflow.model.errors import (
    ConfigError,
    FlowNotFoundError,
    NbflowError,
    UnknownQueueError,
    UnknownStepError,
)
from nbflow.model.states import State
from nbflow.queue.broker import Broker
from nbflow.queue.job import Job
from nbflow.storage import job_lists, queries
from nbflow.storage.database import Database, open_database
from nbflow.values.project import value_store

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.client.monitor import Monitor
    from nbflow.model.queries import Query
    from nbflow.views.gantt import Gantt
    from nbflow.views.graph import Picture

_UNKNOWN: dict[str, type[NbflowError]] = {
    "queue": UnknownQueueError,
    "flow": FlowNotFoundError,
    "step": UnknownStepError,
}


States: TypeAlias = str | State | Iterable[str | State] | None
Named: TypeAlias = Any  # a name or id, or an object that has one
Moment: TypeAlias = datetime | date | timedelta | str | None
Tags: TypeAlias = str | Iterable[str] | None
Columns: TypeAlias = str | Iterable[str] | None


class QueueClient:
    """Reads a queue: nbflow's own database, or one of another system (`kind`). No worker has to be alive.

    Every frame has typed columns, times in UTC, and rows from the oldest to the newest. `state`, `queue`, `flow`,
    `step`, `run`, `tags`, `since` and `until` say which rows are wanted, `limit` only the newest of them, which the
    frame tells then, and `columns` only some columns, which is faster. since, until: a datetime, a date, text such as
    "2026-05-01 14:30", or a span before now (a timedelta, "2h", "30 min", "7d"); rows count that were there at any
    moment of it. Names that nothing has are refused with those that are near.
    """

    def __init__(self, url: str | None = None, *, kind: str | None = None, write: bool = False, **options: Any) -> None:
        """`url`: of a database or queue; default: the project's database. `options`: for other kinds than nbflow's.

        `write`: whether handles may act: cancel, retry, resume. It is opened when it is first asked.
        Raises ConfigError for a kind that is not known.
        """
        self.kind = check_kind(kind, url)
        self.write = write
        if write and self.kind != OWN:
            raise ConfigError(f"Queues of kind {self.kind!r} can only be read; leave write=True out.")
        if options and self.kind == OWN:
            raise ConfigError(
                f"QueueClient has no option {sorted(options)[0]!r}; those are for queues of other kinds (kind=)."
            )
        self._url = url
        self._options = options
        self._source: Source | None = None
        self._lock = threading.Lock()

    # --- frames --------------------------------------------------------------------------------------------------

    def runs(
        self, *, state: States = None, queue: Named = None, flow: Named = None, step: Named = None,
        run: Named = None, since: Moment = None, until: Moment = None, tags: Tags = None, limit: int | None = None,
        columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Executions of flows."""
        return self._frame("runs", locals())

    def tasks(
        self, *, state: States = None, queue: Named = None, flow: Named = None, step: Named = None,
        run: Named = None, since: Moment = None, until: Moment = None, tags: Tags = None, limit: int | None = None,
        columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Executions of steps in runs."""
        return self._frame("tasks", locals())

    def jobs(
        self, *, state: States = None, queue: Named = None, flow: Named = None, step: Named = None,
        run: Named = None, since: Moment = None, until: Moment = None, tags: Tags = None, limit: int | None = None,
        columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Calls on queues, those of flows among them."""
        return self._frame("jobs", locals())

    def attempts(
        self, *, state: States = None, queue: Named = None, flow: Named = None, step: Named = None,
        run: Named = None, since: Moment = None, until: Moment = None, tags: Tags = None, limit: int | None = None,
        columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Every try of a task or of a job that has begun: what a Gantt chart shows."""
        return self._frame("attempts", locals())

    def queues(self, *, queue: Named = None, columns: Columns = None) -> pd.DataFrame:
        """Queues in the order in which they are served, with counts of their jobs."""
        return self._frame("queues", locals())

    def workers(
        self, *, queue: Named = None, since: Moment = None, until: Moment = None, limit: int | None = None,
        columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Workers, those that have ended too; of a queue: those that serve it."""
        return self._frame("workers", locals())

    def schedules(self, *, queue: Named = None, limit: int | None = None, columns: Columns = None) -> pd.DataFrame:
        """What is enqueued again and again."""
        return self._frame("schedules", locals())

    def events(
        self, *, run: Named = None, flow: Named = None, step: Named = None, since: Moment = None,
        until: Moment = None, limit: int | None = None, columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """What else happened in runs, such as errors that nobody looked at."""
        return self._frame("events", locals())

    def artifacts(
        self, *, run: Named = None, flow: Named = None, step: Named = None, since: Moment = None,
        until: Moment = None, limit: int | None = None, columns: Columns = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Results that are so large that each lies in a file of its own."""
        return self._frame("artifacts", locals())

    # --- handles -------------------------------------------------------------------------------------------------

    def run(self, id: str) -> Run:
        """The run of this id, of a unique beginning of one, or "last". Raises RunNotFoundError."""
        return run_module.find(id, database=self.database)

    def task(self, run: str | Run, key: str) -> Task:
        """The task of this key ("train#2") or step name in a run. Raises UnknownStepError."""
        return (run if isinstance(run, Run) else self.run(run))[key]

    def job(self, id: str) -> Job:
        """The job of this id, of a unique beginning of one, or "last". Raises JobNotFoundError."""
        found = self.database.retrying(lambda connection: job_lists.find(connection, id), write=False)
        return Job(found.id, self._broker())

    # --- words and pictures --------------------------------------------------------------------------------------

    def why(self, what: Run | Task | Job | str, key: str | None = None) -> why.Why:
        """Why a run, a task or a job is not done: what it waits for, in words and as data.

        what: a handle, or the id of a run (with `key`: of its task) or of a job. Raises RunNotFoundError.
        """
        return why.why(self._handle(what, key), self.database, time.time())

    def lineage(self, what: Run | Task | Any, name: str | None = None) -> pd.DataFrame:
        """Where a value came from: the tasks that it was made by, directly or not, and those that took it.

        what: a task, for its result; a run of a notebook, for the final value of `name` in it; the digest or URI of a
        stored value; or the value itself. The columns are those of tasks, `role`, `deployment` and `version`.
        """
        return lineage.frame(what, self.database, value_store(settings.current(), self.database.full_url), name)

    def gantt(self, *, lanes: str = "worker", title: str | None = None, **wanted: Any) -> Gantt:
        """The tries as bars over time: those that `attempts` gives for the same arguments.

        lanes: "worker", "queue", "step", "flow" or "run". Further arguments are those of `nbflow.views.gantt.gantt`.
        """
        from nbflow.client.charts import handle_of
        from nbflow.views.gantt import gantt

        wanted.setdefault("handle", handle_of(self))
        filtering = {name: wanted.pop(name) for name in list(wanted) if name in _FILTERS}
        return gantt(self.attempts(**filtering), lanes=lanes, title=title, **wanted)

    def graph(self, run: str | Run = "last") -> Picture:
        """The tasks of a run as a picture."""
        return (run if isinstance(run, Run) else self.run(run)).graph()

    def monitor(self, **options: Any) -> Monitor:
        """A live view of it all, in a notebook; its buttons act, whatever `write` says. Options are those of `Monitor`.

        Raises ConfigError for queues of other kinds.
        """
        from nbflow.client.monitor import Monitor

        return Monitor(self.database.full_url, **options)

    # --- opening and closing -------------------------------------------------------------------------------------

    @property
    def source(self) -> Source:
        """What frames are read from; opened now if it is not yet. Raises StorageError if it cannot be."""
        with self._lock:
            if self._source is None or (isinstance(self._source, NbflowSource) and self._source.database.closed):
                self._source = self._opened()
            return self._source

    @property
    def database(self) -> Database:
        """Nbflow's own database. Raises ConfigError for queues of other kinds."""
        source = self.source
        if not isinstance(source, NbflowSource):
            raise ConfigError(f"Queues of kind {self.kind!r} have frames and a Gantt chart only; they have no handles.")
        return source.database

    def close(self) -> None:
        """Let go of connections; they are opened again when they are needed."""
        with self._lock:
            if self._source is not None:
                self._source.close()
                self._source = None

    def __enter__(self) -> QueueClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self._url if self._url is not None else "the project's database"
        access = "reads and writes" if self.write else "reads"
        return f"<QueueClient {access} {_without_password(where)} ({self.kind})>"

    # --- inside --------------------------------------------------------------------------------------------------

    def _opened(self) -> Source:
        if self.kind != OWN:
            return open_source(self.kind, self._url or "", **self._options)
        current = settings.current()
        url = settings.resolve_db(self._url or current.db)
        return NbflowSource(open_database(url, create=False, read_only=not self.write, timeout=current.lock_timeout))

    def _frame(self, what: str, wanted: dict[str, Any]) -> pd.DataFrame:
        del wanted["self"]
        if wanted.get("run") == "last":
            wanted["run"] = self.run("last")
        query = filters.query(what, **wanted)
        source, read_at = self.source, time.time()
        frame, total = source.frame(what, query)
        if not total:
            self._check_names(query)
        if query.columns:
            frame = frame[[name for name in frame.columns if name in query.columns]]
        untold = {name: reason for name, reason in source.missing.items() if name.partition(".")[0] == what}
        return cut.told(frame, what, total, read_at=read_at, **({"missing": untold} if untold else {}))

    def _check_names(self, query: Query) -> None:
        """Raise if nothing was found because a name is wrong."""
        if self.kind != OWN:
            return
        with self.database.read() as connection:
            for name, error in _UNKNOWN.items():
                given = getattr(query, name)
                if given is None or given == "default":  # a queue that is there without having been made
                    continue
                known = queries.names(connection, name)
                if given not in known:
                    raise error(f"There is no {name} {given!r} here.{filters.near(given, known)}")
        if query.run is not None:
            self.run(query.run)

    def _handle(self, what: Any, key: str | None) -> Run | Task | Job:
        if not isinstance(what, str):
            return what  # type: ignore[no-any-return]  # a handle
        if key is not None:
            return self.task(what, key)
        try:
            return self.run(what)
        except NbflowError as error:
            try:
                return self.job(what)
            except NbflowError:
                raise error from None

    def _broker(self) -> Broker:
        database = self.database
        return Broker(database, value_store(settings.current(), database.full_url))


_FILTERS = ("state", "queue", "flow", "step", "run", "since", "until", "tags", "limit")


def _without_password(url: str) -> str:
    import re

    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)
