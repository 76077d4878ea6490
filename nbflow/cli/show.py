"""`nbflow runs`, `show`, `graph` and `gantt`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from nbflow.cli.output import Db, Json, RunId, console, print_json, state_text, table, time_text, writable
from nbflow.model.errors import ConfigError, DatabaseMissingError, JobNotFoundError, RunNotFoundError
from nbflow.model.states import State
from nbflow.views.words import one_line, plain, seconds_text

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.client.task import Task

_MANY = 12  # tasks of a step of which those that succeeded are shown in one row
_MOST_ERRORS = 5  # tracebacks shown


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("runs")(runs)
    app.command("show")(show)
    app.command("graph")(graph)
    app.command("gantt")(gantt)


def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    flow: Annotated[str | None, typer.Option("--flow", metavar="NAME", help="Only runs of this flow.")] = None,
    state: Annotated[State | None, typer.Option("--state", help="Only runs in this state.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """List the latest runs.

    "interrupted" is a run whose process has ended before the run did: `nbflow resume RUN` goes on with it.
    """
    from nbflow.client.run import runs as latest

    try:
        found = latest(limit=limit, flow=flow, state=state.value if state else None, db=db)
    except DatabaseMissingError:
        if db is not None:
            raise
        found = []
    if as_json:
        print_json([_run_json(run) for run in found])
    elif not found:
        asked = flow is not None or state is not None
        console().print("No such runs." if asked else "No runs yet. Start one: nbflow run notebook.ipynb")
    else:
        console().print(_runs_table(found))


def show(
    run_id: RunId,
    every: Annotated[bool, typer.Option("--all", help="Every task and traceback, however many.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the notebook as far as it was executed.")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell what became of a run: its tasks, how long they took, and what went wrong.

    Sub-flows' tasks stand indented under them. Tracebacks are trimmed to your own code.
    """
    from nbflow.client.run import find

    try:
        run = find(run_id, db=db)
    except RunNotFoundError as error:
        _show_waiting(run_id, db, error, as_json=as_json)
        return
    if out is not None:
        run.save_notebook(writable(out, "--out"))
    tasks = [task for task in run.tasks() if task.record.kind != "record"]
    if as_json:
        print_json({**_run_json(run), "tasks": [_task_json(task) for task in tasks], "events": run.events()})
        return
    screen, record = console(), run.record
    screen.print(_run_state(run), f"run {record.id} of {plain(record.flow)} on {record.executor}, "
                 f"{seconds_text(_seconds(record))}", markup=False)  # fmt: skip
    screen.print(f"  started {time_text(record.started_at)}", markup=False)
    if record.deployment is not None:
        screen.print(f"  {_cause(record.id, db)}", markup=False)
    for name, values in (("parameters", _parameters(record)), ("tags", ", ".join(json.loads(record.tags)))):
        if values:
            screen.print(f"  {name} {one_line(values)}", markup=False)
    if tasks:
        screen.print(_tasks_table(run, tasks, every=every))
    _print_errors(run, tasks, every=every)
    for line in _told(run.events()):
        screen.print(f"\n{line}", markup=False)
    if run.interrupted:
        screen.print(f"\nIts process has ended before the run did. Go on: nbflow resume {run.id}")
    elif record.error_type is not None:
        screen.print(f"\nGo on: nbflow resume {run.id}")


def _show_waiting(run_id: str, db: str | None, error: RunNotFoundError, *, as_json: bool) -> None:
    """Tell of a run that waits on the queue to be begun. Raises `error` if there is none."""
    from nbflow.client.queue_client import QueueClient
    from nbflow.model.names import run_job

    with QueueClient(db) as client:
        try:
            job = client.job(run_id if run_id.startswith(run_job("")) else run_job(run_id)).record
        except JobNotFoundError:
            raise error from None
    if as_json:
        print_json({"run": job.run, "flow": job.name, "state": job.state, "tasks": [], "events": []})
        return
    console().print(f"run {job.run} of {plain(job.name)} has not begun: its job is {job.state}", markup=False)
    console().print(f"\nWhy: nbflow why {job.id}", markup=False)


def _cause(run: str, db: str | None) -> str:
    """Which deployment started a run, and why."""
    from nbflow.deploying.causes import started_by

    cause = started_by(run, db=db)
    why = {"manual": "by hand", "schedule": "by its schedule"}.get(cause.kind, f"by its trigger {cause.trigger}")
    meant = f", for {cause.logical_time.astimezone():%Y-%m-%d %H:%M:%S}" if cause.logical_time is not None else ""
    return plain(f"version {cause.version} of deployment {cause.deployment}, started {why}{meant}")


def graph(
    target: Annotated[str, typer.Argument(metavar="RUN|TARGET", help="A run, or a notebook or flow before any run.")],
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write a picture, for light and dark ground.")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Draw a run's tasks, or a notebook's or flow's steps before any run.

    nbflow graph last

    nbflow graph analysis.ipynb --svg plan.svg
    """
    from nbflow.cli import targets
    from nbflow.client.run import find

    named = target.endswith((".ipynb", ".py", ".yaml", ".yml")) or ":" in target
    picture = targets.find(target).graph() if named else find(target, db=db).graph()
    if svg is not None:
        try:
            writable(svg, "--svg").write_text(picture.svg(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{svg} cannot be written: {error}.") from error
        console().print(f"written: {svg}", markup=False)
    elif as_json:
        print_json([dataclasses.asdict(node) for node in picture.nodes])
    else:
        typer.echo(picture.text())


def gantt(
    run_id: RunId,
    lanes: Annotated[
        str, typer.Option("--lanes", metavar="BY", help="Lanes by worker, queue, step, flow, run or task.")
    ] = "worker",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it as .svg, .html, .png or .json (for ui.perfetto.dev)."),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Draw the attempts of a run as bars over time.

    nbflow gantt last

    nbflow gantt last --lanes step --out run.svg
    """
    from nbflow.client.run import find

    chart = find(run_id, db=db).gantt(lanes=lanes)
    if out is not None:
        try:
            chart.save(writable(out, "--out"))
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error}.") from error
        console().print(f"written: {out}", markup=False)
    elif as_json:
        typer.echo(chart.bars.to_json(orient="records"))
    else:
        typer.echo(chart.to_text())


