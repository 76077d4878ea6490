"""Statements about jobs: in, claimed, out, and whatever moves them on meanwhile."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, update

from nbflow.model.jobs import ClaimedJob, HeldJob, JobEnd, JobRecord, WaitingJob
from nbflow.storage import raw
from nbflow.storage.schema import jobs
from nbflow.storage.upserts import storable

NEW = (
    "id", "queue", "priority", "place", "state", "name", "kind", "payload", "policy", "timeout", "soft_timeout",
    "due_at", "expires_at", "attempt", "waiting", "marks", "gates", "unique_key", "waker", "run", "seq", "enqueued_at",
    "ready_at", "meta", "tags", "batch", "schedule", "logical_time", "success_ttl", "failure_ttl",
)  # fmt: skip
_COUNTERS = ("token", "claims", "losses", "wakes", "abort")
_CLAIM = (
    "UPDATE jobs SET state = 'running', worker = ?, token = token + 1, attempt = attempt + 1, claims = claims + 1, "
    "started_at = NULL, progress = NULL, message = NULL "
    "WHERE id {} (SELECT id FROM jobs WHERE queue = ? AND state = 'ready' ORDER BY priority, place LIMIT ?{}{}{} "
    f"RETURNING {', '.join(ClaimedJob._fields)}"
)
_END = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in JobEnd._fields)}, due_at = NULL, abort = 0 WHERE id = ?"
_AT_ONCE = 500  # values in one statement


def insert(connection: Connection, records: Sequence[JobRecord]) -> None:
    """Store new jobs; those whose id is there already are left as they are."""
    if records:
        used = [name for name in NEW if any(getattr(record, name) is not None for record in records)]
        insert_rows(connection, tuple(used), [tuple([getattr(record, name) for name in used]) for record in records])


def insert_rows(connection: Connection, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """The same with some columns of `NEW` alone; without those that are empty it takes half the time."""
    raw.many(connection, _insertion(columns), rows)


@functools.cache
def _insertion(columns: tuple[str, ...]) -> str:
    names = ", ".join([*columns, *_COUNTERS])
    values = f"{raw.marks(len(columns))}, {', '.join('0' * len(_COUNTERS))}"
    return f"INSERT INTO jobs ({names}) VALUES ({values}) ON CONFLICT (id) DO NOTHING"


def claim(connection: Connection, worker: str, queue: str, most: int, *, flows: bool = True) -> list[ClaimedJob]:
    """Give the next `most` ready jobs of a queue to a worker, in their order; of these not the `flows`, if so."""
    kinds = "" if flows else " AND kind <> 'flow'"
    if connection.dialect.name == "postgresql":
        statement = _CLAIM.format("= ANY(ARRAY", " FOR UPDATE SKIP LOCKED", "))", kinds)
    else:
        statement = _CLAIM.format("IN", "", ")", kinds)
    rows = [ClaimedJob._make(row) for row in raw.one(connection, statement, (worker, queue, most))]
    return sorted(rows, key=lambda job: (job.priority, job.place))


def held(connection: Connection, worker: str, ids: Sequence[str]) -> dict[str, HeldJob]:
    """What has become of those of `ids` that `worker` has; nobody takes or changes them until the transaction ends."""
    found: dict[str, HeldJob] = {}
    for part in _parts(ids):
        statement = (
            f"SELECT id, {', '.join(HeldJob._fields)} FROM jobs WHERE state = 'running' AND worker = ? "
            f"AND id IN ({raw.marks(len(part))}) ORDER BY id{raw.for_update(connection)}"
        )
        found.update({row[0]: HeldJob._make(row[1:]) for row in raw.one(connection, statement, (worker, *part))})
    return found


def end(connection: Connection, ends: Sequence[tuple[str, JobEnd]]) -> None:
    """Store how jobs ended."""
    raw.many(connection, _END, [(*[storable(value) for value in end], job) for job, end in ends])


def put_back(
    connection: Connection, ids: Sequence[str], *, place_shift: int = 0, uncounted: bool = False, lost: bool = False
) -> None:
    """Make running jobs ready again; `uncounted` takes back the try, `lost` counts it as lost with its process."""
    rows = [(place_shift, int(uncounted), int(lost), int(lost), job) for job in ids]
    raw.many(
        connection,
        "UPDATE jobs SET state = 'ready', place = CASE WHEN place > 0 THEN place - ? ELSE place END, "
        "attempt = attempt - ?, losses = losses + ?, started_at = NULL, abort = 0, "
        "expires_at = CASE WHEN ? = 1 AND kind <> 'flow' THEN NULL ELSE expires_at END WHERE id = ?",
        rows,
    )


def postpone(connection: Connection, job: str, due_at: float | None, place: int | None = None) -> None:
    """Make a running job wait until a time, or until it is woken (None); `place` gives it another place."""
    values: dict[str, Any] = {"state": "pending", "due_at": due_at, "started_at": None}
    if place is not None:
        values["place"] = place
    connection.execute(update(jobs).where(jobs.c.id == job).values(values))


def make_ready(connection: Connection, ids: Sequence[str], now: float) -> None:
    """Let pending jobs be claimed."""
    raw.many(
        connection, "UPDATE jobs SET state = 'ready', due_at = NULL, ready_at = ? WHERE id = ?", [(now, i) for i in ids]
    )


def due(connection: Connection, now: float, most: int) -> list[JobRecord]:
    """Pending jobs whose time has come, longest overdue first; nobody else deals with them meanwhile."""
    statement = (
        "SELECT * FROM jobs WHERE state = 'pending' AND due_at IS NOT NULL AND due_at <= ? "
        f"ORDER BY due_at LIMIT ?{raw.for_update(connection, skip_locked=True)}"
    )
    return [JobRecord._make(row) for row in raw.one(connection, statement, (now, most))]


def next_due(connection: Connection) -> float | None:
    """When the next pending job is due."""
    statement = "SELECT min(due_at) FROM jobs WHERE state = 'pending' AND due_at IS NOT NULL"
    found = raw.one(connection, statement).scalar()
    return float(found) if found is not None else None


def expired(connection: Connection, now: float, most: int) -> list[JobRecord]:
    """Jobs that were not begun in time; nobody else deals with them meanwhile."""
    statement = (
        "SELECT * FROM jobs WHERE expires_at IS NOT NULL AND finished_at IS NULL AND expires_at <= ? "
        f"AND state IN ('ready', 'pending') LIMIT ?{raw.for_update(connection, skip_locked=True)}"
    )
    return [JobRecord._make(row) for row in raw.one(connection, statement, (now, most))]


def next_expiry(connection: Connection) -> float | None:
    """When the next job expires that has not begun."""
    statement = (
        "SELECT min(expires_at) FROM jobs WHERE expires_at IS NOT NULL AND finished_at IS NULL "
        "AND state IN ('ready', 'pending')"
    )
    found = raw.one(connection, statement).scalar()
    return float(found) if found is not None else None


def wake(connection: Connection, ids: Iterable[str], now: float) -> None:
    """Wake suspended jobs; one that runs is to look again before it is suspended, one with gates has to pass them."""
    rows = [(now, now, job) for job in sorted(ids)]
    raw.many(
        connection,
        "UPDATE jobs SET wakes = wakes + 1, "
        "due_at = CASE WHEN state <> 'pending' THEN due_at WHEN gates IS NULL THEN NULL ELSE ? END, "
        "ready_at = CASE WHEN state = 'pending' AND gates IS NULL THEN ? ELSE ready_at END, "
        "state = CASE WHEN state = 'pending' AND gates IS NULL THEN 'ready' ELSE state END WHERE id = ?",
        rows,
    )


def count_down(connection: Connection, counts: Mapping[str, int]) -> list[str]:
    """Let jobs wait for so many others less; returns those that wait for none any more."""
    statement = (
        "UPDATE jobs SET waiting = waiting - ? WHERE id = ? AND state = 'pending' AND waiting > 0 RETURNING waiting"
    )
    return [job for job, count in sorted(counts.items()) if raw.one(connection, statement, (count, job)).scalar() == 0]


def wait_again(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Let those that still wait, and that need some of `ids`, wait for these anew; returns which are waited for."""
    needed: set[str] = set()
    for part in _parts(ids):
        statement = (
            "SELECT job_needs.needs, job_needs.job FROM job_needs JOIN jobs ON jobs.id = job_needs.job "
            f"WHERE job_needs.needs IN ({raw.marks(len(part))}) AND jobs.state = 'pending' AND jobs.waiting > 0"
        )
        found = list(raw.one(connection, statement, tuple(part)))
        needed.update(row[0] for row in found)
        raw.many(
            connection,
            "UPDATE jobs SET waiting = waiting + ? WHERE id = ? AND state = 'pending' AND waiting > 0",
            [(count, job) for job, count in sorted(Counter(row[1] for row in found).items())],
        )
    return needed


