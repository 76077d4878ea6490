"""`nbflow up`: all that a queue needs on one machine."""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Annotated, NamedTuple

import typer

from nbflow.cli.codes import FAILED, STORAGE
from nbflow.cli.output import Db
from nbflow.cli.queue_worker import (
    Concurrency,
    Exclude,
    Hooks,
    MaxMemory,
    MaxTasks,
    Queues,
    Verbose,
    log_to_stderr,
    options_of,
    prepare,
)
from nbflow.model.errors import StorageError
from nbflow.running.notifying import notify
from nbflow.running.stopping import on_signals

if TYPE_CHECKING:
    from nbflow.deploying.watching import Watcher
    from nbflow.queue.scheduler import Scheduler
    from nbflow.server.serving import Endpoint

_log = logging.getLogger("nbflow")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds until a worker that died is started again
_SILENT = 60.0  # seconds without a look after which the scheduler does not count as alive
_WELL = 60.0  # seconds that a worker has to live for its next death to count as a first one


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("up")(up)


def up(
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="How many workers.")] = 1,
    queues: Queues = None,
    exclude: Exclude = None,
    concurrency: Concurrency = "cores",
    max_memory_percent: MaxMemory = None,
    max_tasks: MaxTasks = None,
    hooks: Hooks = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Take webhooks and events, and tell of health, over HTTP."),
    ] = None,
    verbose: Verbose = False,
    db: Db = None,
) -> None:
    """Run workers, a scheduler and the triggers, all that one machine needs, until it is told to stop.

    A worker that dies is started again. A line tells when all is ready, and systemd is told too where it started this;
    what goes wrong is logged to standard error.

    nbflow up --workers 2 --concurrency 4 --listen 127.0.0.1:8765

    With --listen: GET /health/live and /health/ready, POST /trigger/DEPLOYMENT and /event/NAME; see nbflow listen.

    Ctrl-C or SIGTERM: no more jobs are taken, and it ends after those that run. A second time: these are given back.
    """
    from nbflow import settings
    from nbflow.deploying.watching import watching
    from nbflow.queue.scheduler import Scheduler
    from nbflow.server import serving
    from nbflow.storage import opened
    from nbflow.values.project import value_store

    options = options_of(queues, exclude, concurrency, max_memory_percent, max_tasks)
    prepare(options, hooks)
    if listen is not None:
        serving.check(listen)
    given = {"--db": db, "--concurrency": concurrency, "--max-memory-percent": max_memory_percent,
             "--max-tasks": max_tasks, "--queues": ",".join(options.queues), "--exclude": ",".join(options.exclude),
             "--hooks": hooks}  # fmt: skip
    command = [part for name, value in given.items() if value for part in (name, str(value))]
    database = opened.database(db)
    log_to_stderr(verbose=verbose)
    values = value_store(settings.current(), database.url)
    scheduler = Scheduler(database, values)
    fleet = _Fleet([*command, *(["--verbose"] if verbose else [])], workers, scheduler, database.url)
    with on_signals(fleet.ask_to_stop), watching(database, values) as watcher:
        if listen is not None:
            fleet.endpoint = _endpoint(listen, db, scheduler, watcher)
        code = fleet.run()
    sys.exit(code)


def _endpoint(address: str, db: str | None, scheduler: Scheduler, watcher: Watcher) -> Endpoint:
    """What listens, and tells whether these two are alive. Raises ConfigError."""
    from nbflow.deploying.triggers import Triggers
    from nbflow.server.serving import Endpoint

    def looks(one: Scheduler | Watcher) -> bool:
        return time.time() - one.looked_at < _SILENT

    alive = {"scheduler": lambda: looks(scheduler), "triggers": lambda: looks(watcher)}
    return Endpoint(address, Triggers.of(db), alive)


class _Event(NamedTuple):
    """Something that happened on another thread, or in a handler of a signal."""

    kind: str  # "stop", "line", "exit", "scheduling", "scheduled" or "served"
    member: _Member | None = None
    text: str = ""
    error: BaseException | None = None


