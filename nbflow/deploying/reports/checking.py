"""The job that looks for incidents, and enqueues what tells of them in the transaction that puts them on record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nbflow.deploying.reports import alerts, incidents, telling
from nbflow.deploying.reports.alerts import Alert
from nbflow.deploying.reports.incidents import Change, Happened, Known
from nbflow.deploying.reports.outbox import AGAIN, OWN, draft, key_of
from nbflow.model.deployments import IncidentRecord, MailingRecord
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
    if alert.deployment is not None:
        return incidents.of_runs(stored.ended_runs_of(connection, alert.deployment, since), alert.deployment)
    runs = stored.ended_runs(connection, since, [subject for subject, kind in known.open if kind == "failed"])
    if alert.flow is not None:
        mine = [run for run in runs if run.flow == alert.flow]
    else:  # what a flow calls fails with it
        mine = [run for run in runs if run.parent is None]
    return incidents.of_runs(mine, None)


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


class _Recorder:
    """Puts incidents of an alert on record with what tells of them, inside a transaction. It may be done again."""

    def __init__(self, connection: Connection, database: Database, alert: Alert, now: float) -> None:
        self._connection = connection
        self._database = database
        self._alert = alert
        self._now = now
        told = [mailings.count(connection, f"alert/{alert.name}/{each}/", now - _HOUR) for each in ("began", "passed")]
        self._room = max(0, alert.most * len(alert.addressees) - sum(told))  # mailings that may still go out this hour
        options: dict[str, Any] = {**AGAIN, "delay": 10.0, "tags": [OWN]}
        self._queue = Queue(db=database.full_url, timeout=_TIMEOUT, **options)

    def add(self, incident: IncidentRecord, moment: str) -> None:
        """Put on record that an incident began or ended."""
        if moment == "ended":
            if stored.end(self._connection, incident):
                self._tell(incident, moment, [each for each in self._alert.addressees if self._knows(incident, each)])
        elif stored.begin(self._connection, incident):
            everybody = self._alert.addressees
            if self._room >= len(everybody):
                self._room -= len(everybody)
                self._tell(incident, moment, everybody)
            else:
                self._hold(incident, moment)

    def _tell(self, incident: IncidentRecord, moment: str, addressees: Sequence[str]) -> None:
        drafts = [self._draft(incident, moment, each) for each in addressees]
        mailings.add(self._connection, drafts)
        for each in drafts:
            arguments = (self._alert.name, incident.id, moment, each.key)
            self._queue.enqueue_in(self._connection, telling.tell, *arguments)

    def _hold(self, incident: IncidentRecord, moment: str) -> None:
        """Tell nobody of it, but once in an hour that there is more."""
        held = [self._draft(incident, moment, each)._replace(state="held") for each in self._alert.addressees]
        mailings.add(self._connection, held)
        storm = telling.storm(self._alert, self._now)
        untold = [each for each in self._alert.addressees if self._mailing(storm, "held", each) is None]
        self._tell(storm, "held", untold)

    def _knows(self, incident: IncidentRecord, addressee: str) -> bool:
        """Whether somebody was told that it began."""
        began = self._mailing(incident, "began", addressee)
        return began is not None and began.state != "held"

    def _mailing(self, incident: IncidentRecord, moment: str, addressee: str) -> MailingRecord | None:
        return mailings.get(self._connection, self._key(incident, moment, addressee))

    def _draft(self, incident: IncidentRecord, moment: str, addressee: str) -> MailingRecord:
        subject = telling.subject(self._alert, incident, moment)
        key = self._key(incident, moment, addressee)
        return draft(self._database, key, "alert", addressee, subject=subject, now=self._now)

    def _key(self, incident: IncidentRecord, moment: str, addressee: str) -> str:
        # The moment comes early, as what is too long is cut.
        return key_of("alert", self._alert.name, moment, incident.id, addressee)


def _record(connection: Connection, database: Database, alert: Alert, changes: Sequence[Change], now: float) -> None:
    recorder = _Recorder(connection, database, alert, now)
    for change in changes:
        recorder.add(change.incident, change.moment)
