"""What a promotion would do, told before it is done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.deploying import differences, versions
from nbflow.deploying.timing import Timing, drafted
from nbflow.deploying.versions import Choices
from nbflow.queue import zones
from nbflow.queue.broker import Broker
from nbflow.queue.firing import timetable

if TYPE_CHECKING:
    from nbflow.authoring.flow import Flow
    from nbflow.storage.connection import Connection

_TIMES = 5


class Preview(NamedTuple):
    """What would come of a promotion."""

    when: str = ""  # the schedule, in words
    times: tuple[datetime, ...] = ()  # the next ones, in its zone
    what: str = ""  # which version it would be
    changes: tuple[str, ...] = ()  # since the newest version
    error: str = ""  # why it would be refused

    def text(self) -> str:
        """In a line."""
        return self.error or ". ".join(filter(None, (self.when, self.what, "; ".join(self.changes))))


def preview(
    flow: Flow[..., Any],
    *,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    cron: str | None = None,
    every: Any = None,
    monthly: Any = None,
    db: str | None = None,
    **options: Any,
) -> Preview:
    """Say what `promote` with the same arguments would do, its check left out. Raises what it would raise."""
    from nbflow.storage import deployments

    timing = Timing.of(cron=cron, every=every, monthly=monthly, options=options)
    broker = Broker.of(db)
    when = "only when it is triggered"
    times: tuple[datetime, ...] = ()
    now = time.time()
    given_name = name or flow.spec.name
    if timing is not None:
        record = drafted(timing, given_name, None, broker)
        table = timetable(record)
        when, times = (
            table.describe(),
            tuple(zones.in_zone(at, record.zone) for at in islice(_after(table, now), _TIMES)),
        )
    draft = versions.draft(flow, parameters or {}, Choices(), broker.values, now)

    def look(connection: Connection) -> list[Any]:
        return deployments.versions(connection, given_name)

    known = broker.database.retrying(look, write=False)
    if not known:
        return Preview(when, times, "version 1")
    if known[-1].digest == draft.record.digest:
        return Preview(when, times, f"version {known[-1].number}, which is there already")
    new = draft.record._replace(number=known[-1].number + 1)
    found = differences.between(known[-1], new, broker.values)
    changes = tuple(f"{change.what}: {change.how}" for change in found.changes)
    return Preview(when, times, f"version {new.number}; since version {known[-1].number}:", changes)


def _after(table: Any, at: float | None) -> Any:
    while at is not None:
        at = table.after(at)
        if at is not None:
            yield at
