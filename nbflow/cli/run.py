"""`nbflow run` and `nbflow resume`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nbflow.cli.codes import FAILED, INTERRUPTED, STORAGE, exit_code
from nbflow.cli.output import Db, Json, console, note, print_json, state_text, writable
from nbflow.model.errors import ConfigError, RunNotFoundError
from nbflow.views.words import one_line, plain, seconds_text

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.views.progress import RunProgress

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Where to write the executed notebook.  \\[default: NAME.executed.ipynb]"
    ),
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="NAME", help="Where steps run: serial, threads, processes, or another that is installed."
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="How many steps run at a time.")]

_LONGEST_RESULT = 200  # characters


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("run")(run)
    app.command("resume")(resume)


def run(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="A notebook (analysis.ipynb), flow.yaml, module:flow or file.py:flow."),
    ],
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter; lists and dicts as JSON."),
    ] = None,
    executor: Executor = None,
    workers: Workers = None,
    db: Db = None,
    out: Out = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word to find the run by.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Hand it to the workers of the queue, print the run's id, and end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a notebook or a flow, and tell how it went.

    A notebook's cells run as steps, side by side where they do not need one another.

    The executed notebook is written beside it as NAME.executed.ipynb, or to --out; also if a step fails.

    nbflow run analysis.ipynb -p rate=0.1 --out report.ipynb

    nbflow run flows.py:training -p url=data.csv -p 'rates=[0.1, 0.01]' --executor processes

    nbflow run training.yaml -p source=data.csv

    nbflow run flows.py:training --detach

    Exits with 0 if it succeeded, 1 if it failed.
    """
    from nbflow.cli import parameters as texts
    from nbflow.cli import targets

    flow = targets.find(target)
    if detach:
        _check_detached(executor, out)
    notebook = None if detach else _notebook_path(target if flow.spec.kind == "notebook" else None, out)
    given = texts.parameters(flow, parameters or [])
    options: dict[str, Any] = {"executor": executor, "workers": workers, "db": db, "tags": tags or []}
    chosen = {name: value for name, value in options.items() if value}
    if detach:
        _tell_detached(flow.submit(**given, **chosen | {"executor": "queue"}), db, as_json=as_json)
        return
    _execute(lambda listeners: flow.run(**given, **chosen, listeners=listeners), notebook, db, as_json=as_json)


