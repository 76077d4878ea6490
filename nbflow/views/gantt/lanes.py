"""Which lane and which track of it each row is drawn in, and which pixels are covered.

A lane has as many tracks as things ran in it at once. Something that only waited so far takes no track of its own.
The canvas does the same in the browser, where lanes are switched and folded; here it is done for pictures that stand
still.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nbflow.views.gantt.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MISSING = {"worker": "no worker yet", "": "all"}
_TOLERANCE = 1e-6  # seconds that two bars may overlap and still share a track: times are rounded to this
_BY_NAME = ("worker", "queue")  # kinds of lanes whose lanes are in the order of their names, others in that of time


Segments = Mapping[str, "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane from the top."""

    name: str
    rows: NDArray[np.intp]  # numbers of its rows, ordered by `at`
    tracks: NDArray[np.int32]  # the track of each of them, from 0
    height: int  # how many tracks there are


def lay_out(rows: Rows, kind: str, *, packed: bool = True) -> list[Lane]:
    """The lanes of a kind; "" puts everything in one. Not `packed`: one track for each lane, whatever overlaps."""
    import numpy as np

    codes = rows[f"lane:{kind}"] if kind else np.full(rows.count, -1, np.int32)
    order = _by_lane_and_time(codes, rows["at"])
    bounds = np.flatnonzero(np.diff(codes[order], prepend=-2, append=np.iinfo(np.int32).max))
    names = rows.lanes[kind].texts if kind else []
    lanes: list[Lane] = []
    for begin, end in pairwise(bounds.tolist()):
        numbers = order[begin:end]
        code = int(codes[numbers[0]])
        tracks = _pack(rows, numbers) if packed else np.zeros(len(numbers), np.int32)
        lanes.append(Lane(names[code] if code >= 0 else missing(kind), numbers, tracks, int(tracks.max()) + 1))
    return sorted(lanes, key=lambda lane: _rank(rows, kind, lane))


def _by_lane_and_time(codes: NDArray[np.int32], at: NDArray[np.float64]) -> NDArray[np.intp]:
    import numpy as np

    small = codes.astype(np.int16) if codes.max() < 2**15 else codes  # of small numbers, a million sort in 10 ms
    if bool(np.all(at[1:] >= at[:-1])):
        return np.argsort(small, kind="stable")
    by_time = np.argsort(at, kind="stable")
    return by_time[np.argsort(small[by_time], kind="stable")]


def missing(kind: str) -> str:
    """What the lane of rows is called that have no value of this kind."""
    return _MISSING.get(kind, f"no {kind}")


