"""Where a value came from: the tasks that made it, directly or not, and those that took it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbflow.client.columns import TASKS, typed
from nbflow.client.task import Task, upstream
from nbflow.model.errors import ConfigError
from nbflow.model.records import TaskRecord
from nbflow.storage import reasons, runs, tasks
from nbflow.storage.connection import Connection

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_ROLES = ("input", "source", "took it")


def frame(what: Task | Any, database: Database, values: ValueStore) -> pd.DataFrame:
    """The tasks that a value came from and went to, those that it came from first: the columns of tasks, and `role`.

    what: a task, for its result; the digest or URI of a stored value; or a value. role: "source" made the value,
    "input" made what a source took, directly or not, and "took it" took the value. Of a value that several tasks
    made, all of them count. Raises ConfigError if no task made it.
    """
    with database.read() as connection:
        sources = _sources(connection, what, values)
        by_run: dict[str, list[int]] = {}
        for each in sources:
            by_run.setdefault(each.run, []).append(each.seq)
        rows: list[tuple[str, TaskRecord]] = []
        flows = {}
        for run, seqs in by_run.items():
            flows[run] = runs.get(connection, run).flow
            rows += _of_run(tasks.of_run(connection, run), seqs)
    return _typed(rows, flows)


def _sources(connection: Connection, what: Any, values: ValueStore) -> list[TaskRecord]:
    """The tasks that made a value."""
    if isinstance(what, Task):
        return reasons.tasks_of(connection, what.run.id, [what.record.seq])
    if isinstance(what, str):
        found = reasons.tasks_that_made(connection, what)
        if found:
            return found
    found = reasons.tasks_that_made(connection, values.put(what, "the value").digest)
    if not found:
        raise ConfigError("No task made this value. Give a task, the digest or URI of a stored value, or the value.")
    return found


def _of_run(every: list[TaskRecord], seqs: list[int]) -> list[tuple[str, TaskRecord]]:
    before = upstream(every, seqs) - set(seqs)
    roles: Mapping[int, str] = {
        **{record.seq: "took it" for record in every if set(seqs) & set(json.loads(record.upstream))},
        **dict.fromkeys(before, "input"),
        **dict.fromkeys(seqs, "source"),
    }
    found = [(roles[record.seq], record) for record in every if record.seq in roles]
    return sorted(found, key=lambda row: _ROLES.index(row[0]))  # those of one role stay in order


def _typed(rows: list[tuple[str, TaskRecord]], flows: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    own = {"task": "key", "step": "name", "size": "result_size", "type": "result_type", "error": "error_message"}
    records = [record for _, record in rows]
    columns: dict[str, list[Any]] = {
        name: [getattr(record, own.get(name, name)) for record in records]
        for name in TASKS
        if own.get(name, name) in TaskRecord._fields
    }
    columns["flow"] = [flows[record.run] for record in records]
    columns["cached"] = [record.cached_from is not None for record in records]
    columns["tags"] = [", ".join(json.loads(record.tags)) if record.tags else None for record in records]
    made = typed("tasks", columns)
    roles = pd.Categorical([role for role, _ in rows], categories=list(_ROLES), ordered=True)
    made.insert(0, "role", pd.Series(roles, index=made.index))
    return made
