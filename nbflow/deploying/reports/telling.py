"""Telling of an incident: what is said, and the job that says it to one address or URL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from nbflow import settings as settings_module
from nbflow.deploying.reports import addresses, alert_mail, webhook
from nbflow.deploying.reports.alerts import Alert, of_record
from nbflow.deploying.reports.messages import Head, compose
from nbflow.deploying.reports.outbox import Outbox, raise_for
from nbflow.deploying.reports.smtp import Channel, MailError, MailRefusedError
from nbflow.model.deployments import IncidentRecord, MailingRecord
from nbflow.queue import zones
from nbflow.storage import alerts as stored
from nbflow.storage import mailings, opened
from nbflow.storage.database import Database
from nbflow.views.words import one_line, seconds_text

_LONGEST_ERROR = 120  # characters of a subject
_HOUR = 3600
_EVENTS = {
    "began": "incident.began", "ended": "incident.ended", "passed": "incident.passed", "held": "alerts.held",
    "test": "alerts.test",
}  # fmt: skip


def tell(alert: str, incident: str, moment: str, key: str) -> str:
    """Send one mailing about an incident; returns its state. What the check of alerts enqueues.

    Raises MailError to be tried again, MailRefusedError, MailInDoubtError.
    """
    database = opened.database()
    with database.read() as connection:
        record = stored.get(connection, alert)
        found = stored.incident(connection, alert, incident)
        mailing = mailings.get(connection, key)
    if record is None or mailing is None:
        return "removed"  # with its alert
    own = of_record(record)
    if found is None:
        found = storm(own, mailing.created_at) if moment == "held" else None
    if found is None:
        return "removed"
    sent = Outbox(database).send(key, _sender(database, own, found, moment))
    raise_for([sent])
    return sent.state


def send_test(alert: Alert) -> list[tuple[str, str | None]]:
    """Tell all addressees of an alert that it works: (addressee, error or None) of each. Nothing is put on record."""
    now = time.time()
    incident = IncidentRecord(alert.name, "test", alert.flow or alert.deployment or "any flow", "test", now, None, "{}",
                              None, None)  # fmt: skip
    found: list[tuple[str, str | None]] = []
    for each in alert.addressees:
        identity = f"test-{time.time_ns():x}"
        mailing = MailingRecord("test", "alert", "pending", json.dumps([each]), subject(alert, incident, "test"),
                                identity, 0, now, None, None)  # fmt: skip
        try:
            _deliver(alert, incident, "test", mailing, lambda: True)
            found.append((each, None))
        except MailError as error:
            found.append((each, str(error)))
    return found


def storm(alert: Alert, now: float) -> IncidentRecord:
    """What stands for all that is held back in an hour."""
    begin = now - now % _HOUR
    details = json.dumps({"most": alert.most})
    return IncidentRecord(alert.name, f"held {begin:.0f}", alert.name, "held", begin, None, details, None, None)


def subject(alert: Alert, incident: IncidentRecord, moment: str) -> str:
    """What is told, in one line."""
    told = json.loads(incident.details)
    who = one_line(incident.subject, 80)
    if moment == "test":
        return f"nbflow: a test of alert {alert.name}"
    if moment == "held":
        return f"nbflow: alert {alert.name} holds back more incidents of this hour"
    if incident.kind == "late":
        due = zones.in_zone(told["due"], alert.zone)
        word = f"late: due {due:%H:%M}, not {told['what']} {seconds_text(told['limit'])} later"
    else:
        word = f"{told.get('state', 'failed').replace('_', ' ')}: {error_line(told, _LONGEST_ERROR)}".rstrip(": ")
    if moment == "began":
        return f"nbflow: {who} {'is ' if incident.kind == 'late' else ''}{word}"
    count, took = told.get("failures", 1), seconds_text((incident.ended_at or 0.0) - incident.began_at)
    times = f"{count:,} {'failures' if incident.kind == 'failed' else 'late times'}" if count > 1 else word
    if moment == "passed":
        return f"nbflow: {who} has recovered by itself after {took} ({times})"
    return f"nbflow: {who} has recovered after {took} ({times})"


def error_line(told: dict[str, Any], longest: int) -> str:
    """The error of an incident in one line."""
    kind = (told.get("error_type") or "").rpartition(".")[2]
    return one_line(f"{kind}: {told.get('error') or ''}".strip(": "), longest)


# --- inside ------------------------------------------------------------------------------------------------------


def _sender(
    database: Database, alert: Alert, incident: IncidentRecord, moment: str
) -> Callable[[MailingRecord, Callable[[], bool]], None]:
    def hand_over(mailing: MailingRecord, commit: Callable[[], bool]) -> None:
        _deliver(alert, incident, moment, mailing, commit, first=_first(database, mailing, moment))

    return hand_over


def _first(database: Database, mailing: MailingRecord, moment: str) -> str | None:
    """The identity of the mail that told the same address that the incident began."""
    if moment != "ended":
        return None
    key = mailing.key.replace("/ended/", "/began/", 1)
    found = database.retrying(lambda connection: mailings.get(connection, key), write=False)
    return found.message_id if found is not None else None


def _deliver(
    alert: Alert,
    incident: IncidentRecord,
    moment: str,
    mailing: MailingRecord,
    commit: Callable[[], bool],
    *,
    first: str | None = None,
) -> None:
    (addressee,) = json.loads(mailing.recipients)
    if addressee in alert.webhooks:
        told = body(alert, incident, moment, mailing.created_at)
        webhook.post(addressee, mailing.message_id, told, addresses.revealed(alert.secret), time.time())
        return
    if addressee not in alert.to:
        raise MailRefusedError(f"{addressee} is not told by alert {alert.name!r} any more.")
    settings = settings_module.current()
    if settings.smtp is None:
        raise MailError("No mail server is set for the worker: NBFLOW_SMTP=smtp://user@host:587.")
    server = addresses.server_of(settings.smtp)
    sender = addresses.sender_of(settings, server)
    line = subject(alert, incident, moment)
    head = Head(sender, addressee, line, mailing.message_id, mailing.created_at, alert.zone, first)
    mail = compose(head, alert_mail.content(alert, incident, moment, line)).as_bytes()
    with Channel(server, addresses.revealed(settings.smtp_password)) as channel:
        channel.deliver(addresses.bare(sender), addresses.bare(addressee), mail, commit)


def body(alert: Alert, incident: IncidentRecord, moment: str, now: float) -> dict[str, Any]:
    """What a webhook is told."""

    def at(seconds: float | None) -> str | None:
        return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds is not None else None

    told = json.loads(incident.details)
    return {
        "type": _EVENTS[moment],
        "timestamp": at(now),
        "data": {
            "alert": alert.name,
            "incident": incident.id,
            "subject": incident.subject,
            "kind": incident.kind,
            "text": subject(alert, incident, moment).removeprefix("nbflow: "),
            "run": incident.run,
            "began_at": at(incident.began_at),
            "ended_at": at(incident.ended_at),
            "ended_by": incident.ended_by,
            "due": at(told.pop("due", None)),
            **told,
        },
    }
