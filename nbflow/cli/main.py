"""The `nbflow` command."""

from __future__ import annotations

import io
import sys
from contextvars import ContextVar
from typing import Annotated

import typer

from nbflow.cli.codes import INTERRUPTED, exit_code
from nbflow.cli.commands import Commands
from nbflow.cli.output import note
from nbflow.model import errors
from nbflow.views.words import plain

_HELP = """Run notebooks and functions as flows: side by side, recorded, and resumed where they stopped.

[bold]nbflow run analysis.ipynb -p rate=0.1[/bold]   a notebook; writes analysis.executed.ipynb\n
[bold]nbflow run flows.py:training[/bold]            a function with @flow\n
[bold]nbflow run training.yaml[/bold]                steps that are declared; nbflow validate finds mistakes\n
[bold]nbflow show last[/bold]                        what became of it\n
[bold]nbflow resume last[/bold]                      go on after a failure; finished steps are kept
"""
_EPILOG = """[bold]Exit codes[/bold]  0 success · 1 the flow failed, or doctor found something broken · 2 bad input ·
3 no such run or job · 4 database or stored values · 130 interrupted.

State is kept in the project's folder .nbflow, or where --db or NBFLOW_DB says."""

_DEBUG: ContextVar[bool] = ContextVar("nbflow_debug", default=False)

app = typer.Typer(
    name="nbflow",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_HELP,
    epilog=_EPILOG,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"nbflow {version('nbflow')}")
        raise typer.Exit


@app.callback(help=_HELP)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of nbflow's own errors.")] = False,
) -> None:
    """Take the options that stand before a command."""
    _DEBUG.set(debug)


def main() -> None:
    """Run the command line; errors of nbflow's become one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ is no reason to fail
    try:
        app()
    except errors.NbflowError as error:
        if _DEBUG.get():
            raise
        note(plain(str(error)))
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        note("interrupted.")
        sys.exit(INTERRUPTED)
