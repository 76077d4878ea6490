"""A live picture of everything that runs, waits and failed, in a notebook: drawn by threads of its own.

A cell that runs does not stop it. What its buttons ask for is done beside the cell where the kernel has subshells
(ipykernel 7, JupyterLab 4.4); elsewhere it waits, and the page shows the command that does the same at once.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from nbflow import settings as settings_module
from nbflow.client.controls import COMMANDS, Controls
from nbflow.client.node_details import output_text
from nbflow.client.run import Run
from nbflow.client.sampling import Sampler
from nbflow.model.errors import NbflowError
from nbflow.storage import monitoring
from nbflow.storage.database import Database, open_database
from nbflow.views import alive
from nbflow.views import monitor as monitor_view

if TYPE_CHECKING:
    from nbflow.views.gantt import Gantt
    from nbflow.views.graph_live import GraphFeed
    from nbflow.views.monitor import MonitorView

_MOST = 3  # monitors of a kernel that are alive at a time; older ones stop
_LINES = 400  # pieces of output that a page gets at first
_SHARE = 20  # a look at the chosen run is not repeated before this many times its duration
_WEIGH = 1.0  # seconds between looks whether anything dear is due
_ALIVE: deque[Monitor] = deque()


class Monitor:
    """Shows itself in a notebook; elsewhere it is a picture of the moment, as `print(monitor)` shows it."""

    def __init__(self, db: str | None = None, *, every: float = 1.0) -> None:
        """`db`: path or URL of the database; default: the settings'. `every`: seconds between two looks."""
        self.every = every
        self._url = settings_module.resolve_db(db or settings_module.current().db)
        self._db = db
        self._database: Database | None = None
        self._sampler: Sampler | None = None
        self._view: MonitorView | None = None
        self._ended = threading.Event()
        self._log: tuple[str, int, int, int] | None = None  # run, task, attempt and number of the last piece shown
        self._chosen: _Chosen | None = None
        self._controls = Controls(db)

    # --- showing -------------------------------------------------------------------------------------------------

    def sample(self) -> dict[str, Any]:
        """How everything stands now, as JSON can hold it. Raises DatabaseMissingError if there is no database."""
        sampler = self._open()
        sampler.weigh()
        return sampler.sample()

    def start(self) -> Monitor:
        """Display it, and keep it up to date until `stop`, or until the kernel ends."""
        if self._view is None:
            self._view = monitor_view.MonitorView(self._where, self.sample(), self._commands(), self._take)
            for work in (self._show, self._weigh):
                threading.Thread(target=work, name="nbflow-monitor", daemon=True).start()
            _ALIVE.append(self)
            while len(_ALIVE) > _MOST:
                _ALIVE.popleft().stop()
        self._view.show()
        return self

    def stop(self) -> None:
        """Show nothing new any more; the last picture stays."""
        self._ended.set()
        view, self._view = self._view, None
        if view is not None:
            view.stop()
        if self._database is not None:
            self._database.close()

    def _ipython_display_(self) -> None:
        if not alive.present():
            raise NotImplementedError  # IPython goes on with the still picture
        self.start()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return monitor_view.still(self.sample(), self._where)

    def __repr__(self) -> str:
        return monitor_view.text(self.sample(), self._where)

    @property
    def _where(self) -> str:
        return self._open_database().url

    def _commands(self) -> dict[str, str]:
        default = settings_module.resolve_db(settings_module.current().db)
        more = f" --db {shlex.quote(self._where)}" if self._url != default else ""
        return {action: f"{command}{more}" if command else "" for action, command in COMMANDS.items()}

    # --- looking -------------------------------------------------------------------------------------------------

    def _open_database(self) -> Database:
        if self._database is None or self._database.closed:
            timeout = settings_module.current().lock_timeout
            self._database = open_database(self._url, create=False, read_only=True, timeout=timeout)
        return self._database

    def _open(self) -> Sampler:
        database = self._open_database()
        if self._sampler is None:
            self._sampler = Sampler(database)
        return self._sampler

    def _show(self) -> None:
        """One look after the other; a database that is away for a while is looked for again."""
        view = self._view
        while view is not None and not self._ended.wait(self.every) and not view.closed:
            try:
                view.tell(self._open().sample())
                self._follow_log(view)
                if self._chosen is not None:
                    self._chosen.look(view)
            except NbflowError:
                self._ended.wait(self.every)  # the page tells that there is no news

    def _weigh(self) -> None:
        while not self._ended.wait(_WEIGH):
            try:
                self._open().weigh()
            except NbflowError:
                self._ended.wait(_WEIGH)

    def _follow_log(self, view: MonitorView) -> None:
        if self._log is None:
            return
        run, seq, attempt, number = self._log
        with self._open_database().read() as connection:
            found = monitoring.log_after(connection, run, seq, attempt, number=number, limit=_LINES)
        if found:
            self._log = run, seq, attempt, found[-1].number
            piece = output_text(found) + ("\n" if found[-1].text.endswith("\n") else "")
            view.life.send({"log": {"id": f"{run}/{seq}/{attempt}", "text": piece}})

    # --- what the page asks --------------------------------------------------------------------------------------

    def _take(self, message: dict[str, Any]) -> None:
        view = self._view
        if view is None:
            return
        try:
            answer = self._answer(message)
        except NbflowError as error:
            answer = {"text": str(error), "wrong": True}
        except Exception as error:  # of the user's modules, which are imported to run a flow again
            answer = {"text": f"{type(error).__name__}: {error}", "wrong": True}
        view.controls.send({"answer": message.get("number"), **answer})

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        asked = message.get("ask")
        if asked == "act":
            return {"text": self._controls.act(str(message.get("action")), str(message.get("target")))}
        if asked == "log":
            self._log = _attempt(message.get("id"))
            if self._view is not None:
                self._follow_log(self._view)
        elif asked == "show":
            self._choose(message.get("run"))
        elif self._chosen is not None:
            return self._chosen.answer(message)
        return {}

    def _choose(self, run: str | None) -> None:
        self._chosen = _Chosen(Run(str(run), db=self._db)) if run is not None else None
        if self._chosen is not None and self._view is not None:
            self._chosen.begin(self._view)


