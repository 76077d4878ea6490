"""`nbflow scheduler`, `nbflow schedules` and `nbflow schedule`."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.output import Db, Json, console, print_json, table, time_text
from nbflow.cli.queue import broker
from nbflow.model.errors import ConfigError, ScheduleError
from nbflow.views.words import one_line

if TYPE_CHECKING:
    from nbflow.model.jobs import ScheduleRecord
    from nbflow.queue.schedule import Firing, Schedule

Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Name of the schedule.")]
OneQueue = Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME", help="Only those of this queue.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")]

_STYLE = {"enqueued": "green", "skipped": "yellow", "missed": "yellow", "refused": "red"}

commands = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Steer a schedule, look into it.")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("scheduler")(scheduler)
    app.command("schedules")(schedules)
    for command in (pause, resume, trigger, backfill, remove, history):
        commands.command(command.__name__)(command)
    commands.command("next")(next_)
    app.add_typer(commands, name="schedule")


def scheduler(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more than what goes wrong.")] = False,
    db: Db = None,
) -> None:
    """Put the jobs of schedules on their queues when they are due, and watch for triggers, until it is told to stop.

    Start as many as you like, on as many machines as reach the database: each time of a schedule fires once, whoever
    of them dies when. A line tells when it is ready; what goes wrong is logged to standard error.

    Schedules are made in Python: Queue("reports").schedule("0 6 * * MON", function). Workers run their jobs.
    """
    from nbflow import settings
    from nbflow.deploying.watching import watching
    from nbflow.queue.scheduler import serve
    from nbflow.storage import opened
    from nbflow.values.project import value_store

    log = logging.getLogger("nbflow")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.propagate = False
    database = opened.database(db)
    values = value_store(settings.current(), database.url)
    with watching(database, values):
        count = serve(database, values, ready=lambda: typer.echo(f"scheduler is ready: {database.url}"))
    log.info("The scheduler has ended after %d jobs.", count)


def schedules(queue: OneQueue = None, db: Db = None, as_json: Json = False) -> None:
    """List the schedules: when they are due, and when next."""
    from nbflow.storage import schedules as stored

    with broker(db).database.read() as connection:
        records = stored.listed(connection, queue)
    if as_json:
        print_json([_json(record) for record in records])
    elif records:
        console().print(_table(records))
        for record in records:
            if record.error is not None:
                console().print(Text(f"{record.name} was paused: {one_line(record.error, 500)}", "red"))
    else:
        typer.echo('No schedules. Make one: Queue().schedule("0 6 * * MON", function)')


def pause(name: Name, db: Db = None) -> None:
    """Fire nothing more of a schedule until it is resumed."""
    _schedule(name, db).pause()
    typer.echo(f"Schedule {name} is paused. Go on with: nbflow schedule resume {name}")


def resume(name: Name, db: Db = None) -> None:
    """Go on with a schedule that was paused. Times of the meantime are not caught up with; see `backfill`."""
    schedule = _schedule(name, db)
    schedule.resume()
    at = schedule.next_at
    typer.echo(f"Schedule {name} goes on{f' at {at}' if at is not None else ', but has no time to come'}.")


def trigger(
    name: Name,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The time that the job is told.  \\[default: now]")
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Put the job of a schedule on its queue now, as if it were due."""
    job = _schedule(name, db).trigger(_time(at) if at is not None else None)
    if as_json:
        print_json({"schedule": name, "job": job.id})
    else:
        typer.echo(f"Enqueued job {job.id}. See what becomes of it: nbflow job {job.id}")


def backfill(
    name: Name,
    first: Annotated[str, typer.Argument(metavar="FIRST", help="From this time on: 2026-01-31 or 2026-01-31T06:00.")],
    last: Annotated[str, typer.Argument(metavar="LAST", help="Up to this time, itself included.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Enqueue the jobs of all past times from FIRST to LAST that have had none. Done again, it does nothing twice."""
    jobs = _schedule(name, db).backfill(_time(first), _time(last))
    if as_json:
        print_json({"schedule": name, "jobs": [job.id for job in jobs]})
    else:
        typer.echo(f"Enqueued {len(jobs)} jobs.")


def next_(name: Name, limit: Limit = 10, db: Db = None, as_json: Json = False) -> None:
    """Tell the next times of a schedule, in its zone."""
    times = _schedule(name, db).next(limit)
    if as_json:
        print_json([at.isoformat() for at in times])
    for at in times if not as_json else ():
        typer.echo(f"{at:%a %Y-%m-%d %H:%M:%S %Z}")


def history(name: Name, limit: Limit = 20, db: Db = None, as_json: Json = False) -> None:
    """Tell what became of the times of a schedule, the latest first."""
    found = _schedule(name, db).history(limit)
    if as_json:
        print_json([_firing_json(each) for each in found])
    elif found:
        rows = [
            [Text(_span(each)), Text(each.outcome, _STYLE.get(each.outcome, "")), Text(each.job.id if each.job else ""),
             Text(time_text(each.fired_at.timestamp()))]
            for each in found
        ]  # fmt: skip
        console().print(table(("time meant", "became", "job", "dealt with"), rows))
    else:
        typer.echo(f"Schedule {name} has not been due yet.")


def remove(name: Name, db: Db = None) -> None:
    """Forget a schedule and its history. Jobs that it has enqueued stay."""
    _schedule(name, db).remove()
    typer.echo(f"Schedule {name} is removed.")


def _schedule(name: str, db: str | None) -> Schedule:
    from nbflow.queue.schedule import Schedule

    return Schedule(name, broker=broker(db))


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time; write 2026-01-31 or 2026-01-31T06:00.") from None


def _table(records: list[ScheduleRecord]) -> Any:
    rows = []
    for record in records:
        state = "broken" if record.error is not None else "paused" if record.paused else "on"
        style = {"broken": "red", "paused": "yellow", "on": "green"}[state]
        texts = (record.target, record.queue, _when(record), _local(record.next_at, record) if state == "on" else "",
                 _local(record.last_at, record))  # fmt: skip
        rows.append([Text(record.name), Text(state, style), *[Text(one_line(text)) for text in texts]])
    return table(("schedule", "state", "function", "queue", "when", "next", "last"), rows)


def _when(record: ScheduleRecord) -> str:
    from nbflow.queue.firing import timetable

    try:
        return timetable(record).describe()
    except ScheduleError:
        return record.expression


def _local(at: float | None, record: ScheduleRecord) -> str:
    from nbflow.queue import zones

    if at is None:
        return ""
    try:
        return f"{zones.in_zone(at, record.zone):%Y-%m-%d %H:%M:%S}"
    except ScheduleError:
        return time_text(at)


def _span(each: Firing) -> str:
    last = f"{each.logical_time:%Y-%m-%d %H:%M:%S %Z}"
    return f"{each.since:%Y-%m-%d %H:%M:%S} to {last}" if each.since is not None else last


def _json(record: ScheduleRecord) -> dict[str, Any]:
    hidden = ("payload", "options", "revision")
    found = {name: value for name, value in record._asdict().items() if name not in hidden}
    return found | {"paused": bool(record.paused), "when": _when(record)}


def _firing_json(each: Firing) -> dict[str, Any]:
    return {
        "logical_time": each.logical_time.isoformat(),
        "outcome": each.outcome,
        "job": each.job.id if each.job is not None else None,
        "since": each.since.isoformat() if each.since is not None else None,
        "fired_at": each.fired_at.isoformat(),
    }