def _runs_table(found: list[Run]) -> Table:
    rows: list[list[Text]] = []
    for run in found:
        record = run.record
        texts = (time_text(record.started_at), seconds_text(_seconds(record)), one_line(_parameters(record)))
        rows.append([Text(record.id), Text(one_line(record.flow, 40)), _run_state(run), *map(Text, texts)])
    return table(("run", "flow", "state", "started", "took", "parameters"), rows)


def _run_state(run: Run) -> Text:
    return Text("! interrupted", style="yellow") if run.interrupted else state_text(str(run.state))


def _tasks_table(run: Run, tasks: list[Task], *, every: bool) -> Table:
    rows: list[list[Text]] = []
    workers = {attempt.seq: attempt.worker or "" for attempt in run.attempts()}
    children: dict[int | None, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: task.record.position):
        children.setdefault(task.record.parent, []).append(task)

    def add(parent: int | None, indent: str) -> None:
        succeeded: dict[str, list[Task]] = {}
        for task in children.get(parent, ()):
            if task.state is State.SUCCEEDED:
                succeeded.setdefault(task.name, []).append(task)
        for task in children.get(parent, ()):
            alike = succeeded.get(task.name, [])
            if every or len(alike) <= _MANY or task.state is not State.SUCCEEDED:
                rows.append(_task_row(task, indent, workers))
                add(task.record.seq, indent + "  ")
            elif alike[0] is task:
                rows.append(_folded_row(alike, indent))

    add(None, "")
    return table(("task", "state", "tries", "took", "worker", "error"), rows)


def _task_row(task: Task, indent: str, workers: dict[int, str]) -> list[Text]:
    record = task.record
    state = state_text(record.state)
    if record.cached_from:
        state.append(" (cached)")
    error = f"{record.error_type.rpartition('.')[2]}: {record.error_message}" if record.error_type else ""
    error = error or record.error_message or ""  # why its branch was not taken
    if record.cause is not None:
        error = f"needs what failed: {error}"
    name = Text(indent + one_line(record.key.rpartition("/")[2]))
    tries = str(record.attempts) if record.attempts else ""
    texts = (tries, seconds_text(task.duration), one_line(workers.get(record.seq, "")), one_line(error, 200))
    return [name, state, *map(Text, texts)]


def _folded_row(tasks: list[Task], indent: str) -> list[Text]:
    started = min((task.record.started_at for task in tasks if task.record.started_at is not None), default=None)
    ended = max((task.record.finished_at for task in tasks if task.record.finished_at is not None), default=None)
    took = seconds_text(ended - started) if started is not None and ended is not None else ""
    name = Text(f"{indent}{one_line(tasks[0].name)} \N{MULTIPLICATION SIGN}{len(tasks)}")
    return [name, state_text(State.SUCCEEDED), *map(Text, ("", took, "", ""))]


def _print_errors(run: Run, tasks: list[Task], *, every: bool) -> None:
    screen = console()
    failed = [task for task in tasks if task.record.error_type is not None and task.record.cause is None]
    own = [task for task in failed if task.record.kind != "flow"] or failed
    for task in own if every else own[:_MOST_ERRORS]:
        screen.print(Text(f"\n{one_line(task.key)}", style="bold"))
        screen.print(plain(task.traceback.rstrip()), markup=False)
    if len(own) > _MOST_ERRORS and not every:
        screen.print(f"\n… and {len(own) - _MOST_ERRORS} more that failed: nbflow show {run.id} --all")
    if not own and run.record.error_type is not None:
        screen.print(f"\n{plain(run.explanation())}", markup=False)


def _told(events: list[dict[str, Any]]) -> list[str]:
    """What else happened, in sentences."""
    ignored = [event["data"]["key"] for event in events if event["kind"] == "ignored_error"]
    lines = [one_line(str(event["data"].get("message", ""))) for event in events if event["kind"] != "ignored_error"]
    if ignored:
        more = f" and {len(ignored) - _MOST_ERRORS} more" if len(ignored) > _MOST_ERRORS else ""
        lines.append(f"The flow did not look at the errors of {', '.join(ignored[:_MOST_ERRORS])}{more}.")
    return [line for line in lines if line]


def _run_json(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "run": record.id,
        "flow": record.flow,
        "state": record.state,
        "interrupted": run.interrupted,
        "executor": record.executor,
        "deployment": record.deployment,
        "version": record.deployment_version,
        "logical_time": record.logical_time,
        "parameters": json.loads(record.parameters),
        "tags": json.loads(record.tags),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "seconds": _seconds(record),
        "error": f"{record.error_type}: {record.error_message}" if record.error_type else None,
    }


def _task_json(task: Task) -> dict[str, Any]:
    record = task.record
    names = ("seq", "key", "name", "kind", "state", "parent", "attempts", "started_at", "finished_at", "error_type",
             "error_message", "cause", "cached_from", "progress")  # fmt: skip
    return {**{name: getattr(record, name) for name in names}, "upstream": json.loads(record.upstream)}


def _seconds(record: Any) -> float | None:
    return record.finished_at - record.started_at if record.finished_at and record.started_at else None


def _parameters(record: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in json.loads(record.parameters).items())
