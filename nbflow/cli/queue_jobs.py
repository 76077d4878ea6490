"""`nbflow jobs`, `job`, `cancel` and `retry`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from nbflow.cli.output import Db, Json, console, print_json, state_text, table, time_text
from nbflow.cli.queue import broker
from nbflow.model.errors import ConfigError, JobNotFoundError, NbflowError, RunNotFoundError
from nbflow.model.states import State
from nbflow.views.words import one_line, plain, seconds_text

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.model.jobs import JobRecord
    from nbflow.model.records import AttemptRecord
    from nbflow.queue.broker import Broker
    from nbflow.queue.job import Job

JobId = Annotated[str, typer.Argument(metavar="JOB", help='Id of a job, a unique beginning of one, or "last".')]
OneQueue = Annotated[str | None, typer.Option("--queue", "-q", metavar="NAME", help="Only those of this queue.")]

_DEAD = (State.FAILED, State.TIMED_OUT)
_AT_ONCE = 500  # jobs requeued in one transaction
_LONGEST = 200  # characters of a result
_HIDDEN = frozenset({"payload", "result", "error", "policy", "marks", "gates", "waker", "token", "unique_key"})


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("jobs")(jobs)
    app.command("job")(job)
    app.command("cancel")(cancel)
    app.command("retry")(retry)


def jobs(
    queue: OneQueue = None,
    states: Annotated[
        list[State] | None, typer.Option("--state", help="Only those in this state; may be given again.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """List the latest jobs.

    nbflow jobs --state failed --state timed_out

    Jobs that wait stand in the order in which they will be served in `nbflow queue list QUEUE`.
    """
    from nbflow.storage import job_lists

    with broker(db).database.read() as connection:
        found = job_lists.listed(connection, queue=queue, states=[str(state) for state in states or ()], limit=limit)
    if as_json:
        print_json([_json(record) for record in found])
    elif not found:
        asked = queue is not None or states
        console().print("No such jobs." if asked else "No jobs yet. Put one on a queue: Queue().enqueue(function)")
    else:
        console().print(_table(found))


def job(job_id: JobId, db: Db = None, as_json: Json = False) -> None:
    """Tell what became of a job: its state, tries, result or error, and what it printed."""
    from nbflow.queue.job import Job

    found = broker(db)
    record = _find_job(found, job_id)
    handle = Job(record.id, found)
    if as_json:
        details = {"attempts": [attempt._asdict() for attempt in handle.attempts()], "output": handle.output()}
        print_json({**_json(record), **details, "traceback": _traceback(handle), "result": _result(handle, record)})
        return
    screen = console()
    screen.print(
        state_text(record.state), f"job {record.id}, {plain(record.name)} on queue {record.queue}", markup=False
    )
    for name, value in _facts(record):
        if value:
            screen.print(f"  {name} {value}", markup=False)
    tries = handle.attempts()
    if len(tries) > 1:
        screen.print(_tries_table(tries))
    if record.state == State.SUCCEEDED:
        screen.print(f"  result: {_result(handle, record)}", markup=False)
    if (output := handle.output()).strip():
        screen.print(f"\n{plain(output.rstrip())}", markup=False)
    if (traceback := _traceback(handle)) is not None:
        screen.print(f"\n{plain(traceback.rstrip())}", markup=False)
    if record.state in _DEAD and record.kind == "job":
        screen.print(f"\nOnce more: nbflow retry {record.id}")


def cancel(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Ids of jobs or runs, or unique beginnings of them.")
    ],
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Cancel jobs or runs: what waits never begins, what runs is ended as soon as its worker can.

    "last" is the latest run.
    """
    from nbflow.queue.job import Job

    found = broker(db)
    told = []
    for text in ids:
        target = _find(found, text, db)
        if isinstance(target, Job):
            told.append({"job": target.id, "was": str(target.cancel("by nbflow cancel"))})
        else:
            told.append({"run": target.id, "was": str(target.state)})
            target.cancel("cancelled by nbflow cancel")
    if as_json:
        print_json(told)
    else:
        for each in told:
            typer.echo(_cancelled(each))


