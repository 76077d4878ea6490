"""One frame as the columns that bars are made of. What a bar is, is said here and nowhere else in Python.

`at` is when something started, or if it did not, when it was queued. `wait` is how long it waited: before `at` if it
started, from `at` on if not. `run` is how long it ran, NaN if it did not start. What is still open has the length
infinity and ends now. A negative length is a contradiction: clocks of workers that differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbflow.model.states import FINISHED
from nbflow.views.gantt.columns import Columns, GanttError, coded, lengths, seconds

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Codes = NDArray[np.int32]

_MOST_STATES = 200
_FINISHED = frozenset(state.value for state in FINISHED)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one frame that have times, ordered by `at`. All arrays have one entry for each."""

    at: Numbers  # seconds since 1970, or since some beginning
    wait: Numbers
    run: Numbers
    attempt: Codes  # from 1; 0 if unknown
    state: tuple[Codes, list[str]]
    lanes: dict[str, tuple[Codes, list[str]]]
    positions: NDArray[np.intp]  # of the rows in the frame
    timeless: int  # rows without any time, which are left out
    endless: NDArray[np.bool_]  # whether it has ended, nobody knows when
    scale: str  # see columns.seconds


def read(frame: pd.DataFrame, columns: Columns) -> Part:
    """Make columns of a frame. Raises GanttError if its times cannot be read as times."""
    import numpy as np

    times, scale = _times(frame, columns)
    codes, states = _states(frame, columns)
    ended = np.isin(codes, [code for code, state in enumerate(states) if state in _FINISHED])
    at, wait, run, endless = _bars(*times, ended)
    positions = np.flatnonzero(~np.isnan(at))
    if not np.all(at[positions][1:] >= at[positions][:-1]):
        positions = positions[np.argsort(at[positions], kind="stable")]
    whole = len(positions) == len(frame) and bool(np.all(positions == np.arange(len(frame))))

    def taken(values: Any) -> Any:
        return values if whole else values[positions]

    lanes = {kind: coded(frame[column]) for kind, column in columns.lanes.items()}
    return Part(
        at=taken(at),
        wait=taken(wait),
        run=taken(run),
        attempt=taken(_attempts(frame, columns)),
        state=(taken(codes), states),
        lanes={kind: (taken(codes), texts) for kind, (codes, texts) in _tasks_by_run(lanes).items()},
        positions=positions,
        timeless=len(frame) - len(positions),
        endless=taken(endless),
        scale=scale,
    )


def _times(frame: pd.DataFrame, columns: Columns) -> tuple[tuple[Numbers, Numbers, Numbers], str]:
    """Seconds at which each row was queued, started and finished."""
    import numpy as np

    nothing = np.full(len(frame), np.nan)
    read = {name: seconds(frame[name]) for name in (*columns.queued, columns.start, columns.finish) if name}
    scales = {scale for name, (values, scale) in read.items() if not np.isnan(values).all()}
    if len(scales) > 1:
        raise GanttError(
            f"Columns {', '.join(map(repr, read))} mix times with a zone, times without one, or numbers. Make them "
            'alike, or name those that count: gantt(frame, start="...", finish="...").'
        )
    queued = nothing
    for name in columns.queued:
        queued = np.where(np.isnan(queued), read[name][0], queued)
    started = read[columns.start][0] if columns.start else nothing
    finished = read[columns.finish][0] if columns.finish else nothing
    if columns.finish is None and columns.duration is not None:
        finished = started + lengths(frame[columns.duration])
    return (queued, started, finished), next(iter(scales), "clock")


def _bars(queued: Numbers, started: Numbers, finished: Numbers, ended: Any) -> tuple[Numbers, Numbers, Numbers, Any]:
    import numpy as np

    has_started, has_finished = ~np.isnan(started), ~np.isnan(finished)
    at = np.where(has_started, started, np.where(np.isnan(queued), finished, queued))
    unknown = np.where(ended, 0.0, np.inf)  # how long something without a time of its end lasts
    run = np.where(has_finished, finished - started, np.where(has_started, unknown, np.nan))
    waited = np.where(has_started, started, finished) - queued
    wait = np.where(np.isnan(waited) & ~np.isnan(queued), unknown, waited)
    lone = ~has_started & np.isnan(queued)  # all that is known is when it ended
    return at, wait, np.where(lone & has_finished, 0.0, run), ended & ~has_finished


def _states(frame: pd.DataFrame, columns: Columns) -> tuple[Codes, list[str]]:
    import numpy as np

    if columns.state is None:
        return np.zeros(len(frame), np.int32), [""]
    codes, states = coded(frame[columns.state])
    if len(states) > _MOST_STATES:
        raise GanttError(
            f"Column {columns.state!r} has {len(states):,} different values, which are no states. "
            'Name another column for them: gantt(frame, state="...").'
        )
    if (codes < 0).any():
        codes, states = np.where(codes < 0, len(states), codes).astype(np.int32), [*states, ""]
    return codes, states


def _attempts(frame: pd.DataFrame, columns: Columns) -> Codes:
    import numpy as np
    from pandas.api import types

    if columns.attempt is None or not types.is_numeric_dtype(frame[columns.attempt].dtype):
        return np.zeros(len(frame), np.int32)
    return frame[columns.attempt].to_numpy(dtype="float64", na_value=0).astype(np.int32)


def _tasks_by_run(lanes: dict[str, tuple[Codes, list[str]]]) -> dict[str, tuple[Codes, list[str]]]:
    """The same, where tasks of several runs that share a key have a lane each."""
    import numpy as np
    import pandas as pd

    if "task" not in lanes or "run" not in lanes or len(lanes["run"][1]) < 2:
        return lanes
    (tasks, names), (runs, ids) = lanes["task"], lanes["run"]
    codes, pairs = pd.factorize(runs.astype(np.int64) * (len(names) + 1) + tasks + 1)
    of_task, of_run = pairs % (len(names) + 1) - 1, pairs // (len(names) + 1)
    if len(np.unique(of_task)) == len(pairs):
        return lanes
    both = zip(of_run.tolist(), of_task.tolist(), strict=True)
    texts = [_text(ids, run, " / ") + _text(names, task, "") for run, task in both]
    return lanes | {"task": (codes.astype(np.int32), texts)}


def _text(names: Sequence[str], code: int, end: str) -> str:
    return names[code] + end if code >= 0 else ""
