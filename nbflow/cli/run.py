"""`nbflow run` and `nbflow resume`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nbflow.cli.output import Db, Json, console, plain, print_json, seconds_text, state_text

Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write the executed notebook.")]
Executor = Annotated[str | None, typer.Option("--executor", metavar="NAME", help="serial, threads, processes, ...")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="How many steps at once; default: the cores.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("run")(run)
    app.command("resume")(resume)


def run(
    target: Annotated[str, typer.Argument(help="A notebook (analysis.ipynb), module:flow or file.py:flow.")],
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter of the flow.")
    ] = None,
    executor: Executor = None,
    workers: Workers = None,
    db: Db = None,
    out: Out = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word to find the run by.")] = None,
    as_json: Json = False,
) -> None:
    """Run a notebook or a flow, and tell how it went.

    A notebook's cells run as steps, side by side where they do not need one another; the executed notebook is written
    beside it as NAME.executed.ipynb, or to --out.
    """
    from nbflow.cli import targets

    flow = targets.find(target)
    given = targets.parameters(flow, parameters or [])
    options: dict[str, Any] = {"executor": executor, "workers": workers, "db": db, "tags": tags or []}
    with _progress(quiet=as_json) as listeners:
        finished = flow.run(**given, **{key: value for key, value in options.items() if value}, listeners=listeners)
    _conclude(finished, _notebook_path(target, out), as_json=as_json)


def resume(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help='Id of the run, the beginning of one, or "last".')],
    target: Annotated[
        str | None, typer.Option("--flow", metavar="TARGET", help="Where the flow's code is, if it has moved.")
    ] = None,
    executor: Executor = None,
    workers: Workers = None,
    db: Db = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Go on with a run where it stopped.

    Finished steps are kept as long as their code and inputs are the same; the others run, with the code as it is now.
    """
    from nbflow.cli import targets
    from nbflow.client.run import find

    found = find(run_id, db=db)
    spec = targets.find(target).spec if target else None
    options = {key: value for key, value in (("executor", executor), ("workers", workers)) if value}
    with _progress(quiet=as_json) as listeners:
        finished = found.resume(spec=spec, listeners=listeners, **options)
    _conclude(finished, _notebook_path(finished.notebook or "", out), as_json=as_json)


def _progress(*, quiet: bool) -> Any:
    from nbflow.views.progress import RunProgress

    return RunProgress.silent() if quiet else RunProgress(console())


def _notebook_path(target: str, out: Path | None) -> Path | None:
    if not target.endswith(".ipynb"):
        return out
    source = Path(target)
    return out or source.with_name(f"{source.stem}.executed.ipynb")


def _conclude(finished: Any, notebook: Path | None, *, as_json: bool) -> None:
    written = finished.save_notebook(notebook) if notebook is not None else None
    error = finished.error
    record = finished.record
    seconds = record.finished_at - record.started_at if record.finished_at and record.started_at else None
    if as_json:
        print_json(
            {
                "run": finished.id,
                "flow": record.flow,
                "state": str(finished.state),
                "seconds": seconds,
                "error": f"{record.error_type}: {record.error_message}" if record.error_type else None,
                "notebook": str(written) if written else None,
            }
        )
    else:
        screen = console()
        screen.print(
            state_text(str(finished.state)), f"run {finished.id} of {plain(record.flow)}, {seconds_text(seconds)}"
        )
        if written:
            screen.print(f"  notebook: {written}")
        if error is not None:
            screen.print(plain(finished.explanation()), markup=False)
            screen.print(f"  look:  nbflow show {finished.id}\n  go on: nbflow resume {finished.id}")
    if error is not None:
        sys.exit(1)