class _Member:
    """One worker, in a process of its own; when that dies, in the next."""

    def __init__(self, command: Sequence[str], tell: Callable[[_Event], None]) -> None:
        self._command = command
        self._tell = tell
        self.process: subprocess.Popen[str] | None = None  # None: it has ended
        self.ready = False  # whether it ever was
        self.pause = _FIRST_PAUSE
        self.due = 0.0  # when it is to be started
        self._began = 0.0

    def start(self) -> None:
        """Start the process. Its standard input ends with this process, and it with that."""
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nbflow", "worker", "--tethered", *self._command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,  # Ctrl-C on the terminal is for the parent alone
        )  # fmt: skip
        assert self.process.stdout is not None  # a pipe
        for work in (lambda stream=self.process.stdout: self._read(stream), lambda p=self.process: self._wait(p)):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Ask it to end; asked again it gives back what runs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Take note of its end; returns its exit code."""
        assert self.process is not None  # it has just ended
        code = self.process.wait()
        assert self.process.stdin is not None  # a pipe
        self.process.stdin.close()
        self.process = None
        if time.monotonic() - self._began > _WELL:
            self.pause = _FIRST_PAUSE
        self.due = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE)
        return code

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._tell(_Event("line", self, line.rstrip("\n")))

    def _wait(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        self._tell(_Event("exit", self))


class _Fleet:
    """Workers and a scheduler. One loop acts on what the threads that listen to them tell."""

    def __init__(self, command: Sequence[str], count: int, scheduler: Scheduler, url: str) -> None:
        # A handler of a signal may put into this kind of queue, whatever it interrupts.
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._members = [_Member(command, self._events.put) for _ in range(count)]
        self._scheduler = scheduler
        self._schedules = False
        self._url = url
        self.endpoint: Endpoint | None = None
        self._told = False  # whether it was said that all is ready
        self._stopping = False
        self._code = 0

    def ask_to_stop(self) -> None:
        """Fit for handlers of signals."""
        self._events.put(_Event("stop"))

    def run(self) -> int:
        """Run until asked to stop; returns the exit code."""
        if self.endpoint is not None:  # first of all: it tells that the rest is not ready yet
            self.endpoint.start(lambda error: self._events.put(_Event("served", error=error)))
        for member in self._members:
            member.start()
        self._schedules = True
        threading.Thread(target=self._schedule, name="nbflow-scheduler", daemon=True).start()
        while self._schedules or any(member.process is not None for member in self._members):
            try:
                self._act(self._events.get(timeout=self._until_next()))
            except queue.Empty:
                self._start_again()
        if self.endpoint is not None:
            self.endpoint.close()
        return self._code

    def _schedule(self) -> None:
        error: BaseException | None = None
        try:
            self._scheduler.run(lambda: self._events.put(_Event("scheduling")))
        except BaseException as problem:
            error = problem
        self._events.put(_Event("scheduled", error=error))

    def _act(self, event: _Event) -> None:
        if event.kind == "stop":
            self._stop()
        elif event.kind == "line":
            assert event.member is not None
            typer.echo(event.text)
            event.member.ready = True
        elif event.kind == "exit":
            assert event.member is not None
            self._ended(event.member)
        elif event.kind == "scheduled":
            self._schedules = False
            if event.error is not None:
                _log.error("The scheduler has ended: %s", event.error)
                self._fail(STORAGE if isinstance(event.error, StorageError) else FAILED)
        elif event.kind == "served" and not self._stopping:
            _log.error("The endpoint has ended: %s", event.error or "nobody knows why")
            self._fail(FAILED)
        if not self._told and self._schedules and all(member.ready for member in self._members):
            self._told = True
            listens = f", listening on {self.endpoint.url}" if self.endpoint is not None else ""
            typer.echo(f"up is ready: {len(self._members)} workers and a scheduler, {self._url}{listens}")
            notify("READY=1")

    def _ended(self, member: _Member) -> None:
        code = member.ended()
        if self._stopping:
            return
        if not member.ready:  # it will not do better the next time
            self._fail(code or FAILED)
            return
        _log.warning("A worker has ended with %d; it is started again.", code)

    def _until_next(self) -> float | None:
        if self._stopping:
            return None
        due = [member.due for member in self._members if member.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_again(self) -> None:
        for member in self._members:
            if member.process is None and member.due <= time.monotonic():
                member.start()

    def _fail(self, code: int) -> None:
        self._code = code
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            notify("STOPPING=1")
        self._stopping = True
        if self.endpoint is not None:
            self.endpoint.stop()
        self._scheduler.stop()
        for member in self._members:
            member.stop()
