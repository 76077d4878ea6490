"""What the columns of frames are in SQL, and what they can be filtered by."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column of a frame."""

    sql: str
    kind: str = "text"  # "number", "text" (that repeats, or is missing) or "object" (another text)
    join: str = ""  # name of the join that it needs


class Selection(NamedTuple):
    """Rows of one table, as a part of a frame."""

    table: str
    alias: str
    columns: dict[str, Column]
    joins: dict[str, str]  # by name, in the order in which they are written; each gives one row at most
    where: str  # which rows belong to the frame at all
    begins_name: str  # the column that rows are sorted by
    begins: str  # SQL: when a row came to be
    ends: str  # SQL: when it ended; NULL: it has not
    tie: str  # SQL: what tells rows of one moment apart
    filters: dict[
        str, str
    ]  # conditions by field of a Query, after "JOIN: " if they need one; tags: the SQL of the list


def _number(sql: str, join: str = "") -> Column:
    return Column(sql, "number", join)


def _object(sql: str, join: str = "") -> Column:
    return Column(sql, "object", join)


def _times(alias: str, *names: str) -> dict[str, Column]:
    return {name: _number(f"{alias}.{name}") for name in names}


# Tasks of which the flow function made no call when its run was last resumed are not part of it any more.
CALLED = "(t.position > 0 OR t.kind = 'record')"
_OF_FLOW = "IN (SELECT id FROM runs WHERE flow = ?)"
_BAD = "('failed', 'timed_out')"

RUNS = Selection(
    "runs",
    "r",
    {
        "run": _object("r.id"),
        "flow": Column("r.flow"),
        "state": Column("r.state"),
        "executor": Column("r.executor"),
        **_times("r", "created_at", "started_at", "finished_at"),
        "tasks": _number(f"(SELECT count(*) FROM tasks AS t WHERE t.run = r.id AND {CALLED})"),
        "failed": _number(f"(SELECT count(*) FROM tasks AS t WHERE t.run = r.id AND t.state IN {_BAD} AND {CALLED})"),
        "parameters": Column("r.parameters"),
        "tags": Column("r.tags"),
        "parent_run": Column("r.parent_run"),
        "host": Column("r.host"),
        "error_type": Column("r.error_type"),
        "error": Column("r.error_message"),
    },
    {},
    "1 = 1",
    "created_at",
    "r.created_at",
    "r.finished_at",
    "r.id",
    {
        "run": "r.id = ?",
        "flow": "r.flow = ?",
        "step": "r.id IN (SELECT run FROM tasks WHERE name = ?)",
        "queue": "r.id IN (SELECT run FROM jobs WHERE queue = ? AND run IS NOT NULL)",
        "tags": "r.tags",
    },
)

TASKS = Selection(
    "tasks",
    "t",
    {
        "run": Column("t.run"),
        "seq": _number("t.seq"),
        "task": _object("t.key"),
        "step": Column("t.name"),
        "kind": Column("t.kind"),
        "state": Column("t.state"),
        "queue": Column("j.queue", join="job"),
        "worker": Column("a.worker", join="attempt"),
        **_times("t", "created_at", "ready_at", "started_at", "finished_at"),
        "attempts": _number("t.attempts"),
        "progress": _number("t.progress"),
        "cached": _number("CASE WHEN t.cached_from IS NULL THEN 0 ELSE 1 END"),
        "size": _number("t.result_size"),
        "type": Column("t.result_type"),
        "tags": Column("t.tags"),
        "parent": _number("t.parent"),
        "error_type": Column("t.error_type"),
        "error": Column("t.error_message"),
    },
    {
        # A job of a task is named so by the queue's executor.
        "job": "LEFT JOIN jobs AS j ON j.id = t.run || '.' || t.seq || '.' || t.attempts",
        "attempt": "LEFT JOIN attempts AS a ON a.run = t.run AND a.seq = t.seq AND a.number = t.attempts",
    },
    CALLED,
    "created_at",
    "t.created_at",
    "t.finished_at",
    "t.run DESC, t.seq",
    {
        "run": "t.run = ?",
        "flow": f"t.run {_OF_FLOW}",
        "step": "t.name = ?",
        "queue": "job: j.queue = ?",
        "tags": "t.tags",
    },
)

JOBS = Selection(
    "jobs",
    "j",
    {
        "job": _object("j.id"),
        "queue": Column("j.queue"),
        "step": Column("j.name"),
        "kind": Column("j.kind"),
        "state": Column("j.state"),
        "priority": _number("j.priority"),
        "worker": Column("j.worker"),
        **_times("j", "enqueued_at", "due_at", "ready_at", "started_at", "finished_at"),
        "attempts": _number("j.attempt"),
        "losses": _number("j.losses"),
        "progress": _number("j.progress"),
        "message": Column("j.message"),
        "tags": Column("j.tags"),
        "run": Column("j.run"),
        "seq": _number("j.seq"),
        "schedule": Column("j.schedule"),
        "logical_time": _number("j.logical_time"),
        "error_type": Column("j.error_type"),
        "error": Column("j.error_message"),
    },
    {},
    "1 = 1",
    "enqueued_at",
    "j.enqueued_at",
    "j.finished_at",
    "j.id",
    {
        "run": "j.run = ? AND j.run IS NOT NULL",  # the second for the partial index
        "flow": f"j.run {_OF_FLOW}",
        "step": "j.name = ?",
        "queue": "j.queue = ?",
        "tags": "j.tags",
    },
)

