"""The progress of a run while it goes on: one line for each step, however many tasks it has.

Listens to the run's events. On a terminal and in notebooks the lines are redrawn in place; elsewhere a line is printed
when a step is finished.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbflow.model.events import IGNORED_ERROR, PROGRESS, RUN_FINISHED, RUN_STARTED, TASK_CREATED, TASK_STATE, WARNING
from nbflow.model.states import FINISHED
from nbflow.views.palette import MARK, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from nbflow.model.events import Event, Listener

_MOST_LINES = 24  # steps shown; a run with more shows those that are not finished first
_FINISHED = frozenset(state.value for state in FINISHED)
_BAD = ("failed", "timed_out", "cancelled", "skipped")


class _Line:
    """What is known of one step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.states: dict[int, str] = {}  # by task
        self.cached = 0
        self.progress: float | None = None
        self.began: float | None = None
        self.ended: float | None = None

    @property
    def done(self) -> int:
        return sum(state in _FINISHED for state in self.states.values())

    @property
    def state(self) -> str:
        """The one state that stands for all of its tasks."""
        found = set(self.states.values())
        for state in ("running", *_BAD, "ready", "pending"):
            if state in found and (state == "running" or state in _BAD or self.done < len(self.states)):
                return state
        return "succeeded"

    def take(self, event: Event) -> None:
        """Take an event of one of its tasks."""
        assert event.seq is not None  # an event of a task
        state = event.data["state"]
        if state in _FINISHED and self.states.get(event.seq) not in _FINISHED and event.data.get("cached"):
            self.cached += 1
        self.states[event.seq] = state
        if state == "running" and self.began is None:
            self.began = event.time
        if event.kind == PROGRESS:
            self.progress = event.data.get("value")
        self.ended = event.time if self.done == len(self.states) else None


class RunProgress:
    """Shows one run; use it as a context manager, which gives the listeners to pass to `run`."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console()
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()
        self._live: Any = None
        self._title = ""
        self._began = time.time()

    @staticmethod
    @contextmanager
    def silent() -> Iterator[tuple[Listener, ...]]:
        """Shows nothing."""
        yield ()

    def __enter__(self) -> tuple[Listener, ...]:
        if self._console.is_terminal or self._console.is_jupyter:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=8, get_renderable=self.render)
            self._live.start()
        return (self.listen,)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.refresh()
            self._live.stop()

    def listen(self, events: Sequence[Event]) -> None:
        """Take events of the run."""
        with self._lock:
            for event in events:
                if event.kind == RUN_STARTED:
                    self._began = event.time
                    self._title = f"{event.data['flow']} on {event.data['executor']}, run {event.run}"
                    self._say(self._title)
                elif event.kind in (TASK_CREATED, TASK_STATE, PROGRESS) and event.data["kind"] != "record":
                    self._take(event)
                elif event.kind in (IGNORED_ERROR, WARNING):
                    self._say(str(event.data.get("message") or f"nobody looked at: {event.data.get('error')}"))
                elif event.kind == RUN_FINISHED and self._live is not None:
                    self._live.refresh()

    def _take(self, event: Event) -> None:
        line = self._lines.setdefault(event.data["name"], _Line(event.data["name"]))
        before = line.ended
        line.take(event)
        if before is None and line.ended is not None and len(line.states) == 1:
            self._say(f"  {MARK[line.state]} {line.name} {_seconds(line)}")

    def _say(self, text: str) -> None:
        if self._live is None:
            self._console.print(text, markup=False)

    def render(self) -> Table:
        """The lines as they are now."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False, title=self._title or None, title_justify="left")
        for _ in range(4):
            table.add_column(no_wrap=True)
        lines = (
            sorted(self._lines.values(), key=lambda line: line.ended is not None)
            if self._crowded
            else self._lines.values()
        )
        for line in list(lines)[:_MOST_LINES]:
            total, state = len(line.states), line.state
            share = (
                line.progress if total == 1 and line.progress is not None and line.ended is None else line.done / total
            )
            many = f"{line.done}/{total}" if total > 1 else ""
            cached = f" ({line.cached} kept)" if line.cached else ""
            table.add_row(
                Text(f"{MARK[state]} {line.name}", style=TERMINAL[state]),
                ProgressBar(total=1.0, completed=share, width=24),
                many + cached,
                _seconds(line),
            )
        if self._crowded:
            table.add_row(f"… {len(self._lines) - _MOST_LINES} more steps", "", "", "")
        return table

    @property
    def _crowded(self) -> bool:
        return len(self._lines) > _MOST_LINES


def _seconds(line: _Line) -> str:
    if line.began is None:
        return ""
    return f"{(line.ended or time.time()) - line.began:.1f} s"
