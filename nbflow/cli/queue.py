"""`nbflow info`, `nbflow purge` and `nbflow queue`."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.output import Db, Json, console, note, print_json, state_text, table, time_text
from nbflow.model.errors import ConfigError
from nbflow.views.words import one_line

if TYPE_CHECKING:
    from nbflow.model.jobs import JobRecord
    from nbflow.queue.broker import Broker

Name = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]

_LOOK = 1.0  # seconds after which a waiting command looks without being told
_STYLE = {"open": "green", "paused": "yellow", "draining": "yellow"}

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Make queues, steer them, look into them.")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("info")(info)
    app.command("purge")(purge)
    commands.command("create")(create)
    commands.command("pause")(pause)
    commands.command("resume")(resume)
    commands.command("drain")(drain)
    commands.command("list")(list_)
    app.add_typer(commands, name="queue")


def broker(db: str | None) -> Broker:
    """The jobs of the database, which has to exist."""
    from nbflow.queue.broker import Broker

    return Broker.of(db, create=False)


def info(db: Db = None, as_json: Json = False) -> None:
    """Tell what waits in each queue, and which workers are connected.

    JSON, unless it is read on a terminal. Of each queue: "pending" could be run now, "pending_eta" waits for its time,
    "waiting" for other jobs or for a limit, "failed" are the dead letters, which `nbflow retry --failed` brings back.
    """
    from nbflow.queue.overview import overview

    found = overview(broker(db).database, time.time())
    if as_json or not sys.stdout.isatty():
        print_json(found)
        return
    screen = console()
    screen.print(_queues_table(found["queues"]))
    screen.print()
    if found["workers"]:
        screen.print(_workers_table(found["workers"]))
    else:
        screen.print("No workers are connected. Start one: nbflow worker")


def purge(name: Name, db: Db = None, as_json: Json = False) -> None:
    """Remove the jobs that wait in a queue, delayed ones too. Those that run go on."""
    from nbflow.queue import steering

    count = steering.purge(broker(db), name)
    if as_json:
        print_json({"queue": name, "purged": count})
    else:
        typer.echo(f"Removed {count} jobs from queue {name}.")


def create(
    name: Name,
    priority: Annotated[
        int | None,
        typer.Option("--priority", help="Lower numbers are served first; without one after all that have one."),
    ] = None,
    max_running: Annotated[
        int | None, typer.Option("--max-running", metavar="N", help="Jobs at a time, on all workers together.")
    ] = None,
    max_per_worker: Annotated[
        int | None, typer.Option("--max-per-worker", metavar="N", help="Jobs at a time on each worker.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="N/TIME", help="Most starts in any such time: 10/s, 100/m, 5/30s.")
    ] = None,
    ageing: Annotated[
        float | None,
        typer.Option(
            "--ageing", metavar="SECONDS", help="Waiting that counts as much as one step of a job's priority."
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="A job that takes longer is killed.")
    ] = None,
    soft_timeout: Annotated[
        float | None,
        typer.Option(
            "--soft-timeout", metavar="SECONDS", help="SoftTimeoutError is raised in a job that takes longer."
        ),
    ] = None,
    retries: Annotated[
        int | None, typer.Option("--retries", metavar="N", help="Further tries of a job that fails or times out.")
    ] = None,
    db: Db = None,
) -> None:
    """Make a queue, or change the one of this name to what is given.

    nbflow queue create reports --priority 1 --max-running 4 --rate 100/m

    The queue "default" needs not be made.
    """
    from nbflow.queue.queue import Queue

    defaults = {"timeout": timeout, "soft_timeout": soft_timeout, "retries": retries}
    Queue(name, db=db).create(
        priority=priority,
        max_running=max_running,
        max_per_worker=max_per_worker,
        rate=_rate(rate) if rate is not None else None,
        ageing=ageing,
        **defaults,
    )
    typer.echo(f"Queue {name} is there.")


def pause(name: Name, db: Db = None) -> None:
    """Hand out no more jobs of a queue. Those that run go on, and new ones may be enqueued."""
    from nbflow.queue import steering

    steering.set_flags(broker(db), name, paused=1)
    typer.echo(f"Queue {name} is paused. Go on with: nbflow queue resume {name}")


def resume(name: Name, db: Db = None) -> None:
    """Hand out and take the jobs of a queue again, after `pause` or `drain`."""
    from nbflow.queue import steering

    steering.set_flags(broker(db), name, paused=0, draining=0)
    typer.echo(f"Queue {name} is open.")


def drain(
    name: Name,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the queue is empty and nothing of it runs.")
    ] = False,
    db: Db = None,
) -> None:
    """Take no more jobs into a queue; what is in it is worked off."""
    from nbflow.queue import steering

    found = broker(db)
    steering.set_flags(found, name, draining=1)
    typer.echo(f"Queue {name} takes no more jobs. Open it again with: nbflow queue resume {name}")
    if wait:
        _wait_for_empty(found, name)
        typer.echo(f"Queue {name} is empty.")


def list_(
    name: Annotated[str | None, typer.Argument(metavar="[QUEUE]", help="Name of the queue.")] = None,
    before: Annotated[
        float | None,
        typer.Option("--before", metavar="SECONDS", help="Of the delayed jobs those due in so many seconds."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many of each kind.")] = 20,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """List the jobs that wait in a queue, in the order in which they will be served; without a name, the queues.

    Nothing is taken out. First those that could run now, then those that wait for a time, for other jobs or a limit.
    """
    from nbflow.queue.overview import overview
    from nbflow.storage import jobs

    found = broker(db)
    if name is None:
        queues = overview(found.database, time.time())["queues"]
        if as_json:
            print_json(queues)
        else:
            console().print(_queues_table(queues))
        return
    due = time.time() + before if before is not None else None
    _check_there(found, name)
    with found.database.read() as connection:
        records = jobs.waiting(connection, name, limit=limit)
        records += jobs.delayed(connection, name, before=due, limit=limit)
    if as_json:
        print_json([_waiting_json(record) for record in records])
    elif records:
        console().print(_waiting_table(records))
    else:
        typer.echo(f"Nothing waits in queue {name}.")


def _check_there(found: Broker, name: str) -> None:
    """Raise UnknownQueueError if there is no such queue."""
    from nbflow.queue.broker import DEFAULT, unknown_queue
    from nbflow.storage import queues

    with found.database.read() as connection:
        known = [queue.name for queue in queues.everything(connection)]
    if name not in (*known, DEFAULT):
        raise unknown_queue(name, known)


def _wait_for_empty(found: Broker, name: str) -> None:
    from nbflow.storage import bells, job_lists

    bell = bells.listen(found.database, bells.NEWS)
    told = -1
    try:
        while True:
            with found.database.read() as connection:
                left = job_lists.unfinished(connection, name)
            if left == 0:
                return
            if told < 0:
                note(f"{left} jobs are left.")
                told = left
            bells.wait(bell, _LOOK)
    finally:
        bell.close()


_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _rate(text: str) -> tuple[int, float]:
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--rate takes a number of starts and a time, such as 10/s, 100/m or 5/30s, not {text!r}.")
    return int(match[1]), float(match[2] or 1) * _UNITS[match[3]]


def _queues_table(queues: list[dict[str, Any]]) -> Any:
    names = ("priority", "pending", "pending_eta", "waiting", "running", "failed")
    rows = []
    for queue in queues:
        numbers = [Text("" if queue[name] is None else str(queue[name])) for name in names]
        limits = ", ".join(f"{key} {value:g}" for key, value in queue["limits"].items())
        rows.append([Text(queue["name"]), Text(queue["state"], _STYLE[queue["state"]]), *numbers, Text(limits)])
    return table(("queue", "state", "priority", "pending", "with eta", "waiting", "running", "failed", "limits"), rows)


def _workers_table(workers: list[dict[str, Any]]) -> Any:
    rows = []
    for worker in workers:
        served = ", ".join(worker["queues"]) or "all"
        if worker["excluded"]:
            served += f" but {', '.join(worker['excluded'])}"
        texts = (worker["id"], worker["state"], f"{worker['busy']} of {worker['concurrency']}", str(worker["done"]),
                 f"{worker['host']}, {worker['pid']}", time_text(worker["started_at"]), served)  # fmt: skip
        rows.append([Text(one_line(text)) for text in texts])
    return table(("worker", "state", "busy", "done", "process", "started", "queues"), rows)


def _waiting_table(records: list[JobRecord]) -> Any:
    rows = [
        [Text(record.id), Text(one_line(record.name, 40)), state_text(record.state), Text(str(record.priority)),
         Text(time_text(record.enqueued_at)), Text(_waits_for(record))]
        for record in records
    ]  # fmt: skip
    return table(("job", "function", "state", "priority", "enqueued", "waits for"), rows)


def _waits_for(record: JobRecord) -> str:
    if record.state == "ready":
        return "a worker"
    if record.waiting:
        return f"{record.waiting} jobs"
    return time_text(record.due_at) if record.due_at is not None else "a limit"


def _waiting_json(record: JobRecord) -> dict[str, Any]:
    names = ("id", "name", "queue", "state", "priority", "enqueued_at", "due_at", "expires_at", "waiting")
    return {name: getattr(record, name) for name in names}
