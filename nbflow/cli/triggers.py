"""`nbflow event` and `nbflow triggers`: telling of events, and looking after what listens to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.output import Db, Json, console, note, print_json, table, time_text
from nbflow.cli.parameters import pairs
from nbflow.views.words import one_line

if TYPE_CHECKING:
    from nbflow.deploying.triggers import Made, Triggers
    from nbflow.model.deployments import TriggerFiringRecord, TriggerRecord

Deployment = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Name of the deployment.")]
Name = Annotated[str, typer.Argument(metavar="TRIGGER", help="Name of the trigger.")]
Whose = Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Only those of this deployment.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Look after what starts deployments.")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("event")(event)
    for command in (history, rotate, remove):
        commands.command(command.__name__)(command)
    commands.command("list")(list_)
    app.add_typer(commands, name="triggers")


def event(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What happened.")],
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="What the runs are given.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="Names this very event: told again, it starts nothing twice."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell of an event: starts every deployment that listens to it, with these parameters, all or none.

    nbflow event sales-arrived -p day=2026-11-21 --key 2026-11-21

    Have a deployment listen: nbflow listen event DEPLOYMENT NAME
    """
    triggers = of(db)
    found = triggers.emit(name, pairs(parameters, "-p"), key=key, texts=True)
    if as_json:
        print_json([start._asdict() for start in found])
    for start in found if not as_json else ():
        typer.echo(start.words())
    if not found:
        import difflib

        known = triggers.events()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Some do to: {', '.join(known)}." if known else ""
        note(f"nobody listens to event {name!r}, so nothing was started. {hint}".rstrip())


def list_(deployment: Whose = None, db: Db = None, as_json: Json = False) -> None:
    """List what starts deployments, and what keeps it from doing so."""
    records = of(db).listed(deployment)
    if as_json:
        print_json([as_dict(record) for record in records])
    elif records:
        rows = [
            [Text(text) for text in (each.deployment or "any", each.name, each.kind, told(each))] for each in records
        ]
        console().print(table(("deployment", "trigger", "listens to", "which"), rows))
        for each in records:
            if each.error is not None:
                console().print(Text(f"{each.deployment} {each.name}: {one_line(each.error, 500)}", "red"))
    else:
        typer.echo("No triggers. Make one: nbflow listen --help")


def history(deployment: Whose = None, limit: Limit = 20, db: Db = None, as_json: Json = False) -> None:
    """Tell which events started deployments, the latest first."""
    found = of(db).history(deployment, limit)
    if as_json:
        print_json([_firing(each) for each in found])
    elif found:
        rows = [
            [
                Text(one_line(text))
                for text in (time_text(each.at), each.deployment, each.trigger, each.job or "", each.key)
            ]
            for each in found
        ]
        console().print(table(("when", "deployment", "trigger", "job", "key"), rows))
    else:
        typer.echo("No event has started anything yet.")


def rotate(
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help='Name of the deployment; "" for a sender.')],
    name: Name,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="How long the old token is good: 0, 15m, 2d.")
    ] = "0",
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Give a webhook or a sender a new token."""
    from nbflow.deploying.watched import seconds

    show(of(db).rotate(deployment, name, grace=seconds(grace, "--grace")), as_json)


def remove(
    deployment: Annotated[str, typer.Argument(metavar="DEPLOYMENT", help='Name of the deployment; "" for a sender.')],
    name: Name,
    db: Db = None,
) -> None:
    """Remove a trigger. Runs that it started go on."""
    of(db).remove(deployment, name)
    typer.echo(f"Trigger {name} is removed.")


# --- what `nbflow listen` uses too -----------------------------------------------------------------------------------


def of(db: str | None) -> Triggers:
    """The triggers of the database, which has to exist."""
    from nbflow.deploying.triggers import Triggers

    return Triggers.of(db)


def show(made: Made, as_json: bool) -> None:
    """Tell of a trigger that was made, and its token, this once."""
    record = made.record
    if as_json:
        print_json(as_dict(record) | ({"token": made.token} if made.token else {}))
        return
    whose = f"Deployment {record.deployment}" if record.deployment else "Who has this token"
    typer.echo(f"{whose} {_SENTENCE[record.kind]} {told(record)} (trigger {record.name}).")
    if made.token is not None:
        signed = json.loads(record.options)["signed"]
        what = "Secret to sign with" if signed else "Token"
        typer.echo(f"{what}, shown this once: {made.token}")
        typer.echo(_HOW_SIGNED if signed else _HOW.format(path=_path(record)))


_SENTENCE = {
    "event": "listens to event",
    "flow": "follows",
    "file": "looks for",
    "table": "looks for new rows of",
    "webhook": "is started by",
    "sender": "may tell of event",
}
_HOW = (
    "curl -X POST http://HOST:PORT{path} -H 'Authorization: Bearer TOKEN' -H 'Idempotency-Key: KEY' "
    "-d '{{\"parameters\": {{}}}}'"
)
_HOW_SIGNED = (
    "Sign each request: X-Nbflow-Signature: t=SECONDS,v1=HEX, the HMAC-SHA256 of SECONDS, a dot and the body; "
    "SECONDS since 1970."
)


def _path(record: TriggerRecord) -> str:
    return f"/trigger/{record.deployment}" if record.kind == "webhook" else f"/event/{record.topic}"


def told(record: TriggerRecord) -> str:
    """What a trigger listens to, for people."""
    options = json.loads(record.options)
    if record.kind == "flow":
        return f"{record.topic} on {options['on']}"
    if record.kind == "file":
        return f"{options['pattern']} every {options['every']:g} s"
    if record.kind == "table":
        return f"{one_line(options['query'], 60)} by {options['column']} every {options['every']:g} s"
    if record.kind == "webhook":
        return f"POST {_path(record)}{', signed' if options['signed'] else ''}"
    return record.topic


def as_dict(record: TriggerRecord) -> dict[str, Any]:
    """A trigger for scripts; nothing of its token."""
    options = {name: value for name, value in json.loads(record.options).items() if name != "tokens"}
    hidden = ("options", "seen", "revision")
    return {name: value for name, value in record._asdict().items() if name not in hidden} | {"options": options}


def _firing(each: TriggerFiringRecord) -> dict[str, Any]:
    found = {name: value for name, value in each._asdict().items() if name != "waits"}
    return found | {"parameters": json.loads(each.parameters)}
