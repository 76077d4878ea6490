"""The progress of a run while it goes on: one line for each step, however many tasks it has.

Listens to the run's events. What is known of the run is kept here; how it is shown depends on the place and is found
in `screens`. Warnings are not shown here: the engine logs them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING

from nbflow.model.events import PROGRESS, RUN_FINISHED, RUN_STARTED, TASK_CREATED, TASK_STATE
from nbflow.model.states import FINISHED
from nbflow.views.palette import MARK
from nbflow.views.screens import Row, Screen, Status, screen_for

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from nbflow.model.events import Event, Listener

_FINISHED = frozenset(state.value for state in FINISHED)
_BAD = ("failed", "timed_out", "cancelled", "skipped", "expired")


class _Step:
    """What is known of the tasks of one step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._states: dict[int, str] = {}  # by task
        self._counts: Counter[str] = Counter()
        self._done = 0
        self._kept = 0  # finished without running now: cached, or from before the run was resumed
        self._progress: dict[int, float] = {}  # by running task, 0 to 1
        self._began: float | None = None
        self._ended: float | None = None

    def take(self, event: Event) -> None:
        """Take an event of one of its tasks."""
        assert event.seq is not None  # an event of a task
        state, before = event.data["state"], self._states.get(event.seq)
        if event.kind == PROGRESS:
            self._progress[event.seq] = event.data.get("value") or 0.0
        if state == before:
            return
        if before is not None:
            self._counts[before] -= 1
            self._done -= before in _FINISHED
        self._states[event.seq] = state
        self._counts[state] += 1
        self._done += state in _FINISHED
        if state in _FINISHED:
            self._progress.pop(event.seq, None)
        if state in _FINISHED and event.data.get("cached"):
            self._kept += 1
        elif state == "running" and self._began is None:
            self._began = event.time
        self._ended = event.time if self._done == len(self._states) else None

    def row(self, now: float) -> Row:
        """How it stands."""
        total = len(self._states)
        began = self._began
        return Row(
            self.name,
            self._state(),
            self._done,
            total,
            kept=self._kept,
            bad=" ".join(f"{self._counts[state]} {MARK[state]}" for state in _BAD if self._counts[state]),
            share=(self._done + sum(self._progress.values())) / total,
            seconds=(self._ended if self._ended is not None else now) - began if began is not None else None,
        )

    def _state(self) -> str:
        """The one state that stands for all of its tasks."""
        for state in ("running", *_BAD):
            if self._counts[state]:
                return state
        if self._done == len(self._states):
            return "succeeded"
        return "ready" if self._counts["ready"] or self._done else "pending"


class RunProgress:
    """Shows one run. Pass it as a listener; it begins and ends with the run.

    As a context manager it gives the listeners to pass, and ends with the block even if the run is broken off.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.run: str | None = None  # id of the run, once it has begun
        self._console = console
        self._context = copy_context()  # events come by other threads, and after the cell has ended
        self._screen: Screen | None = None
        self._lock = threading.Lock()
        self._steps: dict[str, _Step] = {}
        self._title = ""
        self._state = "running"
        self._began = self._now = time.time()

    def __enter__(self) -> tuple[Listener, ...]:
        return (self,)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, events: Sequence[Event]) -> None:
        """Take events of the run."""
        with self._lock:
            for event in events:
                self._take(event)
        if self._screen is None:
            self._screen = screen_for(self._console, self.status, self._context)
            self._screen.open()
        if any(event.kind == RUN_FINISHED for event in events):
            self._close()
        else:
            self._screen.update()

    def status(self) -> Status:
        """How the run stands now."""
        with self._lock:
            now = time.time() if self._state == "running" else self._now
            return Status(
                self._title, self.run or "", self._state, now - self._began,
                [step.row(now) for step in self._steps.values()],
            )  # fmt: skip

    def _take(self, event: Event) -> None:
        data = event.data
        if event.kind == RUN_STARTED:
            self.run, self._began = event.run, event.time
            self._title = f"{data['flow']} on {data['executor']}" + (", resumed" if data.get("resumed") else "")
        elif event.kind == RUN_FINISHED:
            self._state, self._now = data["state"], event.time
        elif event.kind in (TASK_CREATED, TASK_STATE, PROGRESS) and data["kind"] != "record":
            name = data["name"]
            self._steps.setdefault(name, _Step(name)).take(event)

    def _close(self) -> None:
        screen, self._screen = self._screen, None
        if screen is not None:
            screen.close()
