"""The watcher: beside each scheduler, it looks where sensors look, and tells of the ends of runs that others follow.

There may be any number of watchers. Who looks moves the time of the next look on first, so that usually one does; what
was seen counts only if nobody else has looked since, and a key starts a deployment once, whoever finds it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nbflow.deploying import sensors
from nbflow.deploying.following import Following
from nbflow.deploying.starts import Starts
from nbflow.model.deployments import TriggerRecord
from nbflow.model.errors import (
    DatabaseCorruptError,
    DatabaseMissingError,
    DatabaseNewerError,
    DatabaseReadOnlyError,
    NbflowError,
    StorageError,
)
from nbflow.queue.broker import Broker
from nbflow.storage import bells
from nbflow.storage import triggers as stored
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database
from nbflow.values.store import ValueStore

_log = logging.getLogger("nbflow")
_LOOK = 1.0  # seconds between two looks at what is due
_SOON = 0.05  # seconds until it goes on with what it had no room for
_AT_ONCE = 8  # sensors that look at the same time
_LONGEST_PAUSE = 30.0  # seconds between two tries while the database is away
_KEEP = 90 * 86_400.0  # seconds that keys are remembered
_SWEEP = 3600.0  # seconds
_HOPELESS = (DatabaseCorruptError, DatabaseMissingError, DatabaseNewerError, DatabaseReadOnlyError)


class Watcher:
    """One watcher. `run` works until `stop` is called, in the thread that called it."""

    def __init__(self, broker: Broker, starts: Starts | None = None) -> None:
        self._broker = broker
        self._database = broker.database
        self._starts = starts or Starts(broker)
        self._following = Following(self._starts)
        self._stopping = threading.Event()
        self._swept = 0.0
        self._lock = threading.Lock()
        self._looking: set[tuple[str, str]] = set()  # sensors that look just now, in threads of this watcher
        self.looked_at = 0.0  # when it last came round

    def stop(self) -> None:
        """End soon. Callable from any thread, and from a handler of a signal."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped; outlives a database that is away for a while. Raises StorageError for what stays so."""
        pause = _LOOK
        while not self._stopping.is_set():
            try:
                more = self.scan(apart=True)
                pause = _LOOK
            except _HOPELESS:
                raise
            except StorageError as error:
                _log.warning("The watcher tries again in %.0f seconds: %s", pause, error)
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self.looked_at = self._broker.clock.time()
            self._stopping.wait(_SOON if more else _LOOK)

    def scan(self, *, apart: bool = False) -> bool:
        """Do what is due now; returns whether some of it was left for want of room.

        `apart`: sensors look in threads of their own, since they may have to wait for others.
        """
        now = self._broker.clock.time()
        self._following.scan(self._stopping.is_set)
        room = _AT_ONCE - len(self._looking)
        mine = self._due(now, room)
        for trigger in mine:
            if apart:
                self._begin(trigger)
            else:
                self.look(trigger)
        if now - self._swept > _SWEEP:
            self._sweep(now)
        return len(mine) == room

    # --- sensors -------------------------------------------------------------------------------------------------

    def _due(self, now: float, most: int) -> list[TriggerRecord]:
        """The sensors that this watcher is to look with: those whose next look it could move on."""
        with self._lock:
            busy = set(self._looking)  # for longer than their interval, if they are due again

        def read(connection: Connection) -> list[TriggerRecord]:
            return stored.due(connection, now, most + len(busy))

        mine: list[TriggerRecord] = []
        for trigger in self._database.retrying(read, write=False):
            if (trigger.deployment, trigger.name) in busy or len(mine) == most:
                continue
            next_at = now + float(json.loads(trigger.options)["every"])

            def move_on(connection: Connection, trigger: TriggerRecord = trigger, next_at: float = next_at) -> bool:
                return stored.change(connection, trigger, next_at=next_at)

            if self._database.retrying(move_on):
                mine.append(trigger._replace(next_at=next_at, revision=trigger.revision + 1))
        return mine

    def _begin(self, trigger: TriggerRecord) -> None:
        """Look in a thread of its own, which a server that never answers holds up alone."""
        with self._lock:
            self._looking.add((trigger.deployment, trigger.name))
        threading.Thread(target=self._look_apart, args=(trigger,), name="nbflow-sensor", daemon=True).start()

    def _look_apart(self, trigger: TriggerRecord) -> None:
        try:
            self.look(trigger)
        except Exception as error:  # the database; the next look may do better
            _log.warning("Trigger %r of %r: %s", trigger.name, trigger.deployment, error)
        finally:
            with self._lock:
                self._looking.discard((trigger.deployment, trigger.name))

    def look(self, trigger: TriggerRecord) -> None:
        """Look with a sensor, and start what it found new. `trigger`: as it is stored now."""
        try:
            found = sensors.look(trigger, self._broker.clock.time())
        except Exception as error:  # of a folder, a server or a statement: one sensor's trouble is no other's
            self._note(trigger, str(error) if isinstance(error, NbflowError) else f"{type(error).__name__}: {error}")
            return

        def act(connection: Connection) -> None:
            # In the order in which everybody locks: the deployment first.
            stored.lock(connection, [trigger.deployment])
            now = stored.get(connection, trigger.deployment, trigger.name, lock=True)
            if now is not None and now.revision == trigger.revision:  # else somebody else has looked since
                self._start(connection, trigger, found)

        bells.changing(self._database, act, bells.JOBS)

    def _start(self, connection: Connection, trigger: TriggerRecord, found: sensors.Look) -> None:
        made: list[bool] = []
        trouble: str | None = None
        for asked in found.asked:
            try:
                if trouble is None:
                    self._starts.start_in(connection, [asked])
                made.append(trouble is None)
            except StorageError:
                raise
            except NbflowError as error:  # too many wait, or a parameter is gone: tried again at the next look
                trouble = str(error)
                made.append(False)
        changes: dict[str, object] = {"seen": found.seen(made), "error": trouble}
        if found.soon is not None and trigger.next_at is not None:
            changes["next_at"] = min(trigger.next_at, self._broker.clock.time() + found.soon)
        if (changes["seen"], trouble, changes.get("next_at", trigger.next_at)) == (
            trigger.seen, trigger.error, trigger.next_at,
        ):  # fmt: skip
            return
        self._tell(trigger, trouble)
        stored.change(connection, trigger, **changes)

    def _note(self, trigger: TriggerRecord, trouble: str) -> None:
        """Write down what keeps a sensor from looking."""
        if trouble == trigger.error:
            return
        self._tell(trigger, trouble)
        self._database.retrying(lambda connection: stored.change(connection, trigger, error=trouble))

    @staticmethod
    def _tell(trigger: TriggerRecord, trouble: str | None) -> None:
        if trouble != trigger.error and trouble is not None:
            _log.warning("Trigger %r of deployment %r: %s", trigger.name, trigger.deployment, trouble)

    def _sweep(self, now: float) -> None:
        """Forget old keys, a part at a time."""
        self._swept = now

        def act(connection: Connection) -> int:
            return stored.forget_before(connection, now - _KEEP, 1000)

        while not self._stopping.is_set() and self._database.retrying(act):
            pass


@contextmanager
def watching(database: Database, values: ValueStore) -> Iterator[Watcher]:
    """A watcher in a thread of its own, for as long as the block lasts."""
    watcher = Watcher(Broker(database, values))

    def work() -> None:
        try:
            watcher.run()
        except StorageError as error:
            _log.error("The watcher of triggers has ended: %s", error)

    thread = threading.Thread(target=work, name="nbflow-watcher", daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        watcher.stop()
        thread.join(10)
