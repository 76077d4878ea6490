"""A run as a Gantt chart: its attempts, what still waits, its critical path, and how the picture follows it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nbflow.client.sources import OWN
from nbflow.client.task import Task
from nbflow.model.errors import NbflowError
from nbflow.model.queries import Query
from nbflow.model.states import State

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.client.queue_client import QueueClient
    from nbflow.client.run import Run
    from nbflow.views.gantt import Gantt
    from nbflow.views.gantt.critical import Links

_TICK = 0.4  # seconds between looks at a run
_SHARE = 0.05  # of the time may be spent on looking
_FAILURES = 5  # looks in a row that fail, each a second later than the one before
_LATE = 10.0  # seconds by which clocks of workers may be late


def run_gantt(run: Run, **options: Any) -> Gantt:
    """The tries of a run's tasks as bars, which follow the run where they are shown live."""
    from nbflow.views.gantt import gantt

    frame = _Looks(run).frame(None)
    over = run.state.finished
    now = _ended(run) if over or run.interrupted else None
    options.setdefault("title", run.flow)
    options.setdefault("now", now)
    feed = None if over else lambda chart: follow(run, chart)
    return gantt(frame, links=_links(run), handle=lambda row: _task(run, row), feed=feed, **options)


def handle_of(client: QueueClient) -> Callable[[dict[str, Any]], Any] | None:
    """What makes a handle of a clicked row; None for queues of other kinds, which have none."""
    if client.kind != OWN:
        return None

    def handle(row: dict[str, Any]) -> Any:
        run = row.get("run")
        return client.task(run, row["task"]) if isinstance(run, str) and run else client.job(row["task"])

    return handle


def follow(run: Run, chart: Gantt) -> None:
    """Feed a chart until the run is over, or nobody goes on with it."""
    looks = _Looks(run, chart.frame)
    failures, since = 0, time.time()
    while failures < _FAILURES:
        began = time.monotonic()
        try:
            over = run.state.finished or run.interrupted  # before the rows are read, so that none is missed
            looked = time.time()
            frame = looks.frame(None if over else since - _LATE)
            if len(frame) or over:
                chart.update(frame, links=_links(run))
            else:
                chart.tick()
            failures, since = 0, looked
            if over:
                break
        except NbflowError:  # the database is away, or the run was removed from it
            failures += 1
        threading.Event().wait(max(_TICK, (time.monotonic() - began) / _SHARE, failures))
    chart.finish()


class _Looks:
    """A run's attempts as frames, with the tasks that wait for their next attempt, and what became of these."""

    def __init__(self, run: Run, shown: pd.DataFrame | None = None) -> None:
        from nbflow.client.frames import NbflowSource

        self._run = run
        self._source = NbflowSource(run._db)
        self._waited: set[tuple[int, int]] = set()  # rows of tasks that waited when last looked at: seq and attempt
        if shown is not None:
            self._waited.update(_keys(shown[shown["state"] == State.READY.value]))

    def frame(self, since: float | None) -> pd.DataFrame:
        """All attempts, or those that were there since a time; and the tasks that wait or ended while they waited."""
        import pandas as pd

        from nbflow.client.columns import ATTEMPTS
        from nbflow.storage import attempts as stored

        attempts, _ = self._source.frame("attempts", Query(run=self._run.id, since=since))
        tasks, _ = self._source.frame("tasks", Query(run=self._run.id, states=(State.READY.value,)))
        numbers = self._run._read(lambda connection: stored.next_numbers(connection, self._run.id))
        waiting = _numbered(tasks[tasks["ready_at"].notna()], numbers).drop(columns=["started_at", "finished_at"])
        ended = self._ended(attempts, waiting, since)
        more = [each.reindex(columns=list(ATTEMPTS)).astype(object) for each in (waiting, ended) if len(each)]
        if not more:
            return attempts
        return pd.concat([attempts.astype(object), *more], ignore_index=True).astype(_plain(attempts))

    def _ended(self, attempts: pd.DataFrame, waiting: pd.DataFrame, since: float | None) -> pd.DataFrame:
        """The tasks that waited and are over without another attempt, cancelled for instance."""
        waits = _keys(waiting)
        left = self._waited - waits - _keys(attempts)
        self._waited = waits | left  # what is begun and not seen yet will be seen at the next look
        if not left:
            return waiting.head(0)
        tasks, _ = self._source.frame("tasks", Query(run=self._run.id, since=since))
        found = _numbered(tasks[tasks["finished_at"].notna()], dict(left)).drop(columns="started_at")
        self._waited -= _keys(found)
        return found


def _keys(frame: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(frame["seq"].tolist(), frame["attempt"].tolist(), strict=True))


def _numbered(tasks: pd.DataFrame, numbers: Mapping[int, int]) -> pd.DataFrame:
    """Those tasks whose attempts have a number here, as rows of attempts."""
    chosen = tasks[tasks["seq"].isin(list(numbers))]
    return chosen.assign(attempt=chosen["seq"].map(numbers), queued_at=chosen["ready_at"])


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    """The types of a frame's columns, with texts for categories, which differ from frame to frame."""
    import pandas as pd

    return {name: "str" if isinstance(kind, pd.CategoricalDtype) else kind for name, kind in frame.dtypes.items()}  # type: ignore[misc]


def _links(run: Run) -> Links:
    from nbflow.views.gantt.critical import Links

    records = [task.record for task in run.tasks()]
    return Links(
        upstream={record.seq: json.loads(record.upstream) for record in records},
        parents={record.seq: record.parent for record in records},
    )


def _task(run: Run, row: dict[str, Any]) -> Task:
    return next(task for task in run.tasks() if task.record.seq == row["seq"])


def _ended(run: Run) -> float | None:
    """When nothing of a run that is over, or that nobody goes on with, can have gone on any more."""
    record = run.record
    found = [record.finished_at, *(attempt.finished_at or attempt.started_at for attempt in run.attempts())]
    return max((at for at in found if at is not None), default=None)
