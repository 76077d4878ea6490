"""Reports made and sent: at once, or by a schedule as a job of low priority that is tried again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow import settings as settings_module
from nbflow.deploying.reports import addresses, html, telling, text, words
from nbflow.deploying.reports import period as periods
from nbflow.deploying.reports.chart import Picture, picture
from nbflow.deploying.reports.facts import Figures
from nbflow.deploying.reports.figures import figures
from nbflow.deploying.reports.messages import Content, Head, compose
from nbflow.deploying.reports.outbox import AGAIN, OWN, Outbox, draft, key_of, raise_for
from nbflow.deploying.reports.period import Period
from nbflow.deploying.reports.smtp import Channel
from nbflow.model.deployments import MailingRecord
from nbflow.model.errors import ConfigError, RetryLater
from nbflow.queue.queue import Queue
from nbflow.running import context
from nbflow.storage import opened
from nbflow.storage.database import Database
from nbflow.values.project import value_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbflow.queue.schedule import Schedule

_PRIORITY = 100  # after everything that nobody gave a number
_TIMEOUT = 1800.0  # seconds
_CRONS = {"day": "{minute} {hour} * * *", "week": "{minute} {hour} * * MON", "month": "{minute} {hour} 1 * *"}
_NAMES = {"day": "report-daily", "week": "report-weekly", "month": "report-monthly"}
_IMAGE = "gantt"
FORMS = (".html", ".txt", ".eml")


@dataclass(frozen=True)
class Report:
    """The report of a period, gathered when it is first looked at."""

    database: Database
    period: Period
    now: float

    @cached_property
    def figures(self) -> Figures:
        """What it tells."""
        values = value_store(settings_module.current(), self.database.full_url)
        return figures(self.database, values, self.period, self.now)

    @cached_property
    def picture(self) -> Picture:
        """Its Gantt chart."""
        return picture(self.database, self.figures)

    @property
    def subject(self) -> str:
        """The subject of its mail."""
        return words.subject(self.figures)

    def text(self) -> str:
        """The report as plain text."""
        return text.report(self.figures, self.picture)

    def page(self) -> str:
        """The report as a page that stands alone."""
        drawn, kind = self.picture.png, "png"
        if drawn is None:  # browsers show both
            drawn, kind = self.picture.svg.encode(), "svg+xml"
        return html.report(self.figures, self.picture, f"data:image/{kind};base64,{base64.b64encode(drawn).decode()}")

    def mail(self, sender: str, recipient: str, identity: str) -> EmailMessage:
        """The report as a mail. Without Pillow the chart is text, with an SVG beside it."""
        drawn = self.picture.png
        shown = html.report(self.figures, self.picture, f"cid:{_IMAGE}" if drawn is not None else "")
        content = Content(
            self.text(),
            shown,
            images={_IMAGE: drawn} if drawn is not None else {},
            files={f"{_IMAGE}.svg": self.picture.svg} if drawn is None and self.picture.svg else {},
        )
        head = Head(sender, recipient, self.subject, identity, self.now, self.period.zone)
        return compose(head, content)

    def save(self, path: Path, recipients: Iterable[str] = ()) -> None:
        """Write it to a file; the suffix says as what: .html, .txt or .eml. Raises ConfigError for another one."""
        suffix = path.suffix.lower()
        if suffix not in FORMS:
            raise ConfigError(f"A report cannot be written as {path.name!r}: its suffix is none of {', '.join(FORMS)}.")
        if suffix == ".eml":
            sender = settings_module.current().mail_from or "nbflow@localhost"
            recipient = next(iter(recipients), "nobody@localhost")
            path.write_bytes(self.mail(sender, recipient, "dry-run").as_bytes())
        else:
            path.write_text(self.page() if suffix == ".html" else self.text(), encoding="utf-8")


def send(report: Report, recipients: Iterable[str], *, again: bool = False) -> list[MailingRecord]:
    """Send a report to each address, unless it has had the one of this period; what came of each.

    `again`: to those that have had it too. Raises ConfigError for wrong addresses or settings, and RetryLater, at the
    end, if another process is sending it to one of them.
    """
    settings = settings_module.current()
    if settings.smtp is None:
        raise ConfigError("No mail server is set: NBFLOW_SMTP=smtp://user@host:587, or configure(smtp=...).")
    server = addresses.server_of(settings.smtp)
    sender = addresses.sender_of(settings, server)
    password = addresses.revealed(settings.smtp_password)
    outbox = Outbox(report.database)
    drafts = [_draft(report, recipient) for recipient in addresses.addresses(recipients)]
    outbox.put(drafts)
    found: list[MailingRecord] = []
    later: RetryLater | None = None
    with Channel(server, password) as channel:

        def hand_over(record: MailingRecord, commit: Callable[[], bool]) -> None:
            (recipient,) = json_list(record.recipients)
            mail = report.mail(sender, recipient, record.message_id)
            channel.deliver(addresses.bare(sender), addresses.bare(recipient), mail.as_bytes(), commit)

        for each in drafts:
            if again:
                outbox.reset(each.key)
            try:
                found.append(outbox.send(each.key, hand_over))
            except RetryLater as error:  # the others need not wait for this one
                later = error
    if later is not None:
        raise later
    return found


def resend(database: Database, key: str) -> MailingRecord:
    """Send a report that failed or is doubtful once more, or have an alert's mail wait for the job that sends it.

    Raises NbflowError if there is none of this key, or if it is being sent; ConfigError.
    """
    record = Outbox(database).get(key)
    period = periods.of_key(key.removeprefix("report/").rpartition("/")[0]) if record.kind == "report" else None
    if record.kind == "report" and period is not None:
        (sent,) = send(Report(database, period, time.time()), json_list(record.recipients), again=True)
        return sent
    waiting = Outbox(database).reset(key)
    if record.kind == "alert":
        _, alert, moment, incident, _ = key.split("/", 4)
        options: dict[str, Any] = {**AGAIN, "tags": [OWN]}
        Queue(db=database.full_url, **options).enqueue(telling.tell, alert, incident, moment, key)
    return waiting


def json_list(stored: str) -> list[str]:
    """The addresses of a mailing."""
    found: list[str] = json.loads(stored)
    return found


def _draft(report: Report, recipient: str) -> MailingRecord:
    key = key_of("report", report.period.key, addresses.bare(recipient).lower())
    subject = f"{report.period.title}, {report.period.label}"
    return draft(report.database, key, "report", recipient, subject=subject, now=report.now)


# --- by a schedule -----------------------------------------------------------------------------------------------


def send_report(kind: str, zone: str, recipients: list[str]) -> dict[str, str]:
    """Send the report of the latest day, week or month that was over at the time that is meant; what schedules call.

    Returns what came of it, by address. Raises MailError to be tried again, MailRefusedError and MailInDoubtError.
    """
    attempt = context.current()
    meant = attempt.logical_time if attempt is not None else None
    now = time.time()
    period = periods.latest(kind, meant.timestamp() if meant is not None else now, zone)
    records = send(Report(opened.database(), period, now), recipients)
    raise_for(records)
    return {json_list(record.recipients)[0]: record.state for record in records}


def schedule_report(
    kind: str,
    recipients: Iterable[str],
    *,
    zone: str | None = None,
    at: str = "06:00",
    name: str | None = None,
    queue: str | None = None,
    db: str | None = None,
) -> Schedule:
    """Have a report sent after each "day", "week" or "month", on its last morning's next day at a time of the zone.

    `name` is that of the schedule, default: "report-weekly" and the like; one of that name is changed. Raises
    ConfigError for a wrong address, period or time, and ScheduleError for a zone that there is not.
    """
    from nbflow.queue import zones

    if kind not in _CRONS:
        raise ConfigError(f"A report is for each {', '.join(_CRONS)}, not {kind!r}.")
    where = zone or zones.local_name()
    zones.zone(where)
    hour, minute = _time_of_day(at)
    people = addresses.addresses(recipients)
    handle = Queue(queue, db=db, priority=_PRIORITY, timeout=_TIMEOUT, tags=[OWN], **AGAIN)
    expression = _CRONS[kind].format(hour=hour, minute=minute)
    return handle.schedule(expression, send_report, kind, where, people, name=name or _NAMES[kind], zone=where)


def _time_of_day(at: str) -> tuple[int, int]:
    hour, _, minute = at.partition(":")
    if hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60:
        return int(hour), int(minute)
    raise ConfigError(f"{at!r} is no time of day; write 06:00.")
