"""What keeps a task, or a run, from being done.

Kinds of reasons beside those of `why_job`: upstream, flow, interrupted, executor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from nbflow.client import why_job
from nbflow.client.reasons import Reason, at, error, listed
from nbflow.engine.detached import job_of
from nbflow.model.jobs import JobRecord
from nbflow.model.names import task_job
from nbflow.model.records import RunRecord, TaskRecord
from nbflow.model.states import State
from nbflow.storage import jobs, runs
from nbflow.storage import reasons as stored
from nbflow.storage.connection import Connection
from nbflow.views.words import seconds_text


def of_task(connection: Connection, run: str, seq: int, now: float) -> tuple[TaskRecord, list[Reason]]:
    """A task as it is now, and why it has not finished; how it ended, if it has."""
    (task,) = stored.tasks_of(connection, run, [seq])
    return task, _task(connection, task, runs.get(connection, run), now)


def of_run(connection: Connection, run: str, now: float) -> tuple[RunRecord, list[Reason]]:
    """A run as it is now, and why it has not finished; how it ended, if it has."""
    record = runs.get(connection, run)
    return record, list(_run(connection, record, now))


def _task(connection: Connection, task: TaskRecord, run: RunRecord, now: float) -> list[Reason]:
    state = State(task.state)
    if state.finished:
        return list(_ended(connection, task))
    found = list(_abandoned(connection, run, now))
    if state is State.PENDING:
        found += _upstream(connection, task)
    elif state is State.RUNNING:
        found.append(_running(connection, task, now))
    else:
        found += _ready(connection, task, run, now)
    return found


def _ended(connection: Connection, task: TaskRecord) -> Iterator[Reason]:
    when = f" at {at(task.finished_at)}" if task.finished_at is not None else ""
    cause = stored.tasks_of(connection, task.run, [task.cause]) if task.cause is not None else []
    because = f" because of {cause[0].key}" if cause else ""
    told = error(task.error_type, task.error_message)
    if task.error_type is None and task.error_message is not None:  # why its branch was not taken
        told = f": {task.error_message.rstrip('.')}"
    yield Reason("ended", f"It ended{when}{because}{told}. It waits for nothing.")


def _upstream(connection: Connection, task: TaskRecord) -> Iterator[Reason]:
    needed = stored.tasks_of(connection, task.run, json.loads(task.upstream))
    open_ = [each for each in needed if not State(each.state).finished]
    if open_:
        names = [f"{each.key} ({each.state})" for each in sorted(open_, key=_furthest)]
        tasks = "a task" if len(open_) == 1 else f"{len(open_):,} of {len(needed):,} tasks"
        verb = "has" if len(open_) == 1 else "have"
        text = f"It needs {tasks} that {verb} not finished: {listed(names)}."
        yield Reason("upstream", text, {"tasks": [each.key for each in open_]})


def _furthest(task: TaskRecord) -> tuple[int, int]:
    """Running ones first, then those that could run."""
    return ("running", "ready", "pending").index(task.state), task.seq


def _running(connection: Connection, task: TaskRecord, now: float) -> Reason:
    attempt = stored.latest_attempt(connection, task.run, task.seq)
    where = f" on {attempt.worker}" if attempt is not None and attempt.worker else ""
    since = f" for {seconds_text(now - task.started_at)}" if task.started_at is not None else ""
    done = f" It is {task.progress:.0%} done." if task.progress is not None else ""
    text = f"It has been running{since}{where}, try {max(task.attempts, 1)}.{done}"
    return Reason("running", text, {"attempt": task.attempts})


def _ready(connection: Connection, task: TaskRecord, run: RunRecord, now: float) -> Iterator[Reason]:
    job = _job(connection, task_job(task.run, task.seq, task.attempts))
    if job is not None and not State(job.state).finished:
        yield from why_job.reasons(connection, job, now)
        return
    last = stored.latest_attempt(connection, task.run, task.seq)
    if last is not None and last.finished_at is not None and State(last.state) is not State.SUCCEEDED:
        text = f"Try {last.number} {last.state}{error(last.error_type, last.error_message)}; it is tried again."
        yield Reason("retry", text, {"attempt": last.number})
    busy = [each for each in stored.unfinished_tasks(connection, task.run) if each.state == "running"]
    if busy:
        names = [each.key for each in busy]
        workers = f" ({run.workers} at a time)" if run.workers else ""
        yield Reason("executor", f"Executor {run.executor!r}{workers} has no place free: it runs {listed(names)}.")


def _run(connection: Connection, run: RunRecord, now: float) -> Iterator[Reason]:
    if State(run.state).finished:
        when = f" at {at(run.finished_at)}" if run.finished_at is not None else ""
        yield Reason("ended", f"It ended{when}{error(run.error_type, run.error_message)}. It waits for nothing.")
        return
    yield from _abandoned(connection, run, now)
    open_ = stored.unfinished_tasks(connection, run.id)
    yield from _open_tasks(connection, open_, now)
    job = _job(connection, job_of(run.id))
    if job is not None and not State(job.state).finished and not (job.state == "pending" and open_):
        yield from why_job.reasons(connection, job, now)
    elif not open_ and runs.alive(run, now):
        yield Reason("flow", "None of its tasks is open: the flow function itself runs, or waits for a time or signal.")


def _open_tasks(connection: Connection, open_: Sequence[TaskRecord], now: float) -> Iterator[Reason]:
    for state, verb in (("running", "run"), ("ready", "could run and wait for a place")):
        found = [each for each in open_ if each.state == state]
        if found:
            names = [_told(each, now) for each in found]
            text = f"{len(found):,} of its tasks {verb}: {listed(names)}."
            yield Reason("upstream", text, {"tasks": [each.key for each in found]})
    ready = [each for each in open_ if each.state == "ready"]
    if ready:
        first = _job(connection, task_job(ready[0].run, ready[0].seq, ready[0].attempts))
        if first is not None and not State(first.state).finished:
            yield from why_job.reasons(connection, first, now)


def _told(task: TaskRecord, now: float) -> str:
    if task.state != "running" or task.started_at is None:
        return task.key
    return f"{task.key} (for {seconds_text(now - task.started_at)})"


def _abandoned(connection: Connection, run: RunRecord, now: float) -> Iterator[Reason]:
    """Whether nobody goes on with the run."""
    if State(run.state).finished or runs.alive(run, now):
        return
    if run.executor == "queue":
        job = _job(connection, job_of(run.id))
        if job is not None and not State(job.state).finished:
            return
    text = f"The process that executed run {run.id} is gone. Go on with it: nbflow resume {run.id}"
    yield Reason("interrupted", text, {"run": run.id})


def _job(connection: Connection, id_: str) -> JobRecord | None:
    return jobs.get(connection, [id_]).get(id_)