# Tries of tasks; those of a plain job stand under its id with 0 for a number of a task.
ATTEMPTS = Selection(
    "attempts",
    "a",
    {
        "run": Column("CASE WHEN a.seq > 0 THEN a.run END"),
        "seq": _number("a.seq"),
        "task": _object("coalesce(t.key, a.run)", "task"),
        "step": Column("coalesce(t.name, j.name)", join="task job"),
        "attempt": _number("a.number"),
        "state": Column("a.state"),
        "queue": Column("j.queue", join="job"),
        "worker": Column("a.worker"),
        "pid": _number("a.pid"),
        **_times("a", "queued_at", "started_at", "finished_at"),
        "cpu": _number("a.cpu_seconds"),
        "peak_memory": _number("a.peak_memory"),
        "exit": Column("a.exit"),
        "error_type": Column("a.error_type"),
        "error": Column("a.error_message"),
    },
    {
        "task": "LEFT JOIN tasks AS t ON t.run = a.run AND t.seq = a.seq",
        "job": "LEFT JOIN jobs AS j ON j.id = "
        "CASE WHEN a.seq > 0 THEN a.run || '.' || a.seq || '.' || a.number ELSE a.run END",
    },
    "1 = 1",
    "queued_at",
    "a.queued_at",
    "a.finished_at",
    "a.run DESC, a.seq DESC, a.number",
    {
        "run": "a.run = ? AND a.seq > 0",
        "flow": f"a.run {_OF_FLOW}",
        "step": "task job: coalesce(t.name, j.name) = ?",
        "queue": "job: j.queue = ?",
        "tags": "task job: coalesce(t.tags, j.tags)",
    },
)

# Tries that only their job tells of yet: a worker puts a try on record when it has ended.
BEGUN = Selection(
    "jobs",
    "j",
    {
        "run": Column("j.run"),
        "seq": _number("coalesce(j.seq, 0)"),
        "task": _object("coalesce(t.key, j.id)", "task"),
        "step": Column("j.name"),
        "attempt": _number("j.attempt"),
        "state": Column("j.state"),
        "queue": Column("j.queue"),
        "worker": Column("j.worker"),
        "pid": _number("NULL"),
        "queued_at": _number("coalesce(j.ready_at, j.enqueued_at)"),
        **_times("j", "started_at", "finished_at"),
        "cpu": _number("NULL"),
        "peak_memory": _number("NULL"),
        "exit": Column("NULL"),
        "error_type": Column("NULL"),
        "error": Column("NULL"),
    },
    {"task": "LEFT JOIN tasks AS t ON t.run = j.run AND t.seq = j.seq"},
    "j.state = 'running' AND j.started_at IS NOT NULL AND j.kind <> 'flow' AND NOT EXISTS (SELECT 1 FROM attempts AS a "
    "WHERE a.run = coalesce(j.run, j.id) AND a.seq = coalesce(j.seq, 0) AND a.number = j.attempt)",
    "queued_at",
    "coalesce(j.ready_at, j.enqueued_at)",
    "j.finished_at",
    "j.id",
    {
        "run": "j.run = ? AND j.run IS NOT NULL",
        "flow": f"j.run {_OF_FLOW}",
        "step": "j.name = ?",
        "queue": "j.queue = ?",
        "tags": "j.tags",
    },
)

EVENTS = Selection(
    "events",
    "e",
    {
        "event": _object("e.id"),
        "time": _number("e.time"),
        "kind": Column("e.kind"),
        "run": Column("e.run"),
        "seq": _number("e.seq"),
        "task": Column("t.key", join="task"),
        "data": _object("e.data"),
    },
    {"task": "LEFT JOIN tasks AS t ON t.run = e.run AND t.seq = e.seq"},
    "1 = 1",
    "time",
    "e.time",
    "e.time",
    "e.id",
    {"run": "e.run = ?", "flow": f"e.run {_OF_FLOW}", "step": "task: t.name = ?"},
)


def _artifacts(table: str, alias: str, *, run: str, seq: str, task: str, step: str, where: str = "") -> Selection:
    """The results of one table that lie in files of their own."""
    return Selection(
        table,
        alias,
        {
            "uri": _object(f"{alias}.result_uri"),
            "digest": _object(f"{alias}.result_digest"),
            "size": _number(f"{alias}.result_size"),
            "type": Column(f"{alias}.result_type"),
            "run": Column(run),
            "seq": _number(seq),
            "task": _object(task),
            "created_at": _number(f"{alias}.finished_at"),
        },
        {},
        f"{alias}.result_uri IS NOT NULL{where}",
        "created_at",
        f"{alias}.finished_at",
        f"{alias}.finished_at",
        f"{alias}.result_uri",
        {"run": f"{run} = ?", "flow": f"{run} {_OF_FLOW}", "step": step},
    )


ARTIFACTS = (
    _artifacts("tasks", "t", run="t.run", seq="t.seq", task="t.key", step="t.name = ?"),
    _artifacts("runs", "r", run="r.id", seq="NULL", task="NULL", step="? IS NULL"),
    # Those of tasks are told by their tasks.
    _artifacts("jobs", "j", run="j.run", seq="j.seq", task="j.id", step="j.name = ?", where=" AND j.run IS NULL"),
)

EVERYTHING: dict[str, tuple[Selection, ...]] = {
    "runs": (RUNS,),
    "tasks": (TASKS,),
    "jobs": (JOBS,),
    "attempts": (ATTEMPTS, BEGUN),
    "events": (EVENTS,),
    "artifacts": ARTIFACTS,
}
