"""The `nbflow` command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from nbflow.cli import maintenance, run, show
from nbflow.model import errors

SUCCESS, FAILED, USAGE, NOT_FOUND, STORAGE, INTERRUPTED = 0, 1, 2, 3, 4, 130

app = typer.Typer(
    name="nbflow",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Run notebooks and functions as flows: side by side, recorded, and resumed where they stopped.",
    epilog="Exit codes: 0 success, 1 the flow failed, 2 bad input, 3 no such run, 4 database or disk, 130 interrupted.",
)
run.add_to(app)
show.add_to(app)
maintenance.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"nbflow {version('nbflow')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of nbflow's own errors.")] = False,
) -> None:
    """Run notebooks and functions as flows."""
    if debug:
        os.environ["_NBFLOW_DEBUG"] = "1"


def main() -> None:
    """Run the command line; errors of nbflow's become one message and an exit code."""
    try:
        app()
    except errors.NbflowError as error:
        if os.environ.get("_NBFLOW_DEBUG"):
            raise
        typer.echo(f"nbflow: {error}", err=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        typer.echo("nbflow: interrupted. Go on with: nbflow resume last", err=True)
        sys.exit(INTERRUPTED)


def exit_code(error: errors.NbflowError) -> int:
    """The exit code for an error that ends a command."""
    if isinstance(error, errors.RunNotFoundError):
        return NOT_FOUND
    if isinstance(error, errors.StorageError):
        return STORAGE
    if isinstance(error, (errors.TaskError, errors.RunFailedError, errors.PathChangedError)):
        return FAILED
    return USAGE
