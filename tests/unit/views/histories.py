"""Frames of attempts for tests of pictures: made by hand, and random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

BEGIN = 1_780_000_000.0  # 28 May 2026, 20:26:40 UTC
TIMES = ("queued_at", "started_at", "finished_at")
STATES = ("ready", "running", "succeeded", "failed", "timed_out", "cancelled", "skipped", "expired")
OVER = ("succeeded", "failed", "timed_out", "cancelled", "skipped", "expired")
TEXTS = ("run", "flow", "task", "step", "state", "queue", "worker", "error_type", "error")


def attempt(number: int = 1, /, **given: Any) -> dict[str, Any]:
    """One attempt: it waited half a second and ran for one. Times are seconds since BEGIN."""
    usual = {
        "run": "run-1", "flow": "training", "seq": number, "task": f"train#{number}", "step": "train", "attempt": 1,
        "state": "succeeded", "queue": "default", "worker": "worker-1", "queued_at": number - 0.5,
        "started_at": float(number), "finished_at": number + 1.0, "error_type": None, "error": None,
    }  # fmt: skip
    return usual | given


def frame_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame with the columns and types that `QueueClient.attempts` gives."""
    made = pd.DataFrame(list(rows), columns=list(attempt()))
    for name in TIMES:
        seconds = pd.to_numeric(made[name]).to_numpy(dtype="float64")
        micros = np.where(np.isnan(seconds), np.iinfo("int64").min, np.nan_to_num((seconds + BEGIN) * 1e6).round())
        made[name] = pd.Series(micros.astype("int64").view("datetime64[us]")).dt.tz_localize("UTC")
    for name in TEXTS:
        made[name] = made[name].astype("str" if name in ("task", "error") else "category")
    return made


def many(count: int, workers: int = 8) -> pd.DataFrame:
    """Short tasks, one after the other on each worker; each hundredth fails."""
    each = -(-count // workers)
    rows = [
        attempt(
            number + 1, queued_at=number // workers * 0.05 - 0.2, started_at=number // workers * 0.05,
            finished_at=number // workers * 0.05 + 0.04, worker=f"worker-{number % workers + 1}",
            state="failed" if number % 100 == 99 else "succeeded", step=f"step {number % 5}",
        )
        for number in range(min(count, each * workers))
    ]  # fmt: skip
    return frame_of(rows)


_moment = st.none() | st.integers(0, 60_000).map(lambda millis: millis / 1000)
_row = st.fixed_dictionaries(
    {
        "state": st.sampled_from(STATES),
        "worker": st.none() | st.sampled_from([f"worker-{n}" for n in range(12)]),
        "queue": st.sampled_from(["default", "gpu"]),
        "step": st.sampled_from(["fetch", "train", "plot"]),
        "attempt": st.integers(1, 3),
        "queued_at": _moment,
        "started_at": _moment,
        "finished_at": _moment,
    }
)


@st.composite
def histories(draw: st.DrawFn) -> pd.DataFrame:
    """Any attempts: times may be missing, and contradict each other and the state."""
    rows = draw(st.lists(_row, max_size=30))
    return frame_of([attempt(number + 1, **row) for number, row in enumerate(rows)])