def _rank(rows: Rows, kind: str, lane: Lane) -> tuple[Any, ...]:
    last = lane.name == missing(kind)
    return (last, _natural(lane.name)) if kind in _BY_NAME else (last, float(rows["at"][lane.rows[0]]))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """An order in which worker-10 comes after worker-9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _pack(rows: Rows, numbers: NDArray[np.intp]) -> NDArray[np.int32]:
    """The lowest track that is free when each row begins to run."""
    import numpy as np

    tracks = np.zeros(len(numbers), np.int32)
    busy: list[tuple[float, int]] = []  # (until, track)
    free: list[int] = []
    used = 0
    at, run = rows["at"][numbers].tolist(), rows["run"][numbers].tolist()
    for place, (start, length) in enumerate(zip(at, run, strict=True)):
        if length != length:  # only waited
            continue
        while busy and busy[0][0] <= start + _TOLERANCE:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            track = heapq.heappop(free)
        else:
            track, used = used, used + 1
        tracks[place] = track
        heapq.heappush(busy, (start + max(length, 0.0), track))
    return tracks


@dataclass(frozen=True, slots=True)
class Scale:
    """How times become pixels."""

    begin: float  # seconds at the left edge
    end: float  # at the right edge
    width: int  # pixels

    def x(self, times: Any) -> Any:
        """Pixels from the left edge, as a number or an array."""
        return (times - self.begin) * (self.width / (self.end - self.begin))


def segments(rows: Rows, now: float) -> Segments:
    """When each row began and ceased to wait and to run, in seconds; NaN for what it did not do.

    What is open ends now, at the earliest when it began. A contradiction has no length.
    """
    import numpy as np

    at, wait, run = rows["at"], rows["wait"], rows["run"]
    ran = ~np.isnan(run)
    open_end = np.maximum(now, at)
    wait_end = np.where(np.isinf(wait), open_end, np.where(ran, at, at + np.maximum(wait, 0)))
    wait_start = np.where(ran, at - np.maximum(wait, 0), at)
    waited = np.isnan(wait)
    return {
        "wait_start": np.where(waited, np.nan, wait_start),
        "wait_end": np.where(waited, np.nan, wait_end),
        "run_start": np.where(ran, at, np.nan),
        "run_end": np.where(np.isinf(run), open_end, at + np.maximum(run, 0)),
    }


def extent(rows: Rows, found: Segments, now: float) -> tuple[float, float]:
    """The first and the last time of all bars, never the same. Where there are none it ends now."""
    import numpy as np

    if not rows.count:
        return now - 1, now
    begin = float(np.nanmin(np.fmin(found["wait_start"], rows["at"])))
    end = float(np.nanmax(np.fmax(np.fmax(found["wait_end"], found["run_end"]), rows["at"])))
    return begin, end if end > begin else begin + 1e-3


def worst(rows: Rows, lanes: Sequence[Lane], scale: Scale, found: Segments, order: Sequence[str]) -> NDArray[np.int16]:
    """For each track and pixel the worst state of what ran there, as its place in `order`; -1 where nothing ran."""
    import numpy as np

    height = sum(lane.height for lane in lanes)
    picture = np.full((height, scale.width), -1, np.int16)
    numbers, tracks = _flat(lanes)
    ran = ~np.isnan(found["run_start"][numbers])
    numbers, tracks = numbers[ran], tracks[ran]
    first, last = pixels(scale, found["run_start"][numbers], found["run_end"][numbers])
    states = rows["state"][numbers]
    texts = rows.states.texts
    for rank in reversed(range(len(order))):
        chosen = states == texts.index(order[rank]) if order[rank] in texts else np.zeros(len(states), bool)
        if chosen.any():
            picture[covered(tracks[chosen], first[chosen], last[chosen], picture.shape)] = rank
    return picture


def waited(lanes: Sequence[Lane], scale: Scale, found: Segments, chosen: Any) -> NDArray[np.bool_]:
    """For each track and pixel whether one of the chosen rows waited there."""
    import numpy as np

    numbers, tracks = _flat(lanes)
    has = (found["wait_end"][numbers] > found["wait_start"][numbers]) & chosen[numbers]
    numbers, tracks = numbers[has], tracks[has]
    first, last = pixels(scale, found["wait_start"][numbers], found["wait_end"][numbers])
    return covered(tracks, first, last, (int(np.sum([lane.height for lane in lanes])), scale.width))


def _flat(lanes: Sequence[Lane]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of all lanes, and of each the track from the top."""
    import numpy as np

    tops = np.cumsum([0, *(lane.height for lane in lanes)])
    numbers = np.concatenate([lane.rows for lane in lanes])
    return numbers, np.concatenate([lane.tracks + top for lane, top in zip(lanes, tops[:-1], strict=True)])


def pixels(scale: Scale, start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[Any, Any]:
    """The first and the last pixel of bars; every bar has at least one."""
    import numpy as np

    first = np.clip(np.floor(scale.x(start) + 1e-6).astype(np.int64), 0, scale.width - 1)
    last = np.clip(np.ceil(scale.x(end) - 1e-6).astype(np.int64) - 1, 0, scale.width - 1)
    return first, np.maximum(first, last)


def covered(tracks: Any, first: Any, last: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of (tracks, width) that are in one of these stretches. Costs as much as reading them once."""
    import numpy as np

    height, width = shape
    begins = np.bincount(tracks * (width + 1) + first, minlength=height * (width + 1))
    ends = np.bincount(tracks * (width + 1) + last + 1, minlength=height * (width + 1))
    inside: NDArray[np.bool_] = np.cumsum((begins - ends).reshape(height, width + 1), axis=1)[:, :width] > 0
    return inside
