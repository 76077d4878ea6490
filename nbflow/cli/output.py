"""What the commands have in common: their options, where they print, and how states look."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nbflow.model.errors import ConfigError
from nbflow.views.palette import MARK, TERMINAL

Db = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="Database: a path or URL.  \\[default: NBFLOW_DB, else the project's]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
_ENDLESS = 1000  # characters of a line in a file or pipe

RunId = Annotated[str, typer.Argument(metavar="RUN", help='Id of a run, a unique beginning of one, or "last".')]


def console() -> Console:
    """Where people read. Without a terminal, lines are as long as they are."""
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else _ENDLESS)


def print_json(value: Any) -> None:
    """Print for scripts."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Tell people something beside the output proper."""
    typer.echo(f"nbflow: {text}", err=True)


def state_text(state: str) -> Text:
    """A state with its mark and colour."""
    return Text(f"{MARK[state]} {state}", style=TERMINAL[state])


def table(headings: Sequence[str], rows: list[list[Text]]) -> Table:
    """A table whose last column gives way where the terminal is narrow."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings[:-1]):
        widest = max((row[number].cell_len for row in rows), default=0)
        made.add_column(heading, no_wrap=True, min_width=max(widest, len(heading)))
    made.add_column(headings[-1], overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def time_text(seconds: float | None) -> str:
    """A point in time, in local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds is not None else ""


def writable(path: Path, option: str) -> Path:
    """`path` if a file can be written there; found out before work is done for it. Raises ConfigError."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"{option} cannot be {path}: give the name of a file in a folder that exists.")
    return path
