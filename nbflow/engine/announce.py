"""Telling listeners what happens, on a thread of its own so that a slow one holds up nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nbflow.model.events import Event, Listener

if TYPE_CHECKING:
    from nbflow.engine.decide import Task
    from nbflow.engine.journal import Journal
    from nbflow.model.ports import Clock

_log = logging.getLogger("nbflow")


class Announcer:
    """Delivers the events of one run, in order and in batches."""

    def __init__(self, run: str, journal: Journal, clock: Clock, listeners: Sequence[Listener]) -> None:
        self._run = run
        self._journal = journal
        self._clock = clock
        self._listeners = tuple(listeners)
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def task(self, kind: str, task: Task, **data: Any) -> None:
        """Tell what happens to a task. The database learns it from the task's own row."""
        if not self._listeners:
            return
        parent = task.parent
        data.update(
            key=task.key,
            name=task.spec.name,
            kind=task.spec.kind,
            state=task.state.value,
            attempt=task.attempts,
            parent=parent.seq if parent is not None else None,
            upstream=[up.seq for up in task.upstream],
            cached=task.stored or task.cached_from is not None,
        )
        if task.failure is not None:
            data["error"] = f"{task.failure.record.type}: {task.failure.record.message}"
        self.send(kind, task.seq, data)

    def notable(self, kind: str, task: Task | None, **data: Any) -> None:
        """Tell, and put on record, something that no other row tells."""
        seq = task.seq if task is not None else None
        self._journal.event(self._clock.time(), kind, seq, data)
        self.send(kind, seq, data)

    def start(self) -> None:
        """Begin to deliver."""
        if self._listeners:
            self._thread = threading.Thread(target=self._deliver, name="nbflow-events", daemon=True)
            self._thread.start()

    def send(self, kind: str, seq: int | None, data: dict[str, Any]) -> None:
        """Deliver an event soon."""
        if self._listeners:
            self._queue.put(Event(kind, self._run, self._clock.time(), seq, data))

    def close(self) -> None:
        """Return when everything sent so far is delivered."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _deliver(self) -> None:
        going_on = True
        while going_on:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            going_on = batch[-1] is not None
            events = [event for event in batch if event is not None]
            for listener in self._listeners:
                try:
                    listener(events)
                except Exception:  # a listener is somebody else's code; the run goes on without it
                    _log.exception("A listener of the run failed.")