def recall(connection: Connection, queue: str) -> list[JobRecord]:
    """Take the ready jobs of a queue back that have passed gates; nobody else deals with them meanwhile."""
    statement = (
        "SELECT * FROM jobs WHERE queue = ? AND state = 'ready' AND gates IS NOT NULL "
        f"ORDER BY priority, place{raw.for_update(connection, skip_locked=True)}"
    )
    found = [JobRecord._make(row) for row in raw.one(connection, statement, (queue,))]
    raw.many(
        connection, "UPDATE jobs SET state = 'pending', ready_at = NULL WHERE id = ?", [(job.id,) for job in found]
    )
    return found


def running_of(connection: Connection, workers: Sequence[str]) -> list[JobRecord]:
    """The jobs that some workers have; nobody else deals with them meanwhile."""
    if not workers:
        return []
    statement = (
        f"SELECT * FROM jobs WHERE state = 'running' AND worker IN ({raw.marks(len(workers))}) "
        f"ORDER BY place DESC{raw.for_update(connection)}"
    )
    return [JobRecord._make(row) for row in raw.one(connection, statement, tuple(workers))]


def to_abort(connection: Connection, worker: str) -> list[tuple[str, bool]]:
    """Of the jobs that a worker has, those that are to be ended, and whether at once."""
    statement = "SELECT id, abort FROM jobs WHERE state = 'running' AND worker = ? AND abort > 0"
    return [(row[0], row[1] > 1) for row in raw.one(connection, statement, (worker,))]


