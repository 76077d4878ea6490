"""Alerts: who is told when a flow fails or is late. What looks for that is a job that a schedule enqueues.

So there is no process of its own: while a scheduler and a worker live, alerts are checked. What is told is stored with
the incident in one transaction, as jobs that send it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nbflow.deploying.reports import addresses
from nbflow.deploying.reports.incidents import Limits
from nbflow.deploying.reports.outbox import OWN
from nbflow.model.deployments import AlertRecord
from nbflow.model.errors import ConfigError, ScheduleError
from nbflow.model.names import check_name
from nbflow.queue import zones
from nbflow.queue.queue import Queue
from nbflow.queue.schedule import Schedule
from nbflow.storage import alerts as stored
from nbflow.storage import opened

SCHEDULE = "nbflow-alerts"
_EVERY = "1m"
_LONGEST_NAME = 64  # characters, as the column of the database
_KEPT = 3600.0  # seconds for which checks that found nothing are kept
_TIMEOUT = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Alert:
    """Who is told of what."""

    name: str
    flow: str | None = None  # of this flow alone
    deployment: str | None = None  # of this deployment alone; both None: of any flow
    to: tuple[str, ...] = ()  # mail addresses
    webhooks: tuple[str, ...] = ()  # URLs
    secret: str | None = None  # "secret:NAME" that signs what webhooks are told
    failures: bool = True  # whether failures are told
    start_within: float | None = None  # seconds after its time in which it has to start
    finish_within: float | None = None  # and to finish
    most: int = 10  # incidents that are told in an hour; more are held back
    zone: str = "UTC"  # in which times are told
    created_at: float = 0.0

    @property
    def addressees(self) -> tuple[str, ...]:
        """All that are told."""
        return (*self.to, *self.webhooks)

    @property
    def limits(self) -> Limits | None:
        """How late something may be; None: as late as it is."""
        if self.start_within is None and self.finish_within is None:
            return None
        return Limits(self.start_within, self.finish_within)

    @property
    def about(self) -> str:
        """What it is for, in words."""
        if self.deployment is not None:
            return f"deployment {self.deployment}"
        return f"flow {self.flow}" if self.flow is not None else "any flow"


def add_alert(
    *,
    flow: Any = None,
    deployment: Any = None,
    name: str | None = None,
    to: str | Iterable[str] = (),
    webhook: str | Iterable[str] = (),
    secret: str | None = None,
    failures: bool = True,
    start_within: float | None = None,
    finish_within: float | None = None,
    most: int = 10,
    zone: str | None = None,
    every: Any = None,
    db: str | None = None,
) -> Alert:
    """Have somebody told when a flow, or a deployment, fails or is late; of any flow if none is named.

    `to`: mail addresses. `webhook`: URLs that get a POST with JSON, signed by `secret` ("secret:NAME") as
    standardwebhooks.com describes. `start_within`, `finish_within`: seconds after the time of its schedule; later is
    late. `most`: incidents told in an hour. `every`: how often it is looked, default: each minute; it holds for all.

    An incident is told once: when it begins, and when the next run succeeds. An alert of the same name is changed.
    Raises ConfigError or ScheduleError for what cannot be.
    """
    flow, deployment = (getattr(each, "name", each) for each in (flow, deployment))
    if flow is not None and deployment is not None:
        raise ConfigError("An alert is for a flow or for a deployment; give one of them.")
    alert = Alert(
        name=name or deployment or flow or "all",
        flow=flow,
        deployment=deployment,
        to=tuple(addresses.addresses(to)) if to else (),
        webhooks=tuple(addresses.web_url(url) for url in ([webhook] if isinstance(webhook, str) else webhook) if url),
        secret=secret,
        failures=failures,
        start_within=start_within,
        finish_within=finish_within,
        most=most,
        zone=zone or _zone_here(),
        created_at=time.time(),
    )
    _check(alert)
    database = opened.database(db)
    record = AlertRecord(alert.name, flow, deployment, _options(alert), alert.created_at)
    with database.read() as connection:
        there = any(each.name == SCHEDULE for each in stored.watched_schedules(connection, None, SCHEDULE))
    database.retrying(lambda connection: stored.put(connection, record))
    if not there or every is not None:
        from nbflow.deploying.reports.checking import check_alerts

        queue = Queue(db=db, success_ttl=_KEPT, timeout=_TIMEOUT, tags=[OWN])
        queue.every(every or _EVERY, check_alerts, name=SCHEDULE, overlap="skip", zone="UTC")
    return alert


def alerts(db: str | None = None) -> list[Alert]:
    """All alerts, by name."""
    with opened.database(db).read() as connection:
        return [of_record(record) for record in stored.listed(connection)]


def find_alert(name: str, db: str | None = None) -> Alert:
    """The alert of this name. Raises ConfigError if there is none."""
    with opened.database(db).read() as connection:
        found = stored.get(connection, name)
        known = [each.name for each in stored.listed(connection)] if found is None else []
    if found is None:
        there = f"There are {', '.join(known)}." if known else "There are none yet: nbflow alert add."
        raise ConfigError(f"There is no alert {name!r}. {there}")
    return of_record(found)


def remove_alert(name: str, db: str | None = None) -> None:
    """Remove an alert and what is on record of its incidents. Raises ConfigError if there is none of this name."""
    find_alert(name, db)

    def act(connection: Any) -> int:
        stored.remove(connection, name)
        return len(stored.listed(connection))

    if not opened.database(db).retrying(act):
        try:
            Schedule(SCHEDULE, db=db).remove()
        except ScheduleError:
            pass  # somebody has removed it already


def of_record(record: AlertRecord) -> Alert:
    """An alert as it is stored."""
    told: dict[str, Any] = json.loads(record.options)
    told |= {name: tuple(told[name]) for name in ("to", "webhooks")}
    return Alert(record.name, record.flow, record.deployment, **told, created_at=record.created_at)


def _options(alert: Alert) -> str:
    own = ("name", "flow", "deployment", "created_at")
    return json.dumps({name: value for name, value in asdict(alert).items() if name not in own})


def _check(alert: Alert) -> None:
    """Raise ConfigError for what cannot be."""
    check_name(alert.name, "alert")
    if len(alert.name) > _LONGEST_NAME:
        raise ConfigError(f"{alert.name!r} is too long for an alert; {_LONGEST_NAME} characters at most: name=.")
    if not alert.addressees:
        raise ConfigError("There is nobody to tell; give an address (--to) or a URL (--webhook).")
    if alert.secret is not None and (not alert.secret.startswith(addresses.SECRET) or not alert.webhooks):
        raise ConfigError(
            'A secret is named, so that it is not in the database: secret="secret:NAME", NAME being an environment '
            "variable of the worker; and it signs what a webhook is told."
        )
    _check_numbers(alert)
    zones.zone(alert.zone)


def _check_numbers(alert: Alert) -> None:
    for option in ("start_within", "finish_within"):
        value = getattr(alert, option)
        if value is not None and (type(value) not in (int, float) or not 0 < value < float("inf")):
            raise ConfigError(f"{option} is a number of seconds, more than 0, not {value!r}.")
    if not alert.failures and alert.limits is None:
        raise ConfigError("An alert without failures needs a time that is late: start_within or finish_within.")
    if type(alert.most) is not int or alert.most < 1:
        raise ConfigError(f"most is a number of incidents in an hour, 1 or more, not {alert.most!r}.")


def _zone_here() -> str:
    try:
        return zones.local_name()
    except ScheduleError:
        return "UTC"


def names_near(what: str, name: str, known: Sequence[str]) -> str | None:
    """A hint if a flow or deployment is not known; None if it is."""
    if name in known:
        return None
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"There is no {what} {name!r} yet.{hint}"
