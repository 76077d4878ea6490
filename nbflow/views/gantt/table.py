"""The bars of a chart as a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbflow.views.gantt.lanes import missing, segments
from nbflow.views.gantt.look import Look
from nbflow.views.gantt.rows import Rows
from nbflow.views.gantt.still import marked

if TYPE_CHECKING:
    import pandas as pd


def bars(rows: Rows, look: Look, now: float) -> pd.DataFrame:
    """One row for each wait and each run; see `Gantt.bars`."""
    import numpy as np
    import pandas as pd

    found = segments(rows, now)
    ran = ~np.isnan(rows["run"])
    parts = []
    for kind, start, finish, chosen, length in (
        ("waiting", "wait_start", "wait_end", ~np.isnan(rows["wait"]), rows["wait"]),
        ("running", "run_start", "run_end", ran, rows["run"]),
    ):
        numbers = np.flatnonzero(chosen)
        columns: dict[str, Any] = {
            "row": numbers,
            "lane": _lanes(rows, look, numbers),
            "kind": kind,
            "state": np.array(rows.states.texts, dtype=object)[rows["state"][numbers]],
            "start": _times(rows, found[start][numbers]),
            "finish": _times(rows, found[finish][numbers]),
            "open": np.isinf(length[numbers]),
            "mark": marked(rows)[numbers] & ((kind == "running") | ~ran[numbers]),
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _lanes(rows: Rows, look: Look, numbers: Any) -> Any:
    import numpy as np

    if not look.lanes:
        return np.full(len(numbers), missing(""), dtype=object)
    names = np.array([*rows.lanes[look.lanes].texts, missing(look.lanes)], dtype=object)
    return names[rows[f"lane:{look.lanes}"][numbers]]


def _times(rows: Rows, seconds: Any) -> Any:
    import pandas as pd

    if rows.scale == "elapsed":
        return seconds
    found = pd.to_datetime((seconds * 1e6).round(), unit="us", utc=True)
    return found.tz_localize(None) if rows.scale == "naive" else found
