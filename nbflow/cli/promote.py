"""`nbflow promote` and the commands around deployments."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.output import Db, Json, console, note, print_json, table
from nbflow.model.errors import ConfigError, DeploymentError
from nbflow.views.words import one_line, plain

if TYPE_CHECKING:
    from nbflow.deploying.deployments import Deployment, Version

Name = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Name of the deployment.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter; lists and dicts as JSON."),
]
_VERDICT = {"passed": "green", "overridden": "yellow", "failed": "red", "none": "yellow"}


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (promote, deployments, versions, diff, rollback, pause, keep, trigger, backfill, undeploy):
        app.command(command.__name__)(command)
    app.command("next")(next_)


def promote(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A notebook (analysis.ipynb), module:flow or file.py:flow.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="Of the deployment.  \\[default: the flow's]")] = None,
    parameters: Parameters = None,
    cron: Annotated[str | None, typer.Option("--cron", metavar="EXPRESSION", help='For example "0 6 * * MON".')] = None,
    every: Annotated[str | None, typer.Option("--every", metavar="TIME", help="For example 15m or 2h.")] = None,
    monthly: Annotated[
        str | None, typer.Option("--monthly", metavar="DAY[@TIME]", help="For example 1, last or 15@06:00.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="For example Europe/Paris.")] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Not before.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Not after.")] = None,
    catchup: Annotated[
        str | None, typer.Option("--catchup", metavar="WHICH", help="Of times that were missed: none, latest or all.")
    ] = None,
    overlap: Annotated[
        str | None, typer.Option("--overlap", metavar="HOW", help="While an earlier run goes on: allow, skip or wait.")
    ] = None,
    misfire_grace: Annotated[
        float | None, typer.Option("--misfire-grace", metavar="SECONDS", help="After these a time is too late.")
    ] = None,
    executor: Annotated[str | None, typer.Option("--executor", metavar="NAME", help="Where steps run.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="How many steps run at a time.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME", help="Where its runs wait.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A word to find its runs by.")] = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Run it in an environment of its own, with the packages of today.")
    ] = False,
    requirements: Annotated[
        list[str] | None,
        typer.Option("--requirement", metavar="PACKAGE", help='A package in that environment, such as "pandas<3".'),
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Run it in a clean process first.")] = True,
    override: Annotated[
        str | None, typer.Option("--override", metavar="REASON", help="Why it counts although its check fails.")
    ] = None,
    message: Annotated[str | None, typer.Option("--note", "-m", help="What this version is about.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Make a notebook or a flow a deployment: a numbered version that workers run by a schedule, or when triggered.

    Before that it runs in a clean process, and has to show what the notebook showed when it was saved.

    nbflow promote analysis.ipynb --cron "0 6 * * MON" --tz Europe/Paris -p rate=0.1

    nbflow promote flows.py:training --every 15m

    Promoted again after a change, it gets its next version; nbflow diff NAME tells what changed. Its runs need
    nbflow up, or nbflow scheduler and nbflow worker.
    """
    from nbflow.cli import parameters as texts
    from nbflow.cli import targets
    from nbflow.deploying import promoting

    flow = targets.find(target)
    given = texts.parameters(flow, parameters or [])
    options = {
        "zone": zone, "start": _time(start), "end": _time(end), "catchup": catchup, "overlap": overlap,
        "misfire_grace": misfire_grace, "executor": executor, "workers": workers, "queue": queue,
        "tags": tuple(tags or ()), "isolated": isolated, "requirements": tuple(requirements or ()),
    }  # fmt: skip
    if check and not as_json:
        note(f"checking {target} in a clean process")
    made = promoting.promote(
        flow, name=name, parameters=given, cron=cron, every=every, monthly=_monthly(monthly), check=check,
        override=override, note=message, db=db, **{key: value for key, value in options.items() if value},
    )  # fmt: skip
    _tell(made, as_json=as_json)


def deployments(db: Db = None, as_json: Json = False) -> None:
    """List the deployments: their versions, when they are due, and how their last runs ended."""
    found = _all(db)
    if as_json:
        print_json([_json(deployment) for deployment in found])
    elif found:
        console().print(_table(found))
    else:
        typer.echo('No deployments. Make one: nbflow promote analysis.ipynb --cron "0 6 * * MON"')