def retry(
    job_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of a job or a run, or a unique beginning of one.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All jobs that failed or timed out.")] = False,
    queue: OneQueue = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Let a finished job begin anew, its tries not counted; with --failed all dead letters.

    A run is resumed, as by `nbflow resume`.

    nbflow retry --failed --queue reports
    """
    if failed is (job_id is not None):
        raise ConfigError("retry takes the id of a job or run, or --failed for all jobs that failed.")
    if queue is not None and not failed:
        raise ConfigError("--queue goes with --failed.")
    found = broker(db)
    done = _retry_failed(found, queue) if job_id is None else _retry_one(found, job_id, db, as_json=as_json)
    if done is None:
        return
    if as_json:
        print_json({"requeued": done})
    elif failed:
        typer.echo(f"Requeued {len(done)} jobs.")
    else:
        typer.echo(f"Requeued job {done[0]}.")


def _retry_failed(found: Broker, queue: str | None) -> list[str]:
    from nbflow.storage import job_lists

    with found.database.read() as connection:
        ids = job_lists.ids(connection, queue=queue, states=[str(state) for state in _DEAD], kind="job")
    return [id_ for start in range(0, len(ids), _AT_ONCE) for id_ in found.requeue(ids[start : start + _AT_ONCE])]


def _retry_one(found: Broker, text: str, db: str | None, *, as_json: bool) -> list[str] | None:
    """Requeue a job, or resume a run, which tells about itself (None)."""
    from nbflow.cli.run import resume
    from nbflow.queue.job import Job

    target = _find(found, text, db)
    if not isinstance(target, Job):
        resume(target.id, db=db, as_json=as_json)
        return None
    record = target.record
    if record.run is not None:
        raise ConfigError(f"Job {record.id} is a task of run {record.run}: nbflow resume {record.run}")
    return [target.requeue().id]


# --- finding -----------------------------------------------------------------------------------------------------


def _find(found: Broker, text: str, db: str | None) -> Job | Run:
    """The job or run that is meant. Raises JobNotFoundError, also for a beginning of both."""
    from nbflow.client.run import find
    from nbflow.queue.job import Job
    from nbflow.storage import job_lists

    with found.database.read() as connection:
        jobs_ = [] if text == "last" else job_lists.starting_with(connection, text)
    if jobs_ and jobs_[0].id == text:
        return Job(text, found)
    try:
        run: Run | None = find(text, db=db)
    except RunNotFoundError as error:
        if not jobs_ and text == "last":
            raise
        if not jobs_:
            raise JobNotFoundError(f"There is no job or run {text!r}. {_LOOK_HERE}") from error
        run = None
    if run is not None and (run.id == text or not jobs_):
        return run
    if run is not None or len(jobs_) > 1:
        ids = ", ".join([*([run.id] if run else []), *[record.id for record in jobs_]])
        raise JobNotFoundError(f"{text!r} is the beginning of several ids: {ids} ... Give more of it.")
    return Job(jobs_[0].id, found)


_LOOK_HERE = "nbflow jobs and nbflow runs list those that there are."


def _find_job(found: Broker, text: str) -> JobRecord:
    from nbflow.storage import job_lists

    with found.database.read() as connection:
        return job_lists.find(connection, text)


# --- telling -----------------------------------------------------------------------------------------------------


def _cancelled(each: dict[str, str]) -> str:
    kind, id_ = ("job", each["job"]) if "job" in each else ("run", each["run"])
    was = State(each["was"])
    if was.finished:
        return f"{kind} {id_} has ended before: it {_WORDS.get(was, was)}."
    if was is State.RUNNING:
        return f"{kind} {id_} is being ended."
    return f"{kind} {id_} is cancelled."


_WORDS = {State.TIMED_OUT: "timed out", State.CANCELLED: "was cancelled", State.SKIPPED: "was skipped"}


def _json(record: JobRecord) -> dict[str, Any]:
    values = {name: value for name, value in record._asdict().items() if name not in _HIDDEN}
    return {**values, "meta": json.loads(record.meta or "{}"), "tags": json.loads(record.tags or "[]")}


def _table(found: list[JobRecord]) -> Any:
    rows = []
    for record in found:
        error = f"{record.error_type.rpartition('.')[2]}: {record.error_message}" if record.error_type else ""
        texts = (str(record.attempt or ""), time_text(record.enqueued_at), seconds_text(_seconds(record)), error)
        named = [Text(record.id), Text(one_line(record.name, 40)), Text(record.queue), state_text(record.state)]
        rows.append([*named, *[Text(one_line(text, _LONGEST)) for text in texts]])
    return table(("job", "function", "queue", "state", "tries", "enqueued", "took", "error"), rows)


def _seconds(record: JobRecord) -> float | None:
    if record.finished_at is None or record.started_at is None:
        return None
    return record.finished_at - record.started_at


def _facts(record: JobRecord) -> list[tuple[str, str]]:
    """What there is to know beside the outcome, if there is something."""
    progress = f"{record.progress:.0%} {record.message or ''}" if record.progress is not None else record.message or ""
    losses = f", its process died {record.losses} times" if record.losses else ""
    return [
        ("enqueued", time_text(record.enqueued_at)),
        ("due", time_text(record.due_at)),
        ("waits for", f"{record.waiting} jobs" if record.waiting else ""),
        ("started", time_text(record.started_at)),
        ("took", seconds_text(_seconds(record))),
        ("worker", record.worker or ""),
        ("tries", f"{record.attempt}{losses}" if record.attempt else ""),
        ("progress", one_line(progress)),
        ("run", record.run or ""),
        ("schedule", record.schedule or ""),
        ("tags", ", ".join(json.loads(record.tags or "[]"))),
        ("meta", one_line(record.meta or "", _LONGEST)),
    ]


def _tries_table(tries: list[AttemptRecord]) -> Any:
    rows = []
    for each in tries:
        error = f"{each.error_type.rpartition('.')[2]}: {each.error_message}" if each.error_type else ""
        texts = (time_text(each.started_at), one_line(error, _LONGEST))
        rows.append([Text(str(each.number)), state_text(each.state), *map(Text, texts)])
    return table(("try", "state", "started", "error"), rows)


def _traceback(handle: Job) -> str | None:
    try:
        return handle.traceback
    except NbflowError as error:  # of another deployment, or gone
        return f"The error cannot be shown: {error}"


def _result(handle: Job, record: JobRecord) -> str | None:
    if record.state != State.SUCCEEDED:
        return None
    try:
        return one_line(repr(handle.result()), _LONGEST)
    except Exception as error:  # its class may not be importable here, its repr may fail
        return f"cannot be shown here: {type(error).__name__}: {error}"
