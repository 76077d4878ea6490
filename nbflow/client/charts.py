"""A run as a Gantt chart: its attempts, what still waits, its critical path, and how the picture follows it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
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

    frame = _frame(run, None)
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
    failures, since = 0, time.time()
    while failures < _FAILURES:
        began = time.monotonic()
        try:
            over = run.state.finished or run.interrupted  # before the rows are read, so that none is missed
            looked = time.time()
            frame = _frame(run, None if over else since - _LATE)
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


def _frame(run: Run, since: float | None) -> pd.DataFrame:
    """The attempts of a run, or those that were there since a time; and the tasks that wait for their first."""
    import pandas as pd

    from nbflow.client.columns import ATTEMPTS
    from nbflow.client.frames import NbflowSource

    source = NbflowSource(run._db)
    attempts, _ = source.frame("attempts", Query(run=run.id, since=since))
    tasks, _ = source.frame("tasks", Query(run=run.id, states=(State.READY.value,)))
    waiting = tasks[tasks["ready_at"].notna()].drop(columns=["started_at", "finished_at"])
    if waiting.empty:
        return attempts
    waiting = waiting.assign(attempt=_next_attempts(run, waiting["seq"]), queued_at=waiting["ready_at"])
    both = [attempts.astype(object), waiting.reindex(columns=list(ATTEMPTS)).astype(object)]
    return pd.concat(both, ignore_index=True).astype(_plain(attempts))


def _next_attempts(run: Run, seqs: pd.Series[int]) -> pd.Series[int]:
    """The number that the next attempt of each task will have; a ready task may have been counted up already."""
    from nbflow.storage import attempts

    known = run._read(lambda connection: attempts.of_tasks(connection, run.id, seqs.tolist()))
    last: dict[int, int] = {}
    for record in known:
        last[record.seq] = max(record.number, last.get(record.seq, 0))
    return seqs.map(lambda seq: last.get(seq, 0) + 1)


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
