"""`nbflow listen`: have events, other flows, files, tables and requests over HTTP start a deployment."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nbflow.cli.output import Db, Json
from nbflow.cli.parameters import pairs
from nbflow.cli.triggers import Deployment, of, show
from nbflow.model.errors import ConfigError

Named = Annotated[str | None, typer.Option("--name", metavar="TRIGGER", help="What to call the trigger.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter that its runs are given besides.")
]
MostWaiting = Annotated[
    int | None,
    typer.Option(
        "--most-waiting", metavar="N", help="Starts that may wait before no more are taken.  \\[default: 100]"
    ),
]
Join = Annotated[
    bool, typer.Option("--join", help="Join an event to a start that waits, if its parameters are the same.")
]
Take = Annotated[
    list[str] | None,
    typer.Option("--take", metavar="NAME[=OTHER]", help="Pass this parameter on, as OTHER.  \\[default: all]"),
]
Every = Annotated[str | None, typer.Option("--every", metavar="TIME", help="How often to look: 10s, 5m.")]
Existing = Annotated[bool, typer.Option("--existing", help="Start runs for what is there already, too.")]
Signed = Annotated[
    bool, typer.Option("--signed", help="Requests carry a signature with a time, instead of the token itself.")
]

commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Have a deployment be started by what happens elsewhere."
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (event, flow, file, table, webhook, sender):
        commands.command(command.__name__)(command)
    app.add_typer(commands, name="listen")


def event(
    deployment: Deployment,
    name: Annotated[str, typer.Argument(metavar="EVENT", help="Name of the event.")],
    *,
    take: Take = None,
    called: Named = None,
    given: Set = None,
    most_waiting: MostWaiting = None,
    join: Join = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start it by an event, which anybody tells with: nbflow event EVENT -p NAME=VALUE --key KEY."""
    options = {"event": name, "take": _taken(take)}
    _make("event", deployment, options | _common(called, given, most_waiting, join), db, as_json=as_json)


def flow(
    deployment: Deployment,
    name: Annotated[str, typer.Argument(metavar="FLOW", help="Name of a flow, or of another deployment.")],
    *,
    on: Annotated[str, typer.Option("--on", help="Which end of its runs: success, failure or any.")] = "success",
    run_as: Annotated[
        str | None, typer.Option("--run-as", metavar="NAME", help="The parameter that is given the id of that run.")
    ] = None,
    called: Named = None,
    given: Set = None,
    most_waiting: MostWaiting = None,
    join: Join = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start it when a run of another flow ends, once for each run, wherever that ran."""
    options = {"flow": name, "on": on, "run_as": run_as}
    _make("flow", deployment, options | _common(called, given, most_waiting, join), db, as_json=as_json)


def file(
    deployment: Deployment,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="'in/*.csv', or 's3://bucket/in/*.csv'.")],
    *,
    parameter: Annotated[str, typer.Option("--as", metavar="NAME", help="The parameter that is given the path.")],
    changes: Annotated[bool, typer.Option("--changes", help="Also when a file changes that was there.")] = False,
    settle: Annotated[
        str | None,
        typer.Option("--settle", metavar="TIME", help="How long a file has to stay as it is.  \\[default: 2s]"),
    ] = None,
    every: Every = None,
    existing: Existing = False,
    called: Named = None,
    given: Set = None,
    most_waiting: MostWaiting = None,
    join: Join = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start it for each file that appears. The scheduler looks, of which nbflow up has one."""
    options: dict[str, Any] = {
        "pattern": pattern,
        "as": parameter,
        "changes": changes,
        "settle": settle,
        "every": every,
    }
    options |= {"existing": existing}
    _make("file", deployment, options | _common(called, given, most_waiting, join), db, as_json=as_json)


def table(
    deployment: Deployment,
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Name of the table; or give --query.")] = None,
    *,
    where: Annotated[
        str, typer.Option("--in", metavar="URL", help="Its database: a path, a URL without password, or secret:NAME.")
    ],
    column: Annotated[
        str, typer.Option("--column", metavar="NAME", help="A column that grows with every new row: an id, a time.")
    ],
    query: Annotated[
        str | None, typer.Option("--query", metavar="SELECT", help="Rows to look at, not a table.")
    ] = None,
    since_as: Annotated[
        str | None, typer.Option("--since-as", metavar="NAME", help="Parameter: the column's largest value so far.")
    ] = None,
    until_as: Annotated[
        str | None, typer.Option("--until-as", metavar="NAME", help="Parameter: its largest value now.")
    ] = None,
    every: Every = None,
    existing: Existing = False,
    called: Named = None,
    given: Set = None,
    most_waiting: MostWaiting = None,
    join: Join = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start it when a table, or a query, has new rows. Nothing is ever written there."""
    options: dict[str, Any] = {"table": name, "url": where, "column": column, "query": query, "since_as": since_as}
    options |= {"until_as": until_as, "every": every, "existing": existing}
    _make("table", deployment, options | _common(called, given, most_waiting, join), db, as_json=as_json)


def webhook(
    deployment: Deployment,
    *,
    signed: Signed = False,
    body_as: Annotated[
        str | None, typer.Option("--body-as", metavar="NAME", help="The parameter that is given the whole body.")
    ] = None,
    take: Take = None,
    called: Named = None,
    given: Set = None,
    most_waiting: MostWaiting = None,
    join: Join = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start it by a request over HTTP that carries a token, which is shown once. See nbflow up --listen."""
    options = {"signed": signed, "body_as": body_as, "take": _taken(take)}
    _make("webhook", deployment, options | _common(called, given, most_waiting, join), db, as_json=as_json)


def sender(
    name: Annotated[str, typer.Argument(metavar="EVENT", help="Name of the event, or '*' for all.")],
    *,
    signed: Signed = False,
    called: Named = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Make a token for one who tells of an event over HTTP: POST /event/EVENT. See nbflow up --listen."""
    _make("sender", "", {"event": name, "signed": signed, "name": called}, db, as_json=as_json)


def _common(called: str | None, given: list[str] | None, most_waiting: int | None, join: bool) -> dict[str, Any]:
    return {"name": called, "set": pairs(given, "--set"), "most_waiting": most_waiting, "join": join}


def _taken(given: list[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    found = {}
    for text in given:
        theirs, _, own = text.partition("=")
        if not theirs:
            raise ConfigError(f"--take takes NAME or NAME=OTHER, not {text!r}.")
        found[theirs] = own or theirs
    return found


def _make(kind: str, deployment: str, options: dict[str, Any], db: str | None, *, as_json: bool) -> None:
    show(of(db).add(kind, deployment, texts=True, **options), as_json)
