"""The job that looks for incidents, and enqueues what tells of them in the transaction that puts them on record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nbflow.model.deployments import IncidentRecord, MailingRecord
from nbflow.promote.reports import alerts, incidents, telling
from nbflow.promote.reports.alerts import Alert
from nbflow.promote.reports.incidents import Change, Happened, Known
from nbflow.promote.reports.outbox import AGAIN, draft, key_of
from nbflow.queue.queue import Queue
from nbflow.storage import alerts as stored
from nbflow.storage import mailings, opened
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database

_WINDOW = 7 * 86_400.0  # seconds: what failed before nobody wants to be told of any more
_HOUR = 3600.0
_KEEP = 400 * 86_400.0  # seconds that mailings and incidents are remembered
_TIMEOUT = 1200.0  # seconds


def check_alerts(now: float | None = None) -> int:
    """Look for incidents of all alerts; returns how many began or ended. `now`: seconds since 1970.

    What it tells is enqueued; nothing is told twice, however often it looks.
    """
    at = time.time() if now is None else now
    database = opened.database()
    with database.read() as connection:
        found = [alerts.of_record(record) for record in stored.listed(connection)]
    changed = sum([_check(database, alert, at) for alert in found])
    database.retrying(lambda connection: _forget(connection, at - _KEEP))
    return changed


def _forget(connection: Connection, before: float) -> None:
    mailings.forget_before(connection, before)
    stored.forget_before(connection, before)


def _check(database: Database, alert: Alert, now: float) -> int:
    with database.read() as connection:
        known = Known(alert.name, alert.created_at, stored.latest_incidents(connection, alert.name))
        happened = _failures(connection, alert, known, now) if alert.failures else []
        happened += _lateness(connection, alert, known, now)
    changes = known.changes(happened)
    if changes:
        database.retrying(lambda connection: _record(connection, database, alert, changes, now))
    return len(changes)


def _failures(connection: Connection, alert: Alert, known: Known, now: float) -> list[Happened]:
    since = min([max(alert.created_at, now - _WINDOW), *[each.began_at for each in known.open.values()]])
    runs = stored.ended_runs(connection, since)
    if alert.deployment is not None:
        mine = [run for run in runs if run.deployment == alert.deployment]
    elif alert.flow is not None:
        mine = [run for run in runs if run.flow == alert.flow]
    else:  # what a flow calls fails with it
        mine = [run for run in runs if run.parent is None]
    return incidents.of_runs(mine, alert.deployment)


def _lateness(connection: Connection, alert: Alert, known: Known, now: float) -> list[Happened]:
    limits = alert.limits
    if limits is None:
        return []
    found: list[Happened] = []
    for schedule in stored.watched_schedules(connection, alert.flow, alert.deployment):
        if schedule.name == alerts.SCHEDULE:
            continue
        open_ = known.open.get((schedule.name, "late"))
        since = max(alert.created_at, now - _WINDOW)
        if open_ is not None:
            since = min(since, open_.began_at - limits.longest - 1)
        times = stored.fired_times(connection, schedule.name, since, now)
        due = schedule.next_at if not schedule.paused and schedule.next_at is not None else None
        waits = due is not None and since < due <= now
        found += incidents.of_times(schedule.name, times, limits, now, due=due if waits else None)
    return found


def _record(connection: Connection, database: Database, alert: Alert, changes: Sequence[Change], now: float) -> None:
    """Put changes on record, and what tells of them. Done again it does nothing."""
    begun = mailings.count(connection, _prefix(alert), now - _HOUR)
    room = max(0, alert.most * len(alert.addressees) - begun)
    for incident, moment in changes:
        if not _stored(connection, incident, moment):
            continue
        told = [_mailing(database, alert, incident, moment, each, now) for each in alert.addressees]
        held = moment != "ended" and room < len(told)
        if moment == "ended":  # only those that were told that it began
            before = [mailings.get(connection, _key(alert, incident, "began", each)) for each in alert.addressees]
            told = [each for each, first in zip(told, before, strict=True) if first is None or first.state != "held"]
        elif not held:
            room -= len(told)
        mailings.add(connection, [each._replace(state="held") if held else each for each in told])
        if held:
            _tell_of_storm(connection, database, alert, now)
        else:
            _enqueue(connection, database, alert, incident.id, moment, told)


def _stored(connection: Connection, incident: IncidentRecord, moment: str) -> bool:
    """Store an incident, or its end; whether that is new."""
    if moment == "ended":
        return stored.end(connection, incident)
    return stored.begin(connection, incident)


def _tell_of_storm(connection: Connection, database: Database, alert: Alert, now: float) -> None:
    """Tell once in an hour that more is held back."""
    hour = telling.storm(alert, now)
    told = [_mailing(database, alert, hour, "held", each, now) for each in alert.addressees]
    new = [each for each in told if mailings.get(connection, each.key) is None]
    mailings.add(connection, new)
    _enqueue(connection, database, alert, hour.id, "held", new)


def _enqueue(
    connection: Connection, database: Database, alert: Alert, incident: str, moment: str, told: Sequence[MailingRecord]
) -> None:
    options: dict[str, Any] = {**AGAIN, "delay": 10.0}
    queue = Queue(db=database.full_url, timeout=_TIMEOUT, **options)
    for each in told:
        queue.enqueue_in(connection, telling.tell, alert.name, incident, moment, each.key)


def _mailing(
    database: Database, alert: Alert, incident: IncidentRecord, moment: str, addressee: str, now: float
) -> MailingRecord:
    subject = telling.subject(alert, incident, moment)
    return draft(database, _key(alert, incident, moment, addressee), "alert", addressee, subject, now)


def _prefix(alert: Alert) -> str:
    return f"alert/{alert.name}/"


def _key(alert: Alert, incident: IncidentRecord, moment: str, addressee: str) -> str:
    # The moment comes early, as what is too long is cut.
    return key_of("alert", alert.name, moment, incident.id, addressee)