def resume(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN", help='A run ("last", or how its id begins), or a deployment that is paused.')
    ],
    target: Annotated[
        str | None, typer.Option("--flow", metavar="TARGET", help="Where the flow's code is now, if it has moved.")
    ] = None,
    executor: Executor = None,
    workers: Workers = None,
    db: Db = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Go on with a run where it stopped: after a failure, an interruption, or the death of its process.

    Finished steps are kept as long as their code and inputs are the same; the others run, with the code as it is now.

    Exits with 0 if it succeeded, 1 if it failed again.

    A deployment that is paused goes on with the next time of its schedule.
    """
    from nbflow.cli import promote, targets
    from nbflow.client.run import find

    try:
        found = find(run_id, db=db)
    except RunNotFoundError:
        if not promote.go_on(run_id, db):
            raise
        return
    sys.path.append(found.record.cwd)  # where its modules were found, if it was started in another folder
    spec = targets.find(target).spec if target else None
    notebook = _notebook_path(found.notebook, out)
    options = {name: value for name, value in (("executor", executor), ("workers", workers)) if value}
    _execute(lambda listeners: found.resume(spec=spec, listeners=listeners, **options), notebook, db, as_json=as_json)


def _check_detached(executor: str | None, out: Path | None) -> None:
    if executor not in (None, "queue"):
        raise ConfigError(f"--detach hands the run to the workers of the queue; --executor {executor} cannot do that.")
    if out is not None:
        raise ConfigError("--detach does not wait for the notebook; have it written later: nbflow show RUN --out FILE")


def _tell_detached(run: Run, db: str | None, *, as_json: bool) -> None:
    from nbflow.engine import stores
    from nbflow.queue.overview import overview

    if as_json:
        print_json({"run": run.id, "flow": run.flow, "state": str(run.state)})
    else:
        console().print(run.id, markup=False, highlight=False)
    if not overview(stores.database(db), time.time())["workers"]:
        note("no worker is running; start one: nbflow worker")


def _notebook_path(source: str | None, out: Path | None) -> Path | None:
    """Where the executed notebook goes. Asked before the run, which may take hours."""
    if source is None:
        if out is not None:
            raise ConfigError("--out is for notebooks; the result of a function is kept with its run.")
        return None
    beside = Path(source).with_name(f"{Path(source).stem}.executed.ipynb")
    return writable(out or beside, "--out")


def _execute(start: Callable[[Any], Run], notebook: Path | None, db: str | None, *, as_json: bool) -> None:
    """Run with progress shown, write the executed notebook and tell what came of it."""
    began = time.monotonic()
    with _shown(quiet=as_json, echo=notebook is None and not as_json) as progress:
        try:
            finished = start((progress,))
        except KeyboardInterrupt:
            progress.__exit__(None, None, None)
            _interrupted(progress.run, notebook, db)
    seconds = time.monotonic() - began
    written = finished.save_notebook(notebook) if notebook is not None else None
    if as_json:
        _tell_script(finished, written, seconds)
    else:
        _tell_people(finished, written, seconds)
    error = finished.error
    if error is not None:
        sys.exit(STORAGE if exit_code(error) == STORAGE else FAILED)


@contextmanager
def _shown(*, quiet: bool, echo: bool) -> Iterator[RunProgress]:
    """Progress for people; for scripts nothing but the result goes to stdout. Outputs of cells go to the notebook."""
    from rich.console import Console

    from nbflow.settings import configure
    from nbflow.views.progress import RunProgress

    if not echo:
        configure(echo=False)
    progress = RunProgress(Console(quiet=True) if quiet else console())
    if quiet:
        with redirect_stdout(sys.stderr):
            yield progress
    else:
        with progress:
            yield progress


def _interrupted(run_id: str | None, notebook: Path | None, db: str | None) -> NoReturn:
    from nbflow.client.run import Run

    if run_id is None:
        note("interrupted before the run began.")
    else:
        if notebook is not None:
            Run(run_id, db=db).save_notebook(notebook)
        note(f"interrupted. What is finished is kept; go on with: nbflow resume {run_id}")
    sys.exit(INTERRUPTED)


def _tell_script(run: Run, notebook: Path | None, seconds: float) -> None:
    record, value = run.record, None
    if notebook is None and run.error is None:
        value = run.result()
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        value = one_line(repr(value), _LONGEST_RESULT)
    print_json(
        {
            "run": record.id,
            "flow": record.flow,
            "state": record.state,
            "seconds": round(seconds, 3),
            "tasks": _counts(run),
            "error": f"{record.error_type}: {record.error_message}" if record.error_type else None,
            "result": value,
            "notebook": str(notebook) if notebook else None,
        }
    )


def _tell_people(run: Run, notebook: Path | None, seconds: float) -> None:
    screen, record = console(), run.record
    counts = ", ".join(f"{count} {state}" for state, count in _counts(run).items())
    told = f"run {record.id} of {plain(record.flow)} in {seconds_text(seconds)}" + (f" ({counts})" if counts else "")
    screen.print(state_text(record.state), told, markup=False)
    if notebook is not None:
        screen.print(f"  notebook: {notebook}", markup=False)
    elif run.error is None and (value := run.result()) is not None:
        screen.print(f"  result: {one_line(repr(value), _LONGEST_RESULT)}", markup=False)
    if run.error is not None:
        screen.print(f"\n{plain(run.explanation())}\n", markup=False)
        screen.print(f"  look:  nbflow show {record.id}\n  go on: nbflow resume {record.id}")


def _counts(run: Run) -> dict[str, int]:
    return dict(Counter(str(task.state) for task in run.tasks() if task.record.kind != "record").most_common())
