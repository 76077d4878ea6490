"""A run's history as it would be had its process been killed at some instant."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

from sqlalchemy import Connection, and_, delete, update

from nbflow.engine import stores
from nbflow.model.records import TaskRecord
from nbflow.storage import tasks as stored_tasks
from nbflow.storage.schema import attempts, payloads, runs, tasks

_NEVER_A_PID = 2**30
_NOT_YET = dict.fromkeys(("finished_at", "result_digest", "result_size", "result_type", "result_uri", "error_type",
                          "error_message", "cause"))  # fmt: skip
_RESULT = dict.fromkeys(("result", "result_digest", "result_size", "result_type", "result_uri"))
_ERROR = dict.fromkeys(("error", "error_type", "error_message"))


def cut(run: str, chance: random.Random) -> set[str]:
    """Turn a finished run into one that was killed; returns the keys of the tasks that stay succeeded."""
    with stores.database().write() as connection:
        cutter = _Cutter(connection, run, chance)
        cutter.flow(None)
        killed = {"state": "running", "owner": "killed", "owner_pid": _NEVER_A_PID, "finished_at": None}
        connection.execute(update(runs).where(runs.c.id == run).values(**killed, **_RESULT, **_ERROR))
    return cutter.kept


class _Cutter:
    """What is on record is always a prefix: of the calls of each flow function, and of what was reported."""

    def __init__(self, connection: Connection, run: str, chance: random.Random) -> None:
        self.kept: set[str] = set()
        self._connection = connection
        self._run = run
        self._chance = chance
        self._share = chance.random()  # of the tasks that had finished
        self._finished: set[int] = set()
        self._calls: dict[int | None, list[TaskRecord]] = {}
        for task in stored_tasks.of_run(connection, run):
            self._calls.setdefault(task.parent, []).append(task)

    def flow(self, parent: int | None) -> None:
        """Cut the history of one flow function."""
        calls = sorted(self._calls.get(parent, []), key=lambda task: task.position)
        made = self._chance.randint(0, len(calls))
        for task in calls[:made]:
            ready = self._finished.issuperset(json.loads(task.upstream))
            if task.kind == "record" or (task.state == "succeeded" and ready and self._chance.random() < self._share):
                self._keep(task)
            else:
                self._unfinish(task, started=ready and self._chance.random() < 0.7)
        self._forget(calls[made:])

    def _keep(self, task: TaskRecord) -> None:
        self._finished.add(task.seq)
        self.kept.add(task.key)
        for inner in self._calls.get(task.seq, []):
            self._keep(inner)

    def _unfinish(self, task: TaskRecord, *, started: bool) -> None:
        values = {"state": "running" if started else "pending", **_NOT_YET}
        self._connection.execute(
            update(tasks).where(and_(tasks.c.run == self._run, tasks.c.seq == task.seq)).values(values)
        )
        if started:
            self.flow(task.seq)
        else:
            self._forget(self._calls.get(task.seq, []))

    def _forget(self, calls: Iterable[TaskRecord]) -> None:
        for task in calls:
            for table in (tasks, payloads, attempts):
                self._connection.execute(delete(table).where(and_(table.c.run == self._run, table.c.seq == task.seq)))
            self._forget(self._calls.get(task.seq, []))
