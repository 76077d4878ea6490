"""What was sent to a run: each signal is taken by one flow function, once, however often the run is left meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nbflow.engine.replay import stored_value

if TYPE_CHECKING:
    from nbflow.engine.replay import History
    from nbflow.engine.stores import Stores
    from nbflow.model.jobs import SignalRecord


class Signals:
    """The signals of one run."""

    def __init__(self, run: str, stores: Stores, history: History) -> None:
        self._run = run
        self._stores = stores
        self._history = history
        self._taken: dict[str, set[int]] = {}  # numbers, by name
        self._lock = threading.Lock()

    def waiting(self, name: str) -> list[SignalRecord]:
        """Those of a name that nobody has taken, in order."""
        with self._lock:
            return self._waiting(name)

    def take(self, name: str) -> SignalRecord | None:
        """Take the first one of a name, if there is one."""
        with self._lock:
            found = self._waiting(name)
            if not found:
                return None
            self._taken[name].add(found[0].number)
            return found[0]

    def _waiting(self, name: str) -> list[SignalRecord]:
        if name not in self._taken:
            self._taken[name] = self._taken_before(name)
        return [record for record in self._stores.signals(self._run, name) if record.number not in self._taken[name]]

    def _taken_before(self, name: str) -> set[int]:
        """Numbers of those that are on record as taken.

        The replay will meet them, but flow functions that run side by side come to new ones earlier than that.
        """
        values = self._stores.values
        found = self._history.recorded(record_name(name))
        return {values.get(stored_value(task, self._stores.result(self._run, task.seq)))[0] for task in found}


def record_name(name: str) -> str:
    """Under what it is on record that a signal was taken."""
    return f"receive {name}"
