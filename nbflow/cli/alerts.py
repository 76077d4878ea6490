"""`nbflow alert`: who is told when a flow fails or is late."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.codes import FAILED
from nbflow.cli.output import Db, Json, console, note, print_json, table, time_text
from nbflow.model.errors import ConfigError
from nbflow.views.words import one_line, seconds_text

if TYPE_CHECKING:
    from nbflow.deploying.reports.alerts import Alert

Name = Annotated[str, typer.Argument(metavar="ALERT", help="Name of the alert.")]
Within = "15m, 2h: late if it has not {} so long after the time of its schedule."

commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Tell people and services when a flow fails or is late."
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (add, remove, incidents):
        commands.command(command.__name__)(command)
    commands.command("test")(try_)
    commands.command("list")(list_)
    app.add_typer(commands, name="alert")


def add(
    flow: Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Of this flow.")] = None,
    deployment: Annotated[str | None, typer.Option("--deployment", metavar="NAME", help="Of this deployment.")] = None,
    every_flow: Annotated[bool, typer.Option("--all", help="Of any flow.")] = False,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Who is told. May be repeated.")
    ] = None,
    webhook: Annotated[
        list[str] | None, typer.Option("--webhook", metavar="URL", help="What gets a POST with JSON. May be repeated.")
    ] = None,
    secret: Annotated[
        str | None, typer.Option("--secret", metavar="secret:NAME", help="What signs that; see standardwebhooks.com.")
    ] = None,
    start_within: Annotated[str | None, typer.Option(metavar="SPAN", help=Within.format("started"))] = None,
    finish_within: Annotated[str | None, typer.Option(metavar="SPAN", help=Within.format("finished"))] = None,
    failures: Annotated[bool, typer.Option("--failures/--no-failures", help="Whether failures are told.")] = True,
    most: Annotated[
        int, typer.Option("--most", metavar="N", help="Incidents told in an hour; more are held back.")
    ] = 10,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of the alert.")] = None,
    zone: Annotated[str | None, typer.Option("--zone", "--tz", metavar="NAME", help="In which times are told.")] = None,
    every: Annotated[
        str | None, typer.Option(metavar="SPAN", help="How often is looked, for all.  \\[default: 1m]")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Have somebody told when a flow fails or is late: once when that begins, and once when the next run succeeds.

    nbflow alert add --flow training --to ann@example.org
    nbflow alert add --deployment daily --start-within 15m --finish-within 2h --webhook https://example.org/hook

    A scheduler and a worker have to run (nbflow up), and for mail the worker needs NBFLOW_SMTP.
    """
    from nbflow.deploying.reports.alerts import add_alert
    from nbflow.queue import cron

    if [flow is not None, deployment is not None, every_flow].count(True) != 1:
        raise ConfigError("Say what is meant: --flow NAME, --deployment NAME or --all.")
    spans = {
        option: cron.seconds(text) if text is not None else None
        for option, text in (("start_within", start_within), ("finish_within", finish_within))
    }
    _hint(flow, deployment, db)
    made = add_alert(
        flow=flow, deployment=deployment, name=name, to=to or (), webhook=webhook or (), secret=secret,
        failures=failures, most=most, zone=zone, every=every, db=db, **spans,
    )  # fmt: skip
    if as_json:
        print_json(_json(made))
    else:
        typer.echo(f"Alert {made.name}, for {made.about}, tells {', '.join(made.addressees)}. Try it: "
                   f"nbflow alert test {made.name}")  # fmt: skip


def _hint(flow: str | None, deployment: str | None, db: str | None) -> None:
    """Tell of a name that nothing has, which may come to be."""
    from nbflow.deploying.reports.alerts import names_near
    from nbflow.storage import alerts, opened

    what, name = ("flow", flow) if flow is not None else ("deployment", deployment)
    if name is None:
        return
    with opened.database(db).read() as connection:
        hint = names_near(what, name, alerts.names(connection, what))
    if hint is not None:
        note(hint)


def remove(name: Name, db: Db = None) -> None:
    """Remove an alert, and the record of its incidents."""
    from nbflow.deploying.reports.alerts import remove_alert

    remove_alert(name, db)
    typer.echo(f"Alert {name} is removed.")


def list_(db: Db = None, as_json: Json = False) -> None:
    """List the alerts: what is told to whom."""
    from nbflow.deploying.reports.alerts import alerts

    found = alerts(db)
    if as_json:
        print_json([_json(each) for each in found])
    elif found:
        rows = [
            [Text(each.name), Text(each.about), Text(_what(each)), Text(", ".join(each.addressees))] for each in found
        ]
        console().print(table(("alert", "for", "when", "tells"), rows))
    else:
        typer.echo("No alerts. Make one: nbflow alert add --flow NAME --to ann@example.org")


def try_(name: Name, db: Db = None) -> None:
    """Tell all addressees of an alert that it works, now and from here."""
    from nbflow.deploying.reports.alerts import find_alert
    from nbflow.deploying.reports.telling import send_test

    found = send_test(find_alert(name, db))
    for addressee, error in found:
        typer.echo(f"{addressee}: {error or 'told'}")
    if any(error is not None for _, error in found):
        sys.exit(FAILED)


def incidents(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """List incidents, the newest first."""
    from nbflow.storage import alerts, opened

    with opened.database(db, create=False).read() as connection:
        found = alerts.history(connection, limit)
    if as_json:
        print_json([record._asdict() | {"details": json.loads(record.details)} for record in found])
    elif found:
        rows = [
            [Text(record.alert), Text(record.subject), Text(record.kind, "red" if record.ended_at is None else ""),
             Text(time_text(record.began_at)), Text(time_text(record.ended_at) or "goes on"),
             Text(one_line(record.run or record.id, 200))]
            for record in found
        ]  # fmt: skip
        console().print(table(("alert", "of", "what", "began", "ended", "with"), rows))
    else:
        typer.echo("No incidents.")


def _what(alert: Alert) -> str:
    told = ["fails"] if alert.failures else []
    told += [f"not started in {seconds_text(alert.start_within)}"] if alert.start_within is not None else []
    told += [f"not finished in {seconds_text(alert.finish_within)}"] if alert.finish_within is not None else []
    return ", ".join(told)


def _json(alert: Alert) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(alert)
