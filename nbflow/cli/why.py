"""`nbflow why`."""

from __future__ import annotations

from typing import Annotated

import typer

from nbflow.cli.output import Db, Json, console, print_json
from nbflow.views.words import plain


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("why")(why)


def why(
    target: Annotated[str, typer.Argument(metavar="RUN|JOB", help='Id of a run or job, its beginning, or "last".')],
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Key or step of one task of the run.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell what a run, a task or a job waits for: its place in the queue, limits, workers, and what comes before it.

    nbflow why last

    nbflow why 6fc4f4kssd9p train#2
    """
    from nbflow.client.queue_client import QueueClient

    with QueueClient(db) as client:
        found = client.why(target, task)
    if as_json:
        reasons = [{"kind": reason.kind, "text": reason.text, **reason.data} for reason in found]
        print_json({"subject": found.subject, "state": found.state, "reasons": reasons})
        return
    console().print(plain(str(found)), markup=False)
