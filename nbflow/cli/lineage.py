"""`nbflow lineage`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.output import Db, Json, RunId, console, print_json, state_text, table
from nbflow.views.words import one_line


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("lineage")(lineage)


def lineage(
    run_id: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A value of a notebook, or a step or task of the run.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell where a value came from: the version, the run and the steps that made it, and those that took it.

    nbflow lineage last model
    """
    from nbflow.client.queue_client import QueueClient

    with QueueClient(db) as client:
        frame = client.lineage(client.run(run_id), name)
    if as_json:
        print_json(json.loads(frame.to_json(orient="records", date_format="iso")))
        return
    first = frame.iloc[0]
    made = f"version {first.version} of deployment {first.deployment}" if isinstance(first.deployment, str) else ""
    console().print(Text(f"run {first.run} of {first.flow}{f', {made}' if made else ''}"))
    console().print(table(("", "step", "task", "state", "of"), [_row(row) for _, row in frame.iterrows()]))


def _row(row: Any) -> list[Text]:
    cached = "taken from an earlier run" if row["cached"] else ""
    return [Text(str(row["role"])), Text(one_line(str(row["step"]))), Text(one_line(str(row["task"]))),
            state_text(str(row["state"])), Text(cached)]  # fmt: skip
