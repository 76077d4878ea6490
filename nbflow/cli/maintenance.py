"""`nbflow doctor` and `nbflow gc`."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from nbflow.cli.output import Db, Json, console, print_json
from nbflow.model.errors import ConfigError, DatabaseCorruptError, DatabaseMissingError, NbflowError
from nbflow.views.words import bytes_text

_EXTRAS = {  # extra → a module that it brings, and its package
    "postgres": ("psycopg", "psycopg"),
    "s3": ("s3fs", "s3fs"),
    "dask": ("distributed", "distributed"),
    "keyring": ("keyring", "keyring"),
    "notebooks": ("sklearn", "scikit-learn"),
}
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("doctor")(doctor)
    app.command("gc")(gc)


def doctor(db: Db = None, as_json: Json = False) -> None:
    """Tell versions and settings, check database and stores, and say how to get what is missing.

    Exits with 1 if something is broken.
    """
    findings = [_nbflow(), *_settings_and_stores(db), *_executors(), *_extras()]
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
        _checked("artifacts", lambda: _artifacts(current.artifacts_of(db))),
        _checked("signing key", lambda: _key(current.home)),
    ]


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return what, True, check()
    except DatabaseMissingError as error:
        return what, None, str(error)
    except (NbflowError, OSError) as error:
        return what, False, str(error)


def _database(db: str | None) -> str:
    from nbflow.engine import stores
    from nbflow.storage import health, runs

    database = stores.database(db, create=False)
    found = health.examine(database)
    if found.damage is not None:
        raise DatabaseCorruptError(f"{database.url} is damaged: {found.damage}. Restore a copy, or start anew.")
    with database.read() as connection:
        count = runs.count(connection)
    return f"{database.url}, schema {found.schema}, {bytes_text(found.size)}, {count} runs"


def _artifacts(url: str) -> str:
    from nbflow.values.artifacts import open_store

    store = open_store(url, patience=0.0)
    store.check()
    found = store.names()
    told = f"{store.shown}, {len(found)} files, {bytes_text(sum(size for _, size, _ in found))}"
    if "://" in url:
        return told
    folder = next(folder for folder in (Path(url), *Path(url).absolute().parents) if folder.exists())
    return f"{told}, {bytes_text(shutil.disk_usage(folder).free)} free"


def _key(home: Path) -> str:
    from nbflow.values.signing import KEY_VARIABLE, load_key

    load_key(home)
    return f"from {KEY_VARIABLE}" if os.environ.get(KEY_VARIABLE) else f"in {home}"


def _executors() -> list[Finding]:
    """Those of other packages are loaded, as only that tells whether they can be."""
    from nbflow.executors import registry

    found: list[Finding] = [("executors", True, ", ".join(registry.BUILT_IN))]
    for point in entry_points(group=registry.GROUP):
        if point.name not in registry.BUILT_IN:
            try:
                point.load()
            except Exception as error:  # whatever another package may raise while it is imported
                told = f"{point.value} cannot be loaded: {type(error).__name__}: {error}. Install what it needs."
                found.append((f"executor {point.name}", False, told))
            else:
                found.append((f"executor {point.name}", True, point.value))
    return found


def _extras() -> list[Finding]:
    found: list[Finding] = []
    for extra, (module, package) in _EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            found.append((f"extra {extra}", None, f"not installed; get it: pip install 'nbflow[{extra}]'"))
        else:
            found.append((f"extra {extra}", True, f"{package} {version(package)}"))
    return found


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
    artifacts = f"{len(plan.artifacts)} artifacts ({bytes_text(plan.size)})"
    told = f"{len(plan.runs)} runs, {plan.expired} cache entries, {artifacts}"
    nothing = not (plan.runs or plan.expired or plan.artifacts)
    if not (dry_run or nothing or yes):
        if as_json or not sys.stdin.isatty():
            raise ConfigError(f"gc would remove {told}. Say --yes to do so, or --dry-run to look only.")
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
