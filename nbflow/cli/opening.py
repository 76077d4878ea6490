"""`nbflow open`: the executed notebook of a run, in Jupyter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from nbflow.cli.output import Db, RunId, note, writable

_FOLDER = "executed"  # in the project's .nbflow


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("open")(open_)


def open_(
    run_id: RunId,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write it.  \\[default: in .nbflow/executed]")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write it and print its path; open nothing.")] = False,
    db: Db = None,
) -> None:
    """Open the executed notebook of a run in JupyterLab: every output in its place, errors included.

    It is made of what the database holds, also of runs of earlier versions and of other machines.
    """
    from nbflow.client.run import find
    from nbflow.settings import project_folder

    run = find(run_id, db=db)
    if out is None:
        folder = project_folder() / ".nbflow" / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / f"{run.flow}-{run.id}.ipynb"
    path = run.save_notebook(writable(out, "--out"))
    program = shutil.which("jupyter-lab") or shutil.which("jupyter-notebook")
    if write or program is None:
        if not write:
            note("JupyterLab is not installed here; the notebook is written.")
        typer.echo(path)
        return
    note(f"opening {path}; end Jupyter with Ctrl-C")
    sys.exit(subprocess.run([program, str(path)], check=False).returncode)
