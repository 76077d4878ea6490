"""`nbflow worker`."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from nbflow.cli.output import Db
from nbflow.model.errors import ConfigError

if TYPE_CHECKING:
    from nbflow.queue.serving import Halt
    from nbflow.queue.worker import Worker, WorkerOptions
    from nbflow.storage.database import Database

Queues = Annotated[
    list[str] | None,
    typer.Option("--queues", "-q", metavar="A,B", help="Serve these queues only.  \\[default: all]"),
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", metavar="C", help="Leave these queues to others.")]
Concurrency = Annotated[
    str,
    typer.Option(
        "--concurrency",
        "-c",
        metavar="N",
        help='Jobs at a time: a number, or a formula such as "cores*2" or "max(1, cores-1)".',
    ),
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        "--max-memory-percent",
        metavar="N",
        help="While the machine uses this much of its memory, replace the child that uses most, one after another.",
    ),
]
MaxTasks = Annotated[
    int | None, typer.Option("--max-tasks", metavar="N", help="Replace a child after so many jobs, against leaks.")
]
Hooks = Annotated[
    str | None,
    typer.Option("--hooks", metavar="MODULE:CLASS", help="What to do around jobs; see nbflow.queue.hooks.WorkerHooks."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every job, not only what goes wrong.")]

_VARIABLE = "NBFLOW_WORKER_HOOKS"  # brings the setting to the children


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("worker")(worker)


def worker(
    queues: Queues = None,
    exclude: Exclude = None,
    concurrency: Concurrency = "cores",
    max_memory_percent: MaxMemory = None,
    max_tasks: MaxTasks = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left that could run now.")] = False,
    hooks: Hooks = None,
    verbose: Verbose = False,
    lease: Annotated[float | None, typer.Option("--lease", hidden=True)] = None,
    tethered: Annotated[bool, typer.Option("--tethered", hidden=True)] = False,
    db: Db = None,
) -> None:
    """Run the jobs of queues, in child processes, until it is told to stop.

    Start as many as you like, on as many machines as reach the database. A line tells when it is ready; what goes wrong
    is logged to standard error.

    nbflow worker --queues fast,default --concurrency "cores*2"

    nbflow worker --burst

    Ctrl-C or SIGTERM: it takes no more jobs and ends after those that run. A second time: it gives those back, and
    another worker begins them anew. If it is killed, its jobs are taken over at once by another worker on this machine,
    after some seconds by one elsewhere.
    """
    from nbflow import settings
    from nbflow.queue.serving import Halt, work
    from nbflow.storage import opened
    from nbflow.values.project import value_store

    options = options_of(queues, exclude, concurrency, max_memory_percent, max_tasks)
    options = dataclasses.replace(options, burst=burst, lease=lease or options.lease)
    prepare(options, hooks)
    database = opened.database(db)
    log_to_stderr(verbose=verbose)
    _warn_of_unknown(database, options)
    halt = Halt()
    if tethered:
        _end_with_input(halt)
    log = logging.getLogger("nbflow")
    done = work(
        database,
        value_store(settings.current(), database.url),
        options,
        ready=lambda worker: typer.echo(_ready(worker, options, database)),
        halt=halt,
    )
    log.info("The worker has ended after %d jobs.", done)


def options_of(
    queues: list[str] | None,
    exclude: list[str] | None,
    concurrency: str,
    max_memory_percent: float | None,
    max_tasks: int | None,
) -> WorkerOptions:
    """What was asked for, as the worker takes it. Raises ConfigError for names that are none."""
    from nbflow.queue.worker import WorkerOptions

    served, excluded = _names(queues, "--queues"), _names(exclude, "--exclude")
    return WorkerOptions(served, excluded, concurrency, max_memory_percent, max_tasks)


def prepare(options: WorkerOptions, hooks: str | None) -> None:
    """Check what was asked for, and make this process fit for being a worker. Raises ConfigError."""
    from nbflow import settings
    from nbflow.queue import hooks as around
    from nbflow.queue.concurrency import evaluate

    options.check()
    evaluate(options.concurrency)
    if "" not in sys.path:
        sys.path.insert(0, "")  # jobs of modules in the current folder, as `python -m` finds them
    found = hooks or settings.current().worker_hooks
    if found is not None:
        around.load(found)
        os.environ[_VARIABLE] = found


def _names(given: list[str] | None, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for part in given or () for name in part.split(","))
    if not all(names):
        raise ConfigError(f"{option} takes names of queues, with commas between them: {option} fast,default.")
    return names


def log_to_stderr(*, verbose: bool) -> None:
    """Show people what happens; `verbose`: all of it."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("nbflow")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.propagate = False


def _warn_of_unknown(database: Database, options: WorkerOptions) -> None:
    from nbflow.queue.broker import DEFAULT
    from nbflow.storage import queues

    with database.read() as connection:
        known = {queue.name for queue in queues.everything(connection)} | {DEFAULT}
    for name in (*options.queues, *options.exclude):
        if name not in known:
            told = "There is no queue %r yet; known are %s."
            logging.getLogger("nbflow").warning(told, name, ", ".join(sorted(known)))


def _ready(worker: Worker, options: WorkerOptions, database: Database) -> str:
    served = f"queues {', '.join(options.queues)}" if options.queues else "all queues"
    if options.exclude:
        served += f" but {', '.join(options.exclude)}"
    return f"worker {worker.id} is ready: {served}, {worker.concurrency} at a time, {database.url}"


def _end_with_input(halt: Halt) -> None:
    """Stop when standard input ends, as it does when the process dies that started this one."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        halt.ask()

    threading.Thread(target=wait, name="nbflow-tether", daemon=True).start()
