"""Random histories of runs, tasks, tries and jobs, and a database that holds one."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st
from sqlalchemy import delete, insert

from nbflow.model.jobs import JobRecord
from nbflow.model.records import AttemptRecord, RunRecord, TaskRecord
from nbflow.model.states import State
from nbflow.storage import schema
from nbflow.storage.upserts import Upsert
from tests.unit.storage import records

BEGAN = 1_700_000_000.0
FLOWS, STEPS, QUEUES, TAGS = ("training", "report"), ("fetch", "train", "plot"), ("default", "gpu"), ("daily", "big")
TABLES = (schema.runs, schema.tasks, schema.attempts, schema.jobs, schema.events, schema.artifacts)


class History(NamedTuple):
    """What happened."""

    runs: list[RunRecord]
    tasks: list[TaskRecord]
    attempts: list[AttemptRecord]
    jobs: list[JobRecord]


def job(identity: str, **changes: Any) -> JobRecord:
    """A job."""
    filled: dict[str, Any] = dict.fromkeys(JobRecord._fields)
    filled.update(
        id=identity, queue="default", priority=0, place=0, state="ready", name="train", kind="job", waiting=0, marks=0,
        token=0, attempt=0, claims=0, losses=0, wakes=0, abort=0, enqueued_at=BEGAN, ready_at=BEGAN, tags="",
    )  # fmt: skip
    return JobRecord(**{**filled, **changes})


def store(database, history: History) -> None:
    """Let a database hold this history and nothing else."""
    with database.write() as connection:
        for table in TABLES:
            connection.execute(delete(table))
        for table, rows in ((schema.runs, history.runs), (schema.jobs, history.jobs)):
            if rows:
                connection.execute(insert(table), [row._asdict() for row in rows])
        upsert = Upsert(connection.dialect.name)
        upsert(connection, TaskRecord, history.tasks)
        upsert(connection, AttemptRecord, history.attempts)


_moments = st.floats(BEGAN, BEGAN + 100, allow_nan=False).map(lambda moment: round(moment, 6))
_states = st.sampled_from([state.value for state in State])
_tags = st.lists(st.sampled_from(TAGS), unique=True).map(lambda tags: json.dumps(tags) if tags else "")


def _times(draw, state: str) -> dict[str, float | None]:
    """Times as a state has them, in any order: clocks differ."""
    began = state not in ("pending", "ready")
    ended = State(state).finished
    return {
        "started_at": draw(_moments) if began else None,
        "finished_at": draw(_moments) if ended else None,
    }


@st.composite
def histories(draw) -> History:
    """Any history of a few runs and jobs."""
    runs, tasks, attempts = [], [], []
    for number in range(draw(st.integers(0, 3))):
        state = draw(_states)
        run = f"run{number}"
        runs.append(
            records.run(
                run, flow=draw(st.sampled_from(FLOWS)), state=state, created_at=draw(_moments),
                tags=draw(_tags) or "[]", **_times(draw, state),
            )
        )  # fmt: skip
        for seq in range(1, draw(st.integers(0, 5)) + 1):
            task = _task(draw, run, seq)
            tasks.append(task)
            attempts += [_attempt(draw, task, n) for n in range(1, task.attempts + 1)]
    jobs = [_job(draw, number) for number in range(draw(st.integers(0, 5)))]
    attempts += [_try(draw, job, n) for job in jobs for n in range(1, job.attempt + (job.state != "running"))]
    return History(runs, tasks, attempts, jobs)


def _task(draw, run: str, seq: int) -> TaskRecord:
    state = draw(_states)
    failed = state in ("failed", "timed_out")
    return records.task(
        seq, run, name=draw(st.sampled_from(STEPS)), state=state, created_at=draw(_moments), tags=draw(_tags),
        position=draw(st.sampled_from([0, seq, seq])), attempts=draw(st.integers(0, 2)),
        result_size=draw(st.none() | st.integers(0, 2**40)), error_type="builtins.ValueError" if failed else None,
        error_message=draw(st.text(max_size=8).map(lambda text: text.replace("\0", ""))) if failed else None,
        **_times(draw, state),
    )  # fmt: skip


def _attempt(draw, task: TaskRecord, number: int) -> AttemptRecord:
    state = draw(st.sampled_from(["running", "succeeded", "failed", "timed_out", "cancelled"]))
    return records.attempt(task.seq, number, task.run, state)._replace(queued_at=draw(_moments), **_times(draw, state))


def _job(draw, number: int) -> JobRecord:
    state = draw(_states)
    return job(
        f"job{number}", queue=draw(st.sampled_from(QUEUES)), name=draw(st.sampled_from(STEPS)), state=state,
        enqueued_at=draw(_moments), attempt=draw(st.integers(1, 2)) if state == "running" else draw(st.integers(0, 2)),
        tags=draw(_tags), worker="w1" if state == "running" else None, **_times(draw, state),
    )  # fmt: skip


def _try(draw, job_: JobRecord, number: int) -> AttemptRecord:
    state = draw(st.sampled_from(["succeeded", "failed"]))
    return AttemptRecord(
        job_.id, 0, number, state, draw(_moments), draw(_moments), draw(_moments), "w1", 1, None, None, None, None, None
    )