class _Chosen:
    """The run whose graph and Gantt chart are shown."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._chart: Gantt | None = None  # follows the run by itself
        self._feed: GraphFeed | None = None
        self._lock = threading.Lock()
        self._next = 0.0  # when the next look is due

    def begin(self, view: MonitorView) -> None:
        """Show it for the first time."""
        from nbflow.views.graph_live import GraphFeed

        with self._lock:
            self._feed = GraphFeed(self._run.graph())
            view.life.send({"chosen": self._run.id, **self._feed.state()})
            self._chart = self._run.gantt()
            self._chart.widget  # noqa: B018 - opens it; the page finds it by its name
            view.life.send({"chosen": self._run.id, "gantt": self._chart._live.name})

    def look(self, view: MonitorView) -> None:
        """Show what changed, if a look is due."""
        with self._lock:
            began = time.monotonic()
            feed = self._feed
            if feed is None or began < self._next:
                return
            news: dict[str, Any] = {}
            refresh = feed.picture.refresh
            if refresh is not None:
                now = refresh()
                news = feed.change(now.nodes) or {}
                if now.over:
                    feed.picture.refresh = None
            if news:
                view.life.send({"chosen": self._run.id, **news})
            self._next = time.monotonic() + (time.monotonic() - began) * _SHARE

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """What to answer to a click in the graph."""
        feed = self._feed
        return (feed.answer(message) if feed is not None else None) or {}


def _attempt(identity: Any) -> tuple[str, int, int, int] | None:
    parts = str(identity).rsplit("/", 2) if identity is not None else []
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return parts[0], int(parts[1]), int(parts[2]), 0
