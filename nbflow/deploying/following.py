"""Deployments that follow the runs of others: each end of a run starts each of its followers once.

A run that has ended is marked as told in the transaction that starts its followers, whoever does it and whoever dies.
So no process has to be alive when it ends, and no clock decides on whether an end was seen.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence

from nbflow.deploying.starts import Asked, Starts, key_of
from nbflow.deploying.watched import ENDS
from nbflow.model.deployments import TriggerRecord
from nbflow.model.errors import NbflowError, StorageError, TooManyStartsError
from nbflow.storage import bells
from nbflow.storage import triggers as stored
from nbflow.storage.connection import Connection
from nbflow.storage.triggers import RunEnd

_log = logging.getLogger("nbflow")
_AT_ONCE = 100  # runs in one transaction
_PAGES = 10  # transactions in one scan
_START = (0.0, "")


class Following:
    """Tells the followers of runs of their ends, a part at each scan.

    A run whose follower takes no more starts just now stays untold, and is met again. The place where a scan ended is
    kept, so that any number of such runs keep nobody else's followers waiting.
    """

    def __init__(self, starts: Starts) -> None:
        self._starts = starts
        self._after = _START

    def scan(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Tell of runs that have ended; returns of how many. `stopping` says whether to leave the rest for later."""
        database, count = self._starts.broker.database, 0
        for _ in range(_PAGES):
            since = None if stopping() else database.retrying(stored.any_untold, write=False)
            if since is None:
                break

            def act(connection: Connection, since: float = since) -> tuple[list[RunEnd], int]:
                return self._tell(connection, since)

            ends, told = bells.changing(database, act, bells.JOBS)
            count += told
            if len(ends) < _AT_ONCE:
                self._after = _START
                break
            self._after = (ends[-1].finished_at, ends[-1].id)
        return count

    def _tell(self, connection: Connection, since: float) -> tuple[list[RunEnd], int]:
        ends = stored.untold(connection, since, self._after, _AT_ONCE)
        topics = sorted({name for end in ends for name in (end.flow, end.deployment) if name})
        followers = stored.of_kind(connection, "flow", topics)
        stored.lock(connection, [each.deployment for each in followers])
        full: set[str] = set()  # deployments that take no more
        done = [end.id for end in ends if self._start(connection, end, _of(followers, end), full)]
        stored.tell(connection, done, self._starts.broker.clock.time())
        return ends, len(done)

    def _start(self, connection: Connection, end: RunEnd, followers: Sequence[TriggerRecord], full: set[str]) -> bool:
        """Start the followers of a run; whether that was all of them."""
        told = True
        for trigger in followers:
            trouble: str | None = None
            try:
                if trigger.deployment not in full:
                    self._starts.start_in(connection, [_asked(trigger, end)])
            except TooManyStartsError as error:
                full.add(trigger.deployment)
                trouble = str(error)
            except StorageError:
                raise
            except NbflowError as error:  # for good, such as a parameter that is gone: it is told, and noted
                trouble = str(error)
            told &= trigger.deployment not in full
            if trouble is not None and trouble != trigger.error:
                stored.change(connection, trigger, error=trouble)
                _log.warning("Trigger %r of deployment %r: %s", trigger.name, trigger.deployment, trouble)
        return told


def _of(followers: Sequence[TriggerRecord], end: RunEnd) -> list[TriggerRecord]:
    """Those who wait for an end like this; ends from before a trigger was made are none of its."""
    return [
        each
        for each in followers
        if each.topic in (end.flow, end.deployment)
        and end.finished_at >= each.created_at
        and end.state in ENDS[json.loads(each.options)["on"]]
    ]


def _asked(trigger: TriggerRecord, end: RunEnd) -> Asked:
    options = json.loads(trigger.options)
    given = {options["run_as"]: end.id} if options.get("run_as") else {}
    return Asked(trigger, key_of("flow", end.id, end.state), given, logical_time=end.logical_time)
