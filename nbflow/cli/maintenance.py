"""`nbflow doctor` and `nbflow gc`."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from nbflow.cli.output import Db, Json, console, print_json
from nbflow.model.errors import ConfigError, DatabaseMissingError, NbflowError

_EXTRAS = {"postgres": "psycopg", "s3": "s3fs", "notebooks": "sklearn"}
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("doctor")(doctor)
    app.command("gc")(gc)


def doctor(db: Db = None, as_json: Json = False) -> None:
    """Tell versions and settings, check database and stores, and say how to get what is missing.

    Exits with 1 if something is broken.
    """
    findings = [_nbflow(), *_settings_and_stores(db), _executors(), *_extras()]
    if as_json:
        print_json([{"what": what, "ok": ok, "told": told} for what, ok, told in findings])
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for what, ok, told in findings:
            mark = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("·", "dim")}[ok]
            table.add_row(mark, what, Text(told))
        console().print(table)
    if any(ok is False for _, ok, _ in findings):
        sys.exit(1)


Finding = tuple[str, bool | None, str]  # what, whether it is well (None: optional and absent), what there is to tell


def _nbflow() -> Finding:
    return "nbflow", True, f"{version('nbflow')} on Python {platform.python_version()}, {platform.platform()}"


def _settings_and_stores(db: str | None) -> list[Finding]:
    from nbflow import settings

    try:
        current = settings.current()
    except ConfigError as error:
        return [("settings", False, str(error))]
    return [
        ("executor", True, f"{current.executor}, {current.workers} at a time"),
        _checked("database", lambda: _database(db)),
        _checked("artifacts", lambda: f"{current.artifacts} ({_artifacts()})"),
        _checked("signing key", lambda: f"in {current.home}" if _key(current.home) else ""),
    ]


def _checked(what: str, check: Any) -> Finding:
    try:
        return what, True, check()
    except DatabaseMissingError as error:
        return what, None, str(error)
    except (NbflowError, OSError) as error:
        return what, False, str(error)


def _database(db: str | None) -> str:
    from nbflow.engine import stores
    from nbflow.storage import runs, schema

    database = stores.database(db, create=False)
    with database.read() as connection:
        count = runs.count(connection)
    return f"{database.url}, schema {schema.VERSION}, {count} runs"


def _artifacts() -> str:
    from nbflow import settings
    from nbflow.values.artifacts import open_store

    found = open_store(settings.current().artifacts).names()
    return f"{len(found)} files, {_size(sum(size for _, size, _ in found))}"


def _key(home: Any) -> bool:
    from nbflow.values.signing import load_key

    return bool(load_key(home))


def _executors() -> Finding:
    from nbflow.executors import registry

    return "executors", True, ", ".join(registry.known())


def _extras() -> list[Finding]:
    found: list[Finding] = []
    for extra, module in _EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            found.append((f"extra {extra}", None, f"not installed; get it: pip install 'nbflow[{extra}]'"))
        else:
            found.append((f"extra {extra}", True, f"{module} {_version(module)}".rstrip()))
    return found


def _version(module: str) -> str:
    try:
        return version({"sklearn": "scikit-learn"}.get(module, module))
    except PackageNotFoundError:
        return ""


def gc(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Also remove finished runs older than this: 30d, 12h."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Remove what is not needed: expired cache entries, artifacts that nothing refers to, and old runs if asked."""
    from nbflow.client import cleaning

    before = time.time() - _age(older_than) if older_than else None
    plan = cleaning.plan(before, db=db)
    told = f"{len(plan.runs)} runs, {plan.expired} cache entries, {len(plan.artifacts)} artifacts ({_size(plan.size)})"
    nothing = not (plan.runs or plan.expired or plan.artifacts)
    if not (dry_run or nothing or yes or as_json):
        typer.confirm(f"Remove {told}?", abort=True)
    if not (dry_run or nothing):
        cleaning.carry_out(plan, db=db)
    if as_json:
        print_json({"runs": plan.runs, "expired": plan.expired, "artifacts": len(plan.artifacts), "bytes": plan.size,
                    "removed": not dry_run})  # fmt: skip
    elif nothing:
        console().print("Nothing to remove.")
    else:
        console().print(f"{'Would remove' if dry_run else 'Removed'} {told}.")


def _age(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip())
    if match is None:
        raise ConfigError(f"--older-than takes an age such as 30d, 12h, 45m or 2w, not {text!r}.")
    return float(match[1]) * _UNITS[match[2]]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
