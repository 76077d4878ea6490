"""The columns of each frame with their kinds, and `typed`, which makes a frame of raw values.

Every source of frames, nbflow's own database as well as foreign queues, ends in `typed`, so that frames of all of them
have the same columns of the same types and can be put together, compared and drawn alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from nbflow.model.states import State

if TYPE_CHECKING:
    import pandas as pd

# Kinds of columns:
#   text      str, each value its own            time      datetime64[us, UTC]; raw: float seconds since 1970
#   name      category, few values that repeat   duration  timedelta64[us]; raw: float seconds
#   state     category in the order of State     number    Int64, may be missing
#   real      float64, NaN where missing         count     int64, 0 where missing
#   flag      bool, False where missing
RUNS = {
    "run": "text",
    "flow": "name",
    "state": "state",
    "executor": "name",
    "created_at": "time",
    "started_at": "time",
    "finished_at": "time",
    "wait": "duration",
    "duration": "duration",
    "tasks": "count",
    "failed": "count",
    "parameters": "text",
    "tags": "text",
    "parent_run": "text",
    "host": "name",
    "interrupted": "flag",
    "error_type": "name",
    "error": "text",
}
TASKS = {
    "run": "name",
    "flow": "name",
    "seq": "count",
    "task": "text",
    "step": "name",
    "kind": "name",
    "state": "state",
    "queue": "name",
    "worker": "name",
    "created_at": "time",
    "ready_at": "time",
    "started_at": "time",
    "finished_at": "time",
    "wait": "duration",
    "duration": "duration",
    "attempts": "count",
    "progress": "real",
    "cached": "flag",
    "size": "number",
    "type": "name",
    "tags": "name",
    "parent": "number",
    "error_type": "name",
    "error": "text",
}
JOBS = {
    "job": "text",
    "queue": "name",
    "step": "name",
    "kind": "name",
    "state": "state",
    "priority": "number",
    "worker": "name",
    "enqueued_at": "time",
    "due_at": "time",
    "ready_at": "time",
    "started_at": "time",
    "finished_at": "time",
    "wait": "duration",
    "duration": "duration",
    "attempts": "count",
    "losses": "count",
    "progress": "real",
    "message": "text",
    "tags": "name",
    "run": "name",
    "seq": "number",
    "schedule": "name",
    "logical_time": "time",
    "error_type": "name",
    "error": "text",
}
ATTEMPTS = {
    "run": "name",
    "flow": "name",
    "seq": "count",
    "task": "text",
    "step": "name",
    "attempt": "count",
    "state": "state",
    "queue": "name",
    "worker": "name",
    "pid": "number",
    "queued_at": "time",
    "started_at": "time",
    "finished_at": "time",
    "wait": "duration",
    "duration": "duration",
    "cpu": "duration",
    "peak_memory": "number",
    "exit": "name",
    "error_type": "name",
    "error": "text",
}
QUEUES = {
    "queue": "text",
    "state": "name",  # open, paused or draining
    "priority": "number",
    "workers": "count",  # alive, and serving it
    "ready": "count",
    "delayed": "count",  # pending until a time
    "waiting": "count",  # pending behind other jobs or a limit
    "running": "count",
    "failed": "count",  # or timed out
    "ended": "count",  # in any way, as far as kept
    "waiting_since": "time",  # of the one that is served next
    "max_running": "number",
    "max_per_worker": "number",
    "rate_count": "number",
    "rate_period": "duration",
    "ageing": "duration",
    "created_at": "time",
}
WORKERS = {
    "worker": "text",
    "state": "name",  # running, draining, stopped or lost
    "alive": "flag",
    "host": "name",
    "pid": "number",
    "queues": "text",  # "all", or their names
    "excluded": "text",
    "concurrency": "number",
    "busy": "count",
    "done": "count",
    "version": "name",
    "started_at": "time",
    "seen_at": "time",
}
SCHEDULES = {
    "schedule": "text",
    "kind": "name",
    "expression": "text",
    "zone": "name",
    "queue": "name",
    "target": "name",
    "paused": "flag",
    "next_at": "time",
    "last_at": "time",
    "start_at": "time",
    "end_at": "time",
    "catchup": "name",
    "overlap": "name",
    "misfire_grace": "duration",
    "jitter": "duration",
    "error": "text",
    "created_at": "time",
}
EVENTS = {
    "event": "text",
    "time": "time",
    "kind": "name",
    "run": "name",
    "flow": "name",
    "seq": "number",
    "task": "text",
    "data": "text",  # JSON
}
ARTIFACTS = {  # results that lie in a file of their own, one row for each
    "uri": "text",
    "digest": "text",
    "size": "number",
    "type": "name",
    "run": "name",
    "flow": "name",
    "seq": "number",
    "task": "text",  # of a plain job its id; empty for the result of a run
    "created_at": "time",
}
COLUMNS: dict[str, dict[str, str]] = {
    "runs": RUNS,
    "tasks": TASKS,
    "jobs": JOBS,
    "attempts": ATTEMPTS,
    "queues": QUEUES,
    "workers": WORKERS,
    "schedules": SCHEDULES,
    "events": EVENTS,
    "artifacts": ARTIFACTS,
}

_LATEST = 253_402_300_800.0  # seconds: the year 10,000; what lies beyond is no time that anybody meant
_MANY = 100_000  # rows
# Where the wait begins: the first of these that a frame has a value of.
_WAITS_FROM = ("ready_at", "queued_at", "enqueued_at", "created_at")


def typed(what: str, columns: Mapping[str, Sequence[Any]], *, only: Sequence[str] = ()) -> pd.DataFrame:
    """A frame of raw values: every column of the kind of frame `what`, in order, each of its type.

    `columns`: by name, all of one length; times as seconds since 1970 and durations as seconds (ints, floats or None),
    or as numpy's datetime64 and timedelta64. Columns that are not given are empty; `wait` and `duration` are computed
    from the times if they can be, for what has begun and what has ended. `only`: just these columns.
    Raises ValueError for columns that there are not in such a frame, or of different lengths.
    """
    import pandas as pd

    kinds = COLUMNS[what]
    unknown = [name for name in columns if name not in kinds]
    if unknown:
        raise ValueError(f"A frame of {what} has no column {unknown[0]!r}. Its columns: {', '.join(kinds)}.")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"The columns of a frame have the same length, not {sorted(lengths)}.")
    length = lengths.pop() if lengths else 0
    made = dict(zip(columns, _all(kinds, columns, length), strict=True))
    for name, value in _spans(made).items():
        made.setdefault(name, value)
    wanted = [name for name in kinds if not only or name in only]
    whole = {name: made[name] if name in made else _column(kinds[name], [None] * length) for name in wanted}
    return pd.DataFrame(whole, index=pd.RangeIndex(length), copy=False)


def _all(kinds: Mapping[str, str], columns: Mapping[str, Any], length: int) -> list[Any]:
    """The columns, made side by side where that is worth it: numpy leaves the other threads of Python alone."""
    if length < _MANY:
        return [_column(kinds[name], values) for name, values in columns.items()]
    with ThreadPoolExecutor(thread_name_prefix="nbflow-columns") as pool:
        return list(pool.map(lambda name: _column(kinds[name], columns[name]), columns))


def _column(kind: str, values: Any) -> Any:
    import numpy as np
    import pandas as pd

    if kind == "time":
        return pd.DatetimeIndex(_moments(values, "datetime64[us]")).tz_localize("UTC")
    if kind == "duration":
        return pd.TimedeltaIndex(_moments(values, "timedelta64[us]"))
    if kind in ("name", "state"):
        return _category(values, ordered_like_states=kind == "state")
    if kind == "number":
        reals = _reals(values)
        missing = np.isnan(reals)
        return pd.arrays.IntegerArray(np.where(missing, 0, reals).astype(np.int64), missing)
    if kind == "count":
        return _reals(values, missing=0.0).astype(np.int64)
    if kind == "flag":
        return _reals(values, missing=0.0) != 0
    if kind == "real":
        return _reals(values)
    if isinstance(values, pd.Categorical):  # texts of which most are missing
        names = np.array([*values.categories, None], dtype=object)
        return pd.array(names, dtype=_text_type()).take(values.codes)
    return pd.array(values, dtype=_text_type())


def _text_type() -> Any:
    """What texts are: pandas has had strings as a type of their own since version 3."""
    import pandas as pd

    return "str" if int(pd.__version__.partition(".")[0]) >= 3 else object


def _reals(values: Any, missing: float = float("nan")) -> Any:
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype != object:
        return np.where(np.isnan(values), missing, values) if missing == 0 else values
    return np.array([missing if value is None else value for value in values], dtype=np.float64)


def _moments(values: Any, dtype: str) -> Any:
    """Seconds as moments or spans of microseconds; what is missing, or cannot be a time, is NaT."""
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind in "mM":
        return values.astype(dtype, copy=False)
    seconds = _reals(values).astype(np.float64, copy=False)
    bad = ~(np.abs(seconds) < _LATEST)  # NaN too
    any_bad = bad.any()
    micros = (np.where(bad, 0.0, seconds) if any_bad else seconds) * 1e6
    whole = np.rint(micros, out=micros).astype(np.int64)
    if any_bad:
        whole[bad] = np.iinfo(np.int64).min  # numpy's NaT
    return whole.view(dtype)


def _category(values: Any, *, ordered_like_states: bool) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(values, pd.Categorical):
        codes, names = values.codes, list(values.categories)
    else:
        texts = np.array([None if value is None else str(value) for value in values], dtype=object)
        codes, found = pd.factorize(texts)
        names = list(found)
    wanted = sorted(names)
    if ordered_like_states:
        known = [state.value for state in State]
        wanted = [*known, *(name for name in wanted if name not in known)]
    place = {name: number for number, name in enumerate(wanted)}
    moved = np.array([*(place[name] for name in names), -1], dtype=np.int32)[codes]  # the last: missing
    return pd.Categorical.from_codes(moved, categories=pd.Index(wanted, dtype=_text_type()))


def _spans(made: Mapping[str, Any]) -> dict[str, Any]:
    """How long each row waited and took, as far as both ends are known."""
    started, finished = made.get("started_at"), made.get("finished_at")
    spans = {}
    if started is not None:
        begin = next((made[name] for name in _WAITS_FROM if name in made), None)
        if begin is not None:
            spans["wait"] = started - begin
        if finished is not None:
            spans["duration"] = finished - started
    return spans
