"""Which columns of a frame hold what, and its times as seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import NbflowError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

# Names that a role goes by, the usual ones first. They are compared in small letters, with "_" for blanks and dashes.
_NAMES = {
    "start": ("started_at", "start", "started", "start_time", "start_date", "begin", "begin_time", "began_at"),
    "finish": (
        "finished_at", "finish", "finished", "finish_time", "end", "end_time", "end_date", "ended_at", "ended",
        "stop", "stop_time", "completed_at", "completed",
    ),
    "queued": ("queued_at", "ready_at", "enqueued_at", "created_at", "queued", "submitted_at", "submitted"),
    "duration": ("duration", "seconds", "elapsed"),
    "state": ("state", "status"),
    "attempt": ("attempt", "try", "retry"),
}  # fmt: skip
_LANES = {
    "worker": ("worker", "resource", "machine", "thread", "worker_id"),
    "queue": ("queue",),
    "step": ("step", "name", "function", "task_name", "label"),
    "flow": ("flow", "workflow", "pipeline", "dag"),
    "run": ("run", "run_id"),
    "task": ("task", "task_id", "job", "job_id"),
}
_KEY = ("run", "task", "seq", "attempt", "job")
_MOST_TASK_LANES = 20_000  # rows up to which a lane for each task is offered unasked; names are what it costs
_CLOCK = 1e8  # numbers beyond are seconds since 1970, those below seconds since some beginning
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # numbers beyond the first are that many to the second


class GanttError(NbflowError):
    """A frame cannot be drawn as it was asked for."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that a chart is made of; None for what the frame does not have."""

    start: str | None
    finish: str | None
    queued: tuple[str, ...]  # the first that has a time counts
    duration: str | None
    state: str | None
    attempt: str | None
    lanes: dict[str, str]  # kind of lanes → column
    key: tuple[str, ...]  # what tells rows apart when some come again; () for the frame's index
    error: tuple[str, ...] = ()
    task: str | None = None  # what the hover calls a row

    def check(self, frame: pd.DataFrame) -> None:
        """Raise GanttError if a frame has not got all of them."""
        single = (self.start, self.finish, self.duration, self.state, self.attempt, self.task)
        wanted = dict.fromkeys([*filter(None, single), *self.queued, *self.lanes.values(), *self.key, *self.error])
        missing = [name for name in wanted if name not in frame.columns]
        if missing:
            raise GanttError(
                f"The frame has no column {missing[0]!r}, which the first frame of this chart had. {_has(frame)}"
            )


def find(frame: pd.DataFrame, given: Mapping[str, str | None], lanes: str) -> Columns:
    """The columns of a frame by their usual names, or as `given` (role → name).

    Raises GanttError if there are no times, or if a name that was given is not there.
    """
    there = {_plain(column): str(column) for column in reversed(list(frame.columns))}
    for role, name in given.items():
        if name is not None and name not in frame.columns:
            raise GanttError(f"The frame has no column {name!r} for {role}=. {_has(frame)}")

    def one(role: str) -> str | None:
        return given.get(role) or next((there[name] for name in _NAMES[role] if name in there), None)

    queued = given.get("queued")
    found = Columns(
        start=one("start"),
        finish=one("finish"),
        queued=(queued,) if queued else tuple(there[name] for name in _NAMES["queued"] if name in there),
        duration=one("duration"),
        state=one("state"),
        attempt=one("attempt"),
        lanes=_lanes(frame, there, lanes),
        key=tuple(there[name] for name in _KEY if name in there),
        error=tuple(there[name] for name in ("error_type", "error") if name in there),
        task=next((there[name] for name in _LANES["task"] if name in there), None),
    )
    if found.start is None and not found.queued:
        raise GanttError(
            f"The frame has no column of times at which something began. {_has(frame)} "
            'Name it: gantt(frame, start="...", finish="...").'
        )
    return found