def versions(name: Name, db: Db = None, as_json: Json = False) -> None:
    """List the versions of a deployment, and what came of their checks."""
    found = _deployment(name, db).versions()
    if as_json:
        print_json([_version_json(version) for version in found])
        return
    rows = [
        [Text(f"{version.number}{' (current)' if version.current else ''}", "bold" if version.current else ""),
         Text(f"{version.created_at.astimezone():%Y-%m-%d %H:%M}"), Text(version.verdict, _VERDICT[version.verdict]),
         Text(one_line(version.note or version.reason or ""))]
        for version in found
    ]  # fmt: skip
    console().print(table(("version", "made", "check", "note"), rows))


def diff(
    name: Name,
    old: Annotated[int | None, typer.Argument(metavar="OLD", help="A version.  \\[default: the one before]")] = None,
    new: Annotated[int | None, typer.Argument(metavar="NEW", help="A later one.  \\[default: the current]")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell what changed between two versions: by cell, by file, and by what flows between the steps."""
    deployment = _deployment(name, db)
    second = new if new is not None else deployment.version
    found = deployment.diff(old if old is not None else second - 1, second)
    if as_json:
        print_json({"old": found.old, "new": found.new, "changes": found.json()})
        return
    for line in found.text().splitlines():
        mark = line.strip()[:1]
        console().print(Text(plain(line), {"+": "green", "-": "red"}.get(mark, "" if line.startswith(" ") else "bold")))


def rollback(
    name: Name,
    to: Annotated[int | None, typer.Option("--to", metavar="VERSION", help="\\[default: the one before]")] = None,
    db: Db = None,
) -> None:
    """Have new runs of a deployment use an earlier version again. Runs that go on keep theirs."""
    number = _deployment(name, db).rollback(to)
    typer.echo(f"New runs of {name} use version {number}.")


def pause(name: Name, db: Db = None) -> None:
    """Let neither schedule nor triggers start a deployment until it is resumed: nbflow resume DEPLOYMENT."""
    _deployment(name, db).pause()
    typer.echo(f"{name} is paused. Go on with: nbflow resume {name}")


def keep(
    name: Name,
    runs: Annotated[int | None, typer.Option("--runs", metavar="N", help="Those that ended last, so many.")] = None,
    days: Annotated[float | None, typer.Option("--days", metavar="N", help="Those of so many days.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them again.")] = False,
    db: Db = None,
) -> None:
    """Tell, or set, which runs of a deployment are kept. The last one that succeeded always is.

    nbflow keep analysis --runs 100 --days 90

    The scheduler removes the others once an hour; nbflow gc removes the artifacts that nothing needs any more.
    """
    deployment = _deployment(name, db)
    if every and (runs is not None or days is not None):
        raise ConfigError("--all keeps every run; it goes with neither --runs nor --days.")
    if every or runs is not None or days is not None:
        deployment.keep(runs=runs, days=days)
    found = deployment.kept
    bounds = [f"the last {found['runs']:,}"] if "runs" in found else []
    bounds += [f"those of {found['days']:g} days"] if "days" in found else []
    typer.echo(f"Of the runs of {name}, {' and of these '.join(bounds) if bounds else 'all'} are kept.")


def go_on(name: str, db: str | None) -> bool:
    """Let a deployment that is paused go on, and tell so: `nbflow resume NAME`. False if there is none of that name."""
    deployment = _deployment(name, db)
    try:
        deployment.resume()
    except DeploymentError:
        if name in {each.name for each in _all(db)}:
            raise
        return False
    times = deployment.next(1)
    typer.echo(f"{name} goes on{f' at {times[0]:%a %Y-%m-%d %H:%M:%S %Z}' if times else ''}.")
    return True


def trigger(
    name: Name,
    parameters: Parameters = None,
    version: Annotated[int | None, typer.Option("--version", help="\\[default: the current]")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start a run of a deployment now."""
    from nbflow.cli.parameters import pairs

    job = _deployment(name, db).trigger(pairs(parameters or [], "-p"), version=version, texts=True)
    run = job.record.run
    if as_json:
        print_json({"deployment": name, "run": run})
    else:
        typer.echo(f"Run {run} is on the queue. See what becomes of it: nbflow show {run}")


def backfill(
    name: Name,
    first: Annotated[str, typer.Argument(metavar="FROM", help="From this time on: 2026-01-31 or 2026-01-31T06:00.")],
    last: Annotated[str, typer.Argument(metavar="TO", help="Up to this time, itself included.")],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Start runs for all past times of a schedule that have had none. Done again, it does nothing twice."""
    begin, end = _time(first), _time(last)
    assert begin is not None
    assert end is not None
    jobs = _deployment(name, db).backfill(begin, end)
    if as_json:
        print_json({"deployment": name, "runs": [job.id for job in jobs]})
    else:
        typer.echo(f"{len(jobs)} runs are on the queue.")


def next_(
    name: Name,
    limit: Annotated[int, typer.Argument(metavar="N", min=1, help="How many.")] = 5,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell the next times of a deployment, in the zone of its schedule."""
    times = _deployment(name, db).next(limit)
    if as_json:
        print_json([at.isoformat() for at in times])
    elif not times:
        typer.echo(f"{name} has no time to come.")
    for at in times if not as_json else ():
        typer.echo(f"{at:%a %Y-%m-%d %H:%M:%S %Z}")


def undeploy(
    name: Name,
    schedule: Annotated[bool, typer.Option("--schedule", help="Take away the schedule alone.")] = False,
    db: Db = None,
) -> None:
    """Forget a deployment with its versions and its schedule. Its runs stay."""
    deployment = _deployment(name, db)
    if schedule:
        deployment.unschedule()
        typer.echo(f"{name} has no schedule any more; it can still be triggered.")
    else:
        deployment.remove()
        typer.echo(f"{name} is removed. Its runs stay: nbflow runs")


# --- inside ----------------------------------------------------------------------------------------------------------


def _deployment(name: str, db: str | None) -> Deployment:
    from nbflow.deploying.deployments import Deployment

    return Deployment(name, db=db)


def _all(db: str | None) -> list[Deployment]:
    from nbflow.deploying import deployments as home

    return home.deployments(db=db)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time; write 2026-01-31 or 2026-01-31T06:00.") from None


def _monthly(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    day, _, at = text.partition("@")
    if day != "last" and not day.isdigit():
        raise ConfigError(f"--monthly takes a day and perhaps a time: 1, last or 15@06:00, not {text!r}.")
    return {"day": int(day) if day.isdigit() else "last", **({"at": at} if at else {})}


def _tell(made: Deployment, *, as_json: bool) -> None:
    if as_json:
        print_json(_json(made))
        return
    schedule, version = made.schedule, made.version
    typer.echo(f"{made.name} is version {version}" + ("" if made.report is None else f": {made.report.text()}."))
    if schedule is None:
        typer.echo(f"Start a run: nbflow trigger {made.name}")
        return
    typer.echo(f"It runs {schedule.describe()}; next:")
    for at in made.next(3):
        typer.echo(f"  {at:%a %Y-%m-%d %H:%M:%S %Z}")


def _table(found: list[Deployment]) -> Any:
    rows = []
    for deployment in found:
        schedule, last = deployment.schedule, deployment.runs(1)
        state = "paused" if deployment.paused or (schedule is not None and schedule.paused) else ""
        times = deployment.next(1) if schedule is not None and not state else []
        rows.append(
            [Text(deployment.name), Text(str(deployment.version)),
             Text(one_line(schedule.describe()) if schedule is not None else "when triggered"),
             Text(state or (f"{times[0]:%Y-%m-%d %H:%M:%S %Z}" if times else ""), "yellow" if state else ""),
             Text(f"{last[0].state} {last[0].record.id}" if last else "")]
        )  # fmt: skip
    return table(("deployment", "version", "when", "next", "last run"), rows)


def _json(deployment: Deployment) -> dict[str, Any]:
    schedule = deployment.schedule
    return {
        "deployment": deployment.name,
        "flow": deployment.flow,
        "version": deployment.version,
        "when": schedule.describe() if schedule is not None else None,
        "paused": deployment.paused or (schedule is not None and schedule.paused),
        "keep": deployment.kept,
        "next": [at.isoformat() for at in deployment.next(5)],
        "runs": [{"run": run.id, "state": str(run.state)} for run in deployment.runs(5)],
    }


def _version_json(version: Version) -> dict[str, Any]:
    return {**version._asdict(), "created_at": version.created_at.isoformat()}
