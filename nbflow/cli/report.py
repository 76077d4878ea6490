"""`nbflow report`: what was in a day, a week or a month, by mail or in a file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.codes import FAILED
from nbflow.cli.output import Db, Json, console, print_json, table, time_text, writable
from nbflow.model.errors import ConfigError
from nbflow.views.words import one_line

if TYPE_CHECKING:
    from nbflow.deploying.reports.period import Period
    from nbflow.model.deployments import MailingRecord

PeriodName = Annotated[str, typer.Option("--period", metavar="KIND", help="day, week or month: the latest one.")]
Zone = Annotated[
    str | None,
    typer.Option("--zone", "--tz", metavar="NAME", help="Time zone, such as Europe/Paris.  \\[default: here]"),
]
To = Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Who gets it. May be repeated.")]
_STYLE = {"sent": "green", "pending": "yellow", "sending": "blue", "failed": "red", "doubtful": "magenta"}

commands = typer.Typer(
    invoke_without_command=True, rich_markup_mode="rich",
    help="Report on a day, a week or a month: runs, durations, failures, waits, code.",
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    commands.callback()(report)
    for command in (schedule, resend):
        commands.command(command.__name__)(command)
    commands.command("list")(list_)
    app.add_typer(commands, name="report")


def report(
    context: typer.Context,
    period: PeriodName = "week",
    date: Annotated[
        str | None, typer.Option("--date", metavar="DAY", help="That which this day lies in, instead of the latest.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Any stretch of time: from then on,")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="up to then.  \\[default: now]")] = None,
    zone: Zone = None,
    to: To = None,
    dry_run: Annotated[
        Path | None, typer.Option("--dry-run", metavar="FILE", help="Write it to FILE: .html, .txt or .eml.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Send it to those that have had it, too.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Report on a day, a week or a month: runs, durations, failures, waits, code.

    nbflow report                                     the latest week, as text
    nbflow report --period day --dry-run day.html     in a file
    nbflow report --period month --to ann@example.org by mail, once for each period and address
    nbflow report schedule --weekly --to ann@example.org
    """
    if context.invoked_subcommand is not None:
        return
    from nbflow.deploying.reports import addresses, sending
    from nbflow.storage import opened

    people = addresses.addresses(to) if to else []
    now = time.time()
    found = sending.Report(
        opened.database(db, create=False), _period(period, date=date, since=since, until=until, zone=zone, now=now), now
    )
    if dry_run is not None:
        found.save(writable(dry_run, "--dry-run"), people)
        typer.echo(f"Wrote the report of {found.period.label} to {dry_run}.")
    elif people:
        _tell(sending.send(found, people, again=again), as_json=as_json)
    else:
        typer.echo(found.text(), nl=False)


def _period(
    kind: str, *, date: str | None, since: str | None, until: str | None, zone: str | None, now: float
) -> Period:
    from nbflow.client import filters
    from nbflow.deploying.reports import period as periods
    from nbflow.queue import zones

    where = zone or zones.local_name()
    if since is not None or until is not None:
        if since is None:
            raise ConfigError("--until says where the period ends; say with --since where it begins.")
        begin = filters.moment(since, "since", now) or 0.0
        end = filters.moment(until, "until", now)
        return periods.over(periods.span(begin, now if end is None else end, where), now)
    if date is None:
        return periods.latest(kind, now, where)
    at = filters.moment(date, "date", now)
    return periods.over(periods.containing(kind, at or now, where), now)


def _tell(records: list[MailingRecord], *, as_json: bool) -> None:
    if as_json:
        print_json([_json(record) for record in records])
    for record in records if not as_json else ():
        people = ", ".join(json.loads(record.recipients))
        at = f" at {time_text(record.sent_at)}" if record.sent_at is not None else ""
        typer.echo(f"{people}: {record.state}{at}{f': {record.error}' if record.error else ''}")
    if any(record.state != "sent" for record in records):
        sys.exit(FAILED)


def schedule(
    to: To = None,
    daily: Annotated[bool, typer.Option("--daily", help="After each day.")] = False,
    weekly: Annotated[bool, typer.Option("--weekly", help="On Mondays. This is the default.")] = False,
    monthly: Annotated[bool, typer.Option("--monthly", help="On the first of each month.")] = False,
    at: Annotated[str, typer.Option("--at", metavar="HH:MM", help="At this time of the zone.")] = "06:00",
    zone: Zone = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of the schedule.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME", help="The queue that sends it.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Have a report sent by mail, as a job of low priority that is tried again.

    A scheduler and a worker have to run (nbflow up), and the worker needs the mail server's URL: NBFLOW_SMTP.
    """
    from nbflow import settings
    from nbflow.deploying.reports.sending import schedule_report

    kinds = [kind for kind, asked in (("day", daily), ("week", weekly), ("month", monthly)) if asked] or ["week"]
    if len(kinds) > 1:
        raise ConfigError("--daily, --weekly and --monthly are reports of their own; give one at a time.")
    made = schedule_report(kinds[0], to or (), zone=zone, at=at, name=name, queue=queue, db=db)
    first = made.next_at
    if as_json:
        print_json({"schedule": made.name, "next": first.isoformat() if first is not None else None})
        return
    typer.echo(f"Schedule {made.name}: {made.describe()}. The first report is due {first:%a %Y-%m-%d %H:%M %Z}.")
    if settings.current().smtp is None:
        typer.echo("No mail server is set here; the worker needs one: NBFLOW_SMTP=smtp://user@host:587")


def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """List what was sent, reports and alerts, the newest first; what came of each."""
    from nbflow.storage import mailings, opened

    with opened.database(db, create=False).read() as connection:
        found = mailings.listed(connection, limit=limit)
    if as_json:
        print_json([_json(record) for record in found])
    elif found:
        rows = [
            [Text(one_line(record.key)), Text(record.state, _STYLE.get(record.state, "")), Text(str(record.attempts)),
             Text(time_text(record.sent_at)), Text(one_line(_error(record), 300))]
            for record in found
        ]  # fmt: skip
        console().print(table(("key", "state", "tries", "sent", "error"), rows))
    else:
        typer.echo("Nothing has been sent yet.")


def resend(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `nbflow report list` has it.")], db: Db = None
) -> None:
    """Send once more what failed, or is doubtful: a report now, an alert by a worker.

    It has the same Message-ID: a mailbox that has it already drops it.
    """
    from nbflow.deploying.reports import sending
    from nbflow.storage import opened

    record = sending.resend(opened.database(db, create=False), key)
    typer.echo(f"{record.key}: {record.state}{f': {record.error}' if record.error else ''}")


def _error(record: MailingRecord) -> str:
    if record.state == "sending" and record.error:
        about = json.loads(record.error)
        return f"by process {about.get('pid')} on {about.get('host')}"
    return record.error or ""


def _json(record: MailingRecord) -> dict[str, Any]:
    told = record._asdict()
    return told | {"recipients": json.loads(record.recipients), "error": _error(record) or None}
