"""Results that spare running a task: from the run's own past, or from other runs by the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

from nbflow.engine.replay import stored_value
from nbflow.model.events import WARNING
from nbflow.model.records import StoredValue
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.engine.advance import Engine
    from nbflow.engine.decide import Task
    from nbflow.engine.journal import Journal
    from nbflow.engine.replay import History
    from nbflow.engine.stores import Stores
    from nbflow.model.records import CacheRecord, ErrorRecord
    from nbflow.values.store import ValueStore


class Reuse:
    """Finds results for the tasks of one run."""

    def __init__(self, engine: Engine, history: History, stores: Stores, journal: Journal) -> None:
        self._engine = engine
        self._history = history
        self._stores = stores
        self._journal = journal

    def find(self, task: Task) -> StoredValue | None:
        """The result that a ready task would have, or None if it has to run."""
        value = self._from_history(task)
        if value is None and task.spec.cache.enabled:
            value = self._from_cache(task)
        return value

    def failure(self, task: Task) -> tuple[State, ErrorRecord] | None:
        """How a ready task failed before, or None if it did not."""
        earlier = self._history.failed(task.key, task.code_digest, task.input_digest or "")
        if earlier is None or (task.spec.kind == "flow" and earlier.state != "timed_out"):
            return None  # a sub-flow fails again by itself, but its time is not taken anew
        error = self._stores.error(self._engine.run, earlier.seq)
        if error is None:
            return None
        task.created_at, task.ready_at = earlier.created_at, earlier.ready_at
        task.started_at, task.finished_at = earlier.started_at, earlier.finished_at
        task.attempts = earlier.attempts
        task.stored = True
        return State(earlier.state), error

    def _from_history(self, task: Task) -> StoredValue | None:
        engine = self._engine
        code = None if engine.continues else task.code_digest
        earlier = self._history.reusable(task.key, code, task.input_digest or "")
        if earlier is None:
            return None
        value = stored_value(earlier, self._stores.result(engine.run, earlier.seq))
        if value.uri is not None and not engine.values.exists(value.uri):
            engine.announcer.notable(
                WARNING, task, message=f"The artifact of {task.key} is gone from the store; it runs again."
            )
            return None
        task.created_at, task.ready_at = earlier.created_at, earlier.ready_at
        task.started_at, task.finished_at = earlier.started_at, earlier.finished_at
        task.attempts, task.cached_from = earlier.attempts, earlier.cached_from
        task.stored = True
        if earlier.position != task.position:
            self._journal.moved(earlier, task.position)
        return value

    def _from_cache(self, task: Task) -> StoredValue | None:
        record = self._stores.cached(cache_key(task), self._engine.clock.time())
        value = cached_value(record, self._engine.values) if record is not None else None
        if record is not None and value is not None:
            task.cached_from = f"{record.run}/{record.seq}"
        return value


def cache_key(task: Task) -> str:
    """The key of a task's result: its code with its version and whatever that code reads, and its inputs."""
    parts = (task.spec.name, task.code_digest, task.input_digest or "")
    return xxhash.xxh3_128_hexdigest("\0".join(parts).encode())


def cached_value(record: CacheRecord, values: ValueStore) -> StoredValue | None:
    """The value behind a cache entry, or None if its artifact is gone."""
    if record.result_uri is not None:
        if not values.exists(record.result_uri):
            return None
        return StoredValue(record.result_digest, record.result_size, record.result_type, None, record.result_uri)
    data = values.unseal(record.result) if record.result is not None else None
    return StoredValue(record.result_digest, record.result_size, record.result_type, data, None)
