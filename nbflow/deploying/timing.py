"""When a deployment is due: what people write, as the row of its schedule."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.deploying.starting import RUN_POLICY, start
from nbflow.model.errors import ScheduleError
from nbflow.queue import cron
from nbflow.queue.definitions import Asked, Definer, check, save
from nbflow.queue.queue import Queue

if TYPE_CHECKING:
    from nbflow.authoring.declarative.model import Schedule
    from nbflow.model.jobs import ScheduleRecord
    from nbflow.queue.broker import Broker
    from nbflow.storage.connection import Connection

SCHEDULE_OPTIONS = ("zone", "start", "end", "catchup", "overlap", "misfire_grace", "jitter")
_MONTHLY = {"day": 1, "at": "00:00", "months": 1}


class Timing(NamedTuple):
    """A schedule that is asked for, checked."""

    kind: str  # "cron", "interval" or "calendar"
    expression: str
    options: dict[str, Any]  # see `Scheduling.schedule`

    @classmethod
    def of(cls, *, cron: str | None, every: Any, monthly: Any, options: Mapping[str, Any]) -> Timing | None:
        """From what `promote` is given; None if no schedule is asked for. Raises ScheduleError."""
        asked = [name for name, value in (("cron", cron), ("every", every), ("monthly", monthly)) if value]
        chosen = {name: options[name] for name in SCHEDULE_OPTIONS if options.get(name) is not None}
        if len(asked) > 1:
            raise ScheduleError(f"A deployment has one schedule: give {asked[0]} or {asked[1]}, not both.")
        if not asked:
            if chosen:
                raise ScheduleError(
                    f"{next(iter(chosen))} is an option of a schedule: give cron, every or monthly too."
                )
            return None
        return cls(*_expression(cron, every, monthly), chosen)

    @classmethod
    def declared(cls, schedule: Schedule) -> Timing:
        """The schedule that a declared flow asks for."""
        times = {name: datetime.fromisoformat(text) for name in ("start", "end") if (text := getattr(schedule, name))}
        options = {"zone": schedule.zone, "catchup": schedule.catchup, "overlap": schedule.overlap, **times}
        return cls(schedule.kind, schedule.expression, {name: value for name, value in options.items() if value})


def _expression(text: str | None, every: Any, monthly: Any) -> tuple[str, str]:
    if text:
        return "cron", cron.checked(text)
    if every:
        return "interval", cron.interval_text(cron.seconds(every))
    given = {**_MONTHLY, **(monthly if isinstance(monthly, Mapping) else {})}
    unknown = sorted(given.keys() - _MONTHLY.keys())
    if unknown:
        raise ScheduleError(f"monthly has no {unknown[0]!r}; it has {', '.join(_MONTHLY)}.", field=unknown[0])
    return "calendar", cron.monthly_expression(given["day"], given["at"], given["months"])


def schedule_rows(
    timing: Timing | None, name: str, queue: str | None, broker: Broker
) -> Callable[[Connection], None] | None:
    """What puts the schedule of a deployment in place inside a transaction; None if there is none to put.

    Checked here, before anything is stored. Raises ScheduleError, UnknownQueueError.
    """
    if timing is None:
        return None
    drafts = [drafted(timing, name, queue, broker)]
    now = time.time()
    with broker.database.read() as connection:
        check(connection, drafts, now)
    return lambda connection: save(connection, drafts, now)


def drafted(timing: Timing, name: str, queue: str | None, broker: Broker) -> ScheduleRecord:
    """The schedule of a deployment, as far as its definition tells it. Raises ScheduleError."""
    handle = Queue(queue)
    asked = Asked(timing.kind, timing.expression, start, (name,), {**timing.options, "name": name})
    draft = Definer(broker, lambda _: handle._enqueuer(broker)).drafts([asked])[0]
    # The version that counts when it is due may be another one, so the policy is that of runs in general.
    return draft._replace(target=name, options=_of_runs(draft.options))


def _of_runs(options: str) -> str:
    """The template of a schedule whose jobs are runs."""
    found = json.loads(options)
    job = found["job"]
    job["policy"] = json.dumps({**json.loads(job.get("policy") or "{}"), **RUN_POLICY})
    return json.dumps({**found, "starts_run": True})
