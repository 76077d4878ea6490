"""What the commands have in common: where they print, and how times and states look."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from nbflow.views.palette import MARK, TERMINAL

Db = Annotated[str | None, typer.Option("--db", metavar="URL", help="Database: a path or URL; default: the project's.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_WIDE = 200  # characters of a line where no terminal says how many there are


def console() -> Console:
    """Where people read."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def print_json(value: Any) -> None:
    """Print for scripts."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def state_text(state: str) -> Text:
    """A state with its mark and colour."""
    return Text(f"{MARK[state]} {state}", style=TERMINAL[state])


def seconds_text(seconds: float | None) -> str:
    """A duration as people write it."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def time_text(seconds: float | None) -> str:
    """A point in time, in local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds is not None else ""


def plain(text: str) -> str:
    """Text from elsewhere without what would steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
