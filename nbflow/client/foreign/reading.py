"""What all foreign queues have in common: rows of raw facts in, filtered and typed frames out."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from nbflow.client.columns import COLUMNS, typed
from nbflow.client.sources import Query
from nbflow.model.states import State

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]  # by column; what is not there, or None, is not known

_FINISHED = frozenset(state.value for state in State if state.finished)
_CREATED = {"jobs": "enqueued_at", "attempts": "queued_at", "workers": "started_at"}
# By what rows are sorted: the first of these times that is known.
_ORDER = {
    "jobs": ("enqueued_at", "ready_at", "started_at", "finished_at", "due_at"),
    "attempts": ("started_at", "queued_at", "finished_at"),
}


class ForeignSource:
    """A queue of another system. A subclass overrides those of the methods below that its system has anything for."""

    kind = ""

    def __init__(self, missing: Mapping[str, str]) -> None:
        """`missing`: what it cannot tell and why, by kind of frame or column ("jobs.worker")."""
        self.missing = missing
        self._lock = Lock()  # monitors read from threads of their own

    def frame(self, what: str, query: Query) -> tuple[pd.DataFrame, int]:
        """The rows of a kind of frame that a query wants, the oldest first, and how many there are without its limit.

        Raises StorageError if the queue cannot be reached, ValueError if there is no such kind of frame.
        """
        if what not in COLUMNS:
            raise ValueError(f"There is no frame of {what!r}. There are {', '.join(COLUMNS)}.")
        with self._lock:
            rows = [row for row in self._readers().get(what, _nothing)() if wanted(what, row, query)]
        if what in _ORDER:
            rows.sort(key=lambda row: _moment_of(row, _ORDER[what]))
        shown = rows if query.limit is None else rows[max(len(rows) - query.limit, 0) :]
        names = list(dict.fromkeys(name for row in shown for name in row))
        columns = {name: [row.get(name) for row in shown] for name in names}
        return typed(what, columns, only=query.columns), len(rows)

    def close(self) -> None:
        """Let go of connections."""

    def jobs(self) -> list[Row]:
        """What waits, runs and has ended, as far as it is kept."""
        return []

    def attempts(self) -> list[Row]:
        """Every try of them that is known."""
        return []

    def queues(self) -> list[Row]:
        """The queues, with counts that cost less than reading their jobs."""
        return []

    def workers(self) -> list[Row]:
        """Who works on them."""
        return []

    def schedules(self) -> list[Row]:
        """What is enqueued again and again."""
        return []

    def _readers(self) -> dict[str, Callable[[], list[Row]]]:
        return {
            "jobs": self.jobs,
            "attempts": self.attempts,
            "queues": self.queues,
            "workers": self.workers,
            "schedules": self.schedules,
        }


def _nothing() -> list[Row]:
    return []


def wanted(what: str, row: Row, query: Query) -> bool:
    """Whether a row is one that a query wants.

    A queue, state or function that is not known is not the one that was asked for. A time that is not known is no
    reason to leave a row out, as the frame shows that it is empty.
    """
    if query.states and row.get("state") not in query.states:
        return False
    if query.queue is not None and query.queue not in _queues(what, row):
        return False
    if query.step is not None and "step" in COLUMNS[what] and not _named(row.get("step"), query.step):
        return False
    if query.flow is not None or query.run is not None or query.tags:
        return False  # other systems have no flows and runs, and no tags
    if what not in _CREATED:
        return True
    ended = row.get("finished_at") if what != "workers" or row.get("alive") else row.get("seen_at")
    too_early = query.since is not None and ended is not None and ended < query.since
    created = row.get(_CREATED[what])
    too_late = query.until is not None and created is not None and created >= query.until
    return not too_early and not too_late


def _queues(what: str, row: Row) -> Sequence[str | None]:
    """The queues that a row is about."""
    return str(row.get("queues") or "").split(", ") if what == "workers" else [row.get("queue")]


def _named(name: str | None, wanted: str) -> bool:
    """Whether a function is meant by its whole name, or by the last part of it."""
    return name is not None and wanted in (name, name.rpartition(".")[2])


def _moment_of(row: Row, names: Iterable[str]) -> float:
    return next((float(row[name]) for name in names if row.get(name) is not None), float("-inf"))


def finished(state: str | None) -> bool:
    """Whether nothing more happens to something in this state."""
    return state in _FINISHED


def text(value: bytes | str | None) -> str | None:
    """Bytes as text; None for nothing."""
    if not value:
        return None
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def escaped(name: str) -> str:
    """A name as a pattern of Redis that means only itself."""
    return "".join(f"\\{each}" if each in "*?[]\\^" else each for each in name)


def number(value: Any) -> int | None:
    """A whole number out of what may be one."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def seconds(value: bytes | str | None) -> float | None:
    """Seconds since 1970 of a time in ISO 8601; one without an offset is UTC. None for what is no time."""
    written = text(value)
    if written is None:
        return None
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


_CALL = re.compile(r"([A-Za-z_][\w.]*)\((.*)\)", re.DOTALL)


def error_of_repr(written: str | None) -> tuple[str | None, str | None]:
    """The type and the message of an exception that was written as Python would (`repr`); else None and the text."""
    matched = _CALL.fullmatch(written or "")
    if matched is None:
        return None, written or None
    try:
        message = ast.literal_eval(matched[2])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        message = matched[2]
    return matched[1], str(message) or None


_ERROR = re.compile(r"([A-Za-z_][\w.]*)(?:: ?(.*))?", re.DOTALL)


def error_of(traceback: str | None) -> tuple[str | None, str | None]:
    """The type and the message that a formatted traceback ends with; for other texts None and the text."""
    if not traceback or not traceback.strip():
        return None, None
    lines = traceback.strip().split("\n")
    if not any(line.startswith("Traceback (") for line in lines):
        return None, traceback.strip()
    # The message may have several lines: it begins after the last line of the stack, which is indented.
    stack = max(place for place, line in enumerate(lines) if line.startswith(("Traceback (", '  File "')))
    last = next((place for place in range(stack + 1, len(lines)) if not lines[place].startswith(" ")), len(lines) - 1)
    matched = _ERROR.fullmatch("\n".join(lines[last:]))
    if matched is None:
        return None, lines[-1]
    return matched[1], matched[2] or None
