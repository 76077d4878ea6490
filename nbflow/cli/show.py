"""`nbflow runs`, `show`, `logs` and `graph`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from nbflow.cli.output import Db, Json, console, plain, print_json, seconds_text, state_text, time_text

RunId = Annotated[str, typer.Argument(metavar="RUN", help='Id of the run, the beginning of one, or "last".')]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("runs")(runs)
    app.command("show")(show)
    app.command("logs")(logs)
    app.command("graph")(graph)


def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    flow: Annotated[str | None, typer.Option("--flow", help="Only runs of this flow.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only runs in this state.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """List the latest runs."""
    from nbflow.client.run import runs as latest

    found = latest(limit=limit, flow=flow, state=state, db=db)
    if as_json:
        print_json([_run_json(run) for run in found])
        return
    if not found:
        console().print("No runs yet. Start one: nbflow run notebook.ipynb")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "flow", "state", "started", "took", "parameters"):
        table.add_column(heading, no_wrap=heading in ("run", "state", "started", "took"))
    for run in found:
        record = run.record
        took = record.finished_at - record.started_at if record.finished_at and record.started_at else None
        table.add_row(
            record.id, Text(plain(record.flow)), _run_state(run), time_text(record.started_at), seconds_text(took),
            Text(plain(_short_parameters(record.parameters))),
        )  # fmt: skip
    console().print(table)


def show(run_id: RunId, db: Db = None, as_json: Json = False) -> None:
    """Tell what became of a run: its tasks, how long they took, and what went wrong."""
    from nbflow.client.run import find

    run = find(run_id, db=db)
    tasks = [task for task in run.tasks() if task.record.kind != "record"]
    if as_json:
        print_json({**_run_json(run), "tasks": [_task_json(task) for task in tasks], "events": run.events()})
        return
    screen = console()
    record = run.record
    screen.print(_run_state(run), f"run {record.id} of {plain(record.flow)} on {record.executor}")
    given = plain(_short_parameters(record.parameters)) or "none"
    screen.print(f"  started {time_text(record.started_at)}   parameters: {given}", markup=False)
    screen.print(_task_table(run, tasks))
    for task in tasks:
        trace = task.traceback
        if trace:
            screen.print(f"\n{task.key}", style="bold", markup=False)
            screen.print(plain(trace.rstrip()), markup=False)
    for event in run.events():
        screen.print(f"{event['kind']}: {plain(str(event['data']))}", markup=False)
    if run.interrupted:
        screen.print(f"\nIts process has ended before the run did. Go on: nbflow resume {run.id}")


def logs(
    run_id: RunId,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="A step's name or a task's key.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is finished.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Print what the tasks of a run wrote."""
    from nbflow.client.run import find

    run = find(run_id, db=db)
    names = {item.record.seq: item.key for item in run.tasks()}
    wanted = {seq for seq, key in names.items() if task in (None, key, key.rpartition("/")[2].partition("#")[0])}
    if task is not None and not wanted:
        run[task]  # raises, and names those that there are
    printed = 0
    while True:
        ended = run.state.finished or run.interrupted
        records = [record for record in run.logs() if record.seq in wanted]
        for record in records[printed:]:
            _print_log(record, names, as_json=as_json, prefix=task is None)
        printed = len(records)
        if not follow or ended:
            return
        time.sleep(0.2)


def graph(
    target: Annotated[str, typer.Argument(metavar="RUN|TARGET", help="A run, or a notebook or flow before any run.")],
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write a picture instead of text.")] = None,
    db: Db = None,
) -> None:
    """Draw a run's tasks, or a notebook's or flow's steps before any run."""
    from nbflow.cli import targets
    from nbflow.client.run import find

    known = target.endswith(".ipynb") or ":" in target
    picture: Any = targets.find(target).graph() if known else find(target, db=db).graph()
    if svg is not None:
        svg.write_text(picture.svg(), encoding="utf-8")
        console().print(f"written: {svg}")
    else:
        typer.echo(picture.text())


def _run_state(run: Any) -> Text:
    return Text("! interrupted", style="yellow") if run.interrupted else state_text(str(run.state))


def _task_table(run: Any, tasks: list[Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "state", "tries", "took", "worker", "error"):
        table.add_column(heading, no_wrap=heading != "error")
    workers = {attempt.seq: attempt.worker or "" for attempt in run.attempts()}
    for task in tasks:
        record = task.record
        error = f"{record.error_type}: {record.error_message}" if record.error_type else ""
        indent = "  " * record.key.count("/")
        state = state_text(record.state)
        if record.cached_from:
            state.append(" (cached)")
        name = Text(indent + plain(record.key.rpartition("/")[2]))
        worker = Text(plain(workers.get(record.seq, "")))
        table.add_row(name, state, str(record.attempts), seconds_text(task.duration), worker, Text(plain(error)))
    return table


def _print_log(record: Any, names: dict[int, str], *, as_json: bool, prefix: bool) -> None:
    key = names.get(record.seq, "")
    if as_json:
        fields = {"task": key, "attempt": record.attempt, "time": record.time, "stream": record.stream}
        typer.echo(json.dumps({**fields, "text": record.text}))
    elif record.stream in ("stdout", "stderr"):
        lines = plain(record.text).splitlines()
        typer.echo("\n".join(f"{key} | {line}" if prefix else line for line in lines))
    elif record.stream in ("display", "result"):
        shown = json.loads(record.text).get("data", {}).get("text/plain", "")
        typer.echo(f"{key} | {plain(str(shown))}" if prefix else plain(str(shown)))


def _run_json(run: Any) -> dict[str, Any]:
    record = run.record
    return {
        "run": record.id,
        "flow": record.flow,
        "state": record.state,
        "interrupted": run.interrupted,
        "executor": record.executor,
        "parameters": json.loads(record.parameters),
        "tags": json.loads(record.tags),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "error": f"{record.error_type}: {record.error_message}" if record.error_type else None,
    }


def _task_json(task: Any) -> dict[str, Any]:
    record = task.record
    names = ("seq", "key", "name", "kind", "state", "attempts", "started_at", "finished_at", "error_type",
             "error_message", "cached_from", "progress")  # fmt: skip
    return {**{name: getattr(record, name) for name in names}, "upstream": json.loads(record.upstream)}


def _short_parameters(text: str) -> str:
    return ", ".join(f"{name}={value}" for name, value in json.loads(text).items())