def _lanes(frame: pd.DataFrame, there: Mapping[str, str], wanted: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, names in _LANES.items():
        column = next((there[name] for name in names if name in there), None)
        many = kind == "task" and len(frame) > _MOST_TASK_LANES and wanted != "task"
        if column is not None and not many and (kind == wanted or frame.empty or frame[column].notna().any()):
            found[kind] = column
    if wanted not in found and wanted in frame.columns:
        found[wanted] = wanted
    return found


def choose(columns: Columns, wanted: str) -> str:
    """The kind of lanes to begin with: the wanted one; another for "worker", the default, where no worker is known.

    Raises GanttError if the frame cannot be laid out so.
    """
    if wanted in columns.lanes:
        return wanted
    if wanted != "worker":
        known = ", ".join(map(repr, columns.lanes)) or "none"
        raise GanttError(f"The frame has no column for lanes={wanted!r}. Lanes that it has: {known}; or name a column.")
    return next((kind for kind in ("task", "step", "queue", "flow", "run") if kind in columns.lanes), "")


def _plain(column: object) -> str:
    return str(column).strip().lower().replace(" ", "_").replace("-", "_")


def _has(frame: pd.DataFrame) -> str:
    return f"It has: {', '.join(map(str, frame.columns)) or 'no columns'}."


def seconds(series: pd.Series[Any]) -> tuple[NDArray[np.float64], str]:
    """Times as seconds since 1970 in UTC, NaN where there is none, and what they are.

    That is "clock" for times with a zone, "naive" for times without one, which are kept as they read, and "elapsed"
    for numbers that are too small to be a date. Raises GanttError if the column holds something else.
    """
    import numpy as np
    import pandas as pd
    from pandas.api import types

    if types.is_object_dtype(series.dtype) or types.is_string_dtype(series.dtype):
        series = _parsed(series)
    if isinstance(series.dtype, pd.DatetimeTZDtype) or types.is_datetime64_dtype(series.dtype):
        stamps = series.to_numpy(dtype="datetime64[us]")
        found = stamps.view("int64") / 1e6
        found[np.isnat(stamps)] = np.nan
        return found, "clock" if isinstance(series.dtype, pd.DatetimeTZDtype) else "naive"
    if not types.is_numeric_dtype(series.dtype) or types.is_bool_dtype(series.dtype):
        raise GanttError(f"Column {series.name!r} holds {series.dtype}, which are no times.")
    numbers = series.to_numpy(dtype="float64", na_value=np.nan)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    largest = float(np.nanmax(np.abs(numbers))) if np.isfinite(numbers).any() else 0.0
    unit = next((unit for beyond, unit in _UNITS if largest >= beyond), 1.0)
    return numbers / unit, "clock" if largest >= _CLOCK else "elapsed"


def _parsed(series: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    if series.isna().all():
        return series.astype("datetime64[us, UTC]")
    try:
        aware = any(getattr(value, "tzinfo", None) is not None for value in series.dropna().head(100))
        return pd.to_datetime(series, utc=aware, format="mixed")
    except (ValueError, TypeError) as error:
        raise GanttError(f"Column {series.name!r} holds values that are no times: {error}") from error


def lengths(series: pd.Series[Any]) -> NDArray[np.float64]:
    """Durations as seconds; NaN where there is none. Raises GanttError if the column holds something else."""
    import numpy as np
    from pandas.api import types

    if types.is_timedelta64_dtype(series.dtype):
        found: NDArray[np.float64] = series.dt.total_seconds().to_numpy(dtype="float64")
        return found
    if not types.is_numeric_dtype(series.dtype):
        raise GanttError(f"Column {series.name!r} holds {series.dtype}, which are no durations.")
    return series.to_numpy(dtype="float64", na_value=np.nan)


def coded(series: pd.Series[Any]) -> tuple[NDArray[np.int32], list[str]]:
    """Values as numbers and their texts; -1 for none. The texts are in the order in which they first come."""
    import numpy as np
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, texts = series.cat.codes.to_numpy(), [str(value) for value in series.cat.categories]
    else:
        codes, uniques = pd.factorize(series)
        texts = [str(value) for value in uniques]
    return codes.astype(np.int32), texts


def joined(texts: Iterable[str]) -> str:
    """The non-empty ones in one line, as in "ValueError: no such file"."""
    return ": ".join(text for text in texts if text)