def get(connection: Connection, ids: Sequence[str], *, lock: bool = False) -> dict[str, JobRecord]:
    """Jobs by id; those that there are not are left out."""
    found: dict[str, JobRecord] = {}
    for part in _parts(ids):
        statement = select(jobs).where(jobs.c.id.in_(part)).order_by(jobs.c.id)
        rows = connection.execute(statement.with_for_update() if lock else statement)
        found.update({row[0]: JobRecord._make(row) for row in rows})
    return found


def states(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The states of jobs by id."""
    found: dict[str, str] = {}
    for part in _parts(ids):
        rows = connection.execute(select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(part)))
        found.update({row[0]: row[1] for row in rows})
    return found


def change(connection: Connection, job: str, **values: Any) -> None:
    """Change columns of a job."""
    connection.execute(update(jobs).where(jobs.c.id == job).values(**{k: storable(v) for k, v in values.items()}))


def unfinished(connection: Connection, queue: str) -> list[WaitingJob]:
    """The jobs of a queue that have not ended; nobody else deals with them meanwhile."""
    statement = (
        f"SELECT {', '.join(WaitingJob._fields)} FROM jobs "
        f"WHERE queue = ? AND state IN ('ready', 'pending', 'running') ORDER BY id{raw.for_update(connection)}"
    )
    return [WaitingJob._make(row) for row in raw.one(connection, statement, (queue,))]


def regate(connection: Connection, job: str, gates: str | None, mark: int) -> None:
    """Let a job have other gates, and the mark that says so."""
    marks = jobs.c.marks.op("|")(mark) if gates else jobs.c.marks.op("&")(~mark)
    connection.execute(update(jobs).where(jobs.c.id == job).values(gates=gates, marks=marks))


def unready(connection: Connection, ids: Sequence[str]) -> None:
    """Let ready jobs be pending again."""
    raw.many(connection, "UPDATE jobs SET state = 'pending', ready_at = NULL WHERE id = ?", [(job,) for job in ids])


def mark(connection: Connection, ids: Sequence[str], mark: int) -> None:
    """Add a mark to jobs."""
    for part in _parts(ids):
        connection.execute(update(jobs).where(jobs.c.id.in_(part)).values(marks=jobs.c.marks.op("|")(mark)))


def started(connection: Connection, times: Sequence[tuple[str, float]]) -> None:
    """Store when the tries of running jobs began."""
    raw.many(connection, "UPDATE jobs SET started_at = ? WHERE id = ?", [(time, job) for job, time in times])


def rated(connection: Connection, ids: Sequence[str], kind: str) -> list[tuple[str, int, str]]:
    """(id, token, gates) of those of some jobs that have passed gates of a kind, told by how their names begin."""
    found: list[tuple[str, int, str]] = []
    for part in _parts(ids):
        statement = f"SELECT id, token, gates FROM jobs WHERE id IN ({raw.marks(len(part))}) AND gates LIKE ?"
        found += [(row[0], row[1], row[2]) for row in raw.one(connection, statement, (*part, f'%"{kind}%'))]
    return found


def told(connection: Connection, rows: Sequence[tuple[float | None, str, str]]) -> None:
    """Store (progress, message, id) of running jobs."""
    written = [(value, storable(message), job) for value, message, job in rows]
    raw.many(connection, "UPDATE jobs SET progress = ?, message = ? WHERE id = ?", written)


def of_run(connection: Connection, run: str, states: Sequence[str]) -> list[JobRecord]:
    """The jobs of a run's tasks that are in one of `states`."""
    statement = select(jobs).where(jobs.c.run == run, jobs.c.state.in_(states), jobs.c.run.is_not(None))
    return [JobRecord._make(row) for row in connection.execute(statement)]


def untaken(connection: Connection, run: str) -> list[JobRecord]:
    """The jobs of a run's tasks that run or have ended, and whose end the run has not taken."""
    statement = (
        "SELECT * FROM jobs WHERE batch = ? AND batch IS NOT NULL "
        "AND state IN ('running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'expired')"
    )
    return [JobRecord._make(row) for row in raw.one(connection, statement, (run,))]


def taken(connection: Connection, ids: Sequence[str], keep_until: float) -> None:
    """Store that a run has taken the ends of some jobs."""
    raw.many(connection, "UPDATE jobs SET batch = NULL, keep_until = ? WHERE id = ?", [(keep_until, i) for i in ids])


def meet(connection: Connection, ids: Sequence[str], waker: str | None) -> None:
    """Let a run take the ends of jobs again, and have them wake `waker`."""
    for part in _parts(ids):
        statement = (
            "UPDATE jobs SET batch = run, keep_until = NULL, waker = ?, "
            "marks = CASE WHEN ? THEN marks | 8 ELSE marks END "
            f"WHERE id IN ({raw.marks(len(part))}) AND (batch IS NULL OR coalesce(waker, '') <> ?)"
        )
        raw.one(connection, statement, (waker, waker is not None, *part, waker or ""))


def wakes(connection: Connection, job: str) -> int | None:
    """How often a job was woken."""
    found = raw.one(connection, "SELECT wakes FROM jobs WHERE id = ?", (job,)).scalar()
    return int(found) if found is not None else None


class Standing(NamedTuple):
    """Where a job stands: some columns of its JobRecord."""

    queue: str
    priority: int
    place: int


def standing(connection: Connection, job: str) -> Standing | None:
    """Where a job stands; None if there is none of this id."""
    row = raw.one(connection, "SELECT queue, priority, place FROM jobs WHERE id = ?", (job,)).first()
    return Standing._make(row) if row is not None else None


def delete_of_run(connection: Connection, run: str) -> None:
    """Remove the jobs of a run's tasks."""
    raw.one(connection, "DELETE FROM jobs WHERE run = ? AND run IS NOT NULL AND kind = 'task'", (run,))


def of_batch(connection: Connection, batch: str) -> list[JobRecord]:
    """The jobs of a group, in order."""
    statement = select(jobs).where(jobs.c.batch == batch, jobs.c.batch.is_not(None)).order_by(jobs.c.place, jobs.c.id)
    return [JobRecord._make(row) for row in connection.execute(statement)]


def delete(connection: Connection, ids: Sequence[str]) -> None:
    """Remove jobs."""
    raw.many(connection, "DELETE FROM jobs WHERE id = ?", [(job,) for job in ids])


def waiting(connection: Connection, queue: str, *, limit: int | None = None) -> list[JobRecord]:
    """Ready jobs of a queue, in the order in which they will be served."""
    statement = select(jobs).where(jobs.c.queue == queue, jobs.c.state == "ready")
    statement = statement.order_by(jobs.c.priority, jobs.c.place).limit(limit)
    return [JobRecord._make(row) for row in connection.execute(statement)]


def delayed(
    connection: Connection, queue: str, *, before: float | None = None, limit: int | None = None
) -> list[JobRecord]:
    """Pending jobs of a queue, the earliest due first."""
    statement = select(jobs).where(jobs.c.queue == queue, jobs.c.state == "pending")
    if before is not None:
        statement = statement.where(jobs.c.due_at < before)
    return [
        JobRecord._make(row)
        for row in connection.execute(statement.order_by(jobs.c.due_at.nulls_last(), jobs.c.place).limit(limit))
    ]


def counts(connection: Connection) -> list[tuple[str, str, int]]:
    """(queue, state, number of jobs)."""
    statement = select(jobs.c.queue, jobs.c.state, func.count()).group_by(jobs.c.queue, jobs.c.state)
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]


def kept_until(connection: Connection, now: float, most: int) -> list[str]:
    """Ids of finished jobs that nobody wants any more."""
    statement = "SELECT id FROM jobs WHERE keep_until IS NOT NULL AND keep_until <= ? LIMIT ?"
    return [row[0] for row in raw.one(connection, statement, (now, most))]


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
