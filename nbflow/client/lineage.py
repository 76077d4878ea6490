"""Where a value came from: the tasks that made it, directly or not, and those that took it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbflow.client.columns import TASKS, typed
from nbflow.client.run import Run
from nbflow.client.task import Task, upstream
from nbflow.model.errors import ConfigError
from nbflow.model.records import RunRecord, TaskRecord
from nbflow.storage import reasons, runs, tasks
from nbflow.storage.connection import Connection

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_ROLES = ("input", "source", "took it")


def frame(what: Run | Task | Any, database: Database, values: ValueStore, name: str | None = None) -> pd.DataFrame:
    """The tasks that a value came from and went to, those that it came from first: the columns of tasks, and three.

    what: a task, for its result; a run of a notebook, for the final value of `name` in it; the digest or URI of a
    stored value; or a value. role: "source" made the value, "input" made what a source took, directly or not, and
    "took it" took the value. Of a value that several tasks made, all of them count. deployment: whose runs they are
    tasks of; version: its number in the deployment, else the id of the flow's code. Raises ConfigError if no task made
    the value.
    """
    if isinstance(what, Run):
        what = what[_key_of(what, name)]
    with database.read() as connection:
        sources = _sources(connection, what, values)
        by_run: dict[str, list[int]] = {}
        for each in sources:
            by_run.setdefault(each.run, []).append(each.seq)
        rows: list[tuple[str, TaskRecord]] = []
        found = {}
        for run, seqs in by_run.items():
            found[run] = runs.get(connection, run)
            rows += _of_run(tasks.of_run(connection, run), seqs)
    return _typed(rows, found)


def _key_of(run: Run, name: str | None) -> str:
    """The task that made the final value of a name in a notebook's run."""
    if name is not None and name in {task.key for task in run.tasks()}:
        return name
    made: Mapping[str, str] = getattr(run.result(), "tasks", {})
    if name is not None and name in made:
        return made[name]
    if name is None or made:
        close = difflib.get_close_matches(name or "", made, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f" It has {', '.join(made)}." if made else ""
        which = f"has no value {name!r}" if name is not None else "has many values; name one, or give a task of it"
        raise ConfigError(f"Run {run.id} {which}.{hint}")
    return run[name].key


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


def _typed(rows: list[tuple[str, TaskRecord]], of: Mapping[str, RunRecord]) -> pd.DataFrame:
    import pandas as pd

    own = {"task": "key", "step": "name", "size": "result_size", "type": "result_type", "error": "error_message"}
    records = [record for _, record in rows]
    columns: dict[str, list[Any]] = {
        name: [getattr(record, own.get(name, name)) for record in records]
        for name in TASKS
        if own.get(name, name) in TaskRecord._fields
    }
    columns["flow"] = [of[record.run].flow for record in records]
    columns["cached"] = [record.cached_from is not None for record in records]
    columns["tags"] = [", ".join(json.loads(record.tags)) if record.tags else None for record in records]
    made = typed("tasks", columns)
    roles = pd.Categorical([role for role, _ in rows], categories=list(_ROLES), ordered=True)
    made.insert(0, "role", pd.Series(roles, index=made.index))
    of_rows = [of[record.run] for record in records]
    made["deployment"] = pd.Series([each.deployment for each in of_rows], index=made.index, dtype="str")
    numbers = [str(each.deployment_version or each.version or "") for each in of_rows]
    made["version"] = pd.Series(numbers, index=made.index, dtype="str")
    return made
