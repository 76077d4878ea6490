"""`nbflow env`: the Python environments that versions of flows have of their own."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer
from rich.text import Text

from nbflow.cli.output import Json, console, print_json, table, time_text
from nbflow.deploying.environments import installers, keeping
from nbflow.model.errors import ConfigError
from nbflow.views.words import bytes_text

_UNITS = {"h": 3600, "d": 86_400, "w": 604_800}
_SIZES = {"M": 2**20, "G": 2**30, "T": 2**40}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Python environments of flow versions: made when first needed.")
    group.command("list")(list_)
    group.command("prune")(prune)
    app.add_typer(group, name="env")


def list_(as_json: Json = False) -> None:
    """List the environments, the one that was used last first."""
    found = keeping.listed()
    if as_json:
        print_json([_plain(kept) for kept in found])
    elif not found:
        console().print("No environments.")
    else:
        console().print(
            table(("environment", "python", "size", "used", "what", "requirements"), [_row(k) for k in found])
        )
        console().print(f"{len(found)} in {found[0].path.parent}, {bytes_text(keeping.total(found))}")


def prune(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Those not used for so long: 30d, 12h, 2w.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="SIZE", help="Those beyond so much space, the latest used stay: 5G.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove environments that nothing runs in: half-made ones, and those that the options name."""
    before = time.time() - _amount(older_than, _UNITS, "--older-than", "30d") if older_than else None
    most = int(_amount(keep, _SIZES, "--keep", "5G")) if keep else None
    removed = keeping.prune(before=before, most=most, dry_run=dry_run)
    if as_json:
        print_json({"environments": [_plain(kept) for kept in removed], "removed": not dry_run})
        return
    told = f"{len(removed)} environments, {bytes_text(keeping.total(removed))}"
    console().print(f"{'Would remove' if dry_run else 'Removed'} {told}." if removed else "Nothing to remove.")


def _plain(kept: keeping.Kept) -> dict[str, object]:
    return {
        "path": str(kept.path), "requirements": list(kept.requirements), "python": kept.python, "bytes": kept.bytes,
        "used_at": kept.used_at, "ready": kept.ready, "busy": kept.busy,
    }  # fmt: skip


def _row(kept: keeping.Kept) -> list[Text]:
    what = "in use" if kept.busy else ("ready" if kept.ready else "half-made")
    cells = (kept.path.name[:12], kept.python, bytes_text(kept.bytes), time_text(kept.used_at), what)
    return [*map(Text, cells), Text(installers.without_passwords(", ".join(kept.requirements)))]


def _amount(text: str, units: dict[str, int], option: str, example: str) -> float:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(units)}])", text.strip())
    if match is None:
        raise ConfigError(f"{option} takes a number and one of {', '.join(units)}, such as {example}, not {text!r}.")
    return float(match[1]) * units[match[2]]
