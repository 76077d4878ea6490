"""Statements that tell what keeps a job or a task from going on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from nbflow.model.jobs import GateLineRecord, JobRecord, RevocationRecord
from nbflow.model.records import AttemptRecord, TaskRecord
from nbflow.storage import raw

_AT_ONCE = 500  # values in one statement


class Place(NamedTuple):
    """Where somebody stands among others that wait for the same."""

    ahead: int
    total: int


class Holder(NamedTuple):
    """A job that has a place of a limit."""

    id: str
    name: str
    state: str  # "running", or "ready": it has its place and waits for a worker
    worker: str | None
    started_at: float | None


def place_in_queue(connection: Connection, job: JobRecord) -> Place:
    """How many ready jobs of its queue are served before a ready one, and how many there are."""
    total = "SELECT count(*) FROM jobs WHERE state = 'ready' AND queue = ?"
    ahead = f"{total} AND (priority < ? OR (priority = ? AND place < ?))"
    return Place(
        int(raw.one(connection, ahead, (job.queue, job.priority, job.priority, job.place)).scalar()),
        int(raw.one(connection, total, (job.queue,)).scalar()),
    )


def line_of(connection: Connection, job: str) -> tuple[GateLineRecord, Place] | None:
    """The line that a job stands in, and where; None if it stands in none."""
    row = raw.one(connection, "SELECT line, priority, place FROM gate_waits WHERE job = ?", (job,)).first()
    if row is None:
        return None
    line = raw.one(connection, "SELECT * FROM gate_lines WHERE line = ?", (row[0],)).first()
    if line is None:
        return None
    total = "SELECT count(*) FROM gate_waits WHERE line = ?"
    ahead = f"{total} AND (priority < ? OR (priority = ? AND place < ?))"
    place = Place(
        int(raw.one(connection, ahead, (row[0], row[1], row[1], row[2])).scalar()),
        int(raw.one(connection, total, (row[0],)).scalar()),
    )
    return GateLineRecord._make(line), place


def holders(connection: Connection, gate: str, limit: int) -> list[Holder]:
    """Some of the jobs that have a place of a gate, those that run first."""
    statement = (
        "SELECT id, name, state, worker, started_at FROM jobs WHERE state IN ('running', 'ready') "
        "AND gates IS NOT NULL AND {contains}(gates, ?) > 0 ORDER BY state DESC, started_at, id LIMIT ?"
    )
    contains = "strpos" if connection.dialect.name == "postgresql" else "instr"
    rows = raw.one(connection, statement.format(contains=contains), (json.dumps(gate), limit))
    return [Holder._make(row) for row in rows]


def revocation(connection: Connection, job: JobRecord, now: float) -> RevocationRecord | None:
    """What keeps a job from beginning that somebody revoked."""
    statement = "SELECT * FROM revocations WHERE target IN (?, ?) AND (until IS NULL OR until > ?)"
    row = raw.one(connection, statement, (f"id:{job.id}", f"name:{job.name}", now)).first()
    return RevocationRecord._make(row) if row is not None else None


def latest_attempt(connection: Connection, run: str, seq: int) -> AttemptRecord | None:
    """The latest try of a task (or of a plain job: its id, and 0) that is on record."""
    statement = "SELECT * FROM attempts WHERE run = ? AND seq = ? ORDER BY number DESC LIMIT 1"
    row = raw.one(connection, statement, (run, seq)).first()
    return AttemptRecord._make(row) if row is not None else None


def tasks_of(connection: Connection, run: str, seqs: Sequence[int]) -> list[TaskRecord]:
    """Some tasks of a run, in order."""
    found: list[TaskRecord] = []
    for start in range(0, len(seqs), _AT_ONCE):
        part = sorted(seqs)[start : start + _AT_ONCE]
        statement = f"SELECT * FROM tasks WHERE run = ? AND seq IN ({raw.marks(len(part))}) ORDER BY seq"
        found += [TaskRecord._make(row) for row in raw.one(connection, statement, (run, *part))]
    return found


def tasks_that_made(connection: Connection, digest_or_uri: str) -> list[TaskRecord]:
    """The tasks whose result is a stored value, those of the latest runs last. Looks through all tasks."""
    statement = "SELECT * FROM tasks WHERE result_digest = ? OR result_uri = ? ORDER BY created_at, run, seq"
    return [TaskRecord._make(row) for row in raw.one(connection, statement, (digest_or_uri, digest_or_uri))]


def unfinished_tasks(connection: Connection, run: str) -> list[TaskRecord]:
    """The tasks of a run that have not finished, in order."""
    statement = "SELECT * FROM tasks WHERE run = ? AND state IN ('pending', 'ready', 'running') ORDER BY seq"
    return [TaskRecord._make(row) for row in raw.one(connection, statement, (run,))]
