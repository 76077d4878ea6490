"""What a run tells while it goes on, to whoever listens: progress bars, widgets, logs, listeners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One thing that happened."""

    kind: str  # see the constants below
    run: str
    time: float  # seconds since 1970
    seq: int | None  # the task, None for the run
    data: dict[str, Any]


Listener = Callable[[Sequence[Event]], None]

RUN_STARTED = "run_started"  # data: flow, executor, resumed
RUN_FINISHED = "run_finished"  # data: state, error
TASK_CREATED = "task_created"  # data: key, name, kind, state, parent, upstream
TASK_STATE = "task_state"  # data: key, name, state, attempt, worker, error
OUTPUT = "output"  # data: key, stream, text, attempt
PROGRESS = "progress"  # data: key, value (0 to 1), message
IGNORED_ERROR = "ignored_error"  # data: key, error
CHILD_RUN = "child_run"  # data: run, on_parent_end; of runs that are not simply left alone when this one ends
WARNING = "warning"  # data: message
