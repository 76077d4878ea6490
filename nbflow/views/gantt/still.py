"""What all pictures that stand still have in common: where lanes are, and what each pixel shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbflow.views.gantt import axis
from nbflow.views.gantt.lanes import Lane, Scale, Segments, extent, lay_out, segments, waited, worst
from nbflow.views.gantt.look import Look
from nbflow.views.gantt.rows import Rows
from nbflow.views.gantt.text import notes, summary
from nbflow.views.words import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AXIS, LANE, PAD, BAR, LINE = 24, 18, 3, 12, 3  # pixels: axis, track, above and below a lane, bar, line of waiting
CHARACTER = 6.2  # pixels of a character at 11 px
_PACKED = 3_000  # rows up to which overlapping bars lie side by side; of more, a lane shows the worst state
_SINGLE = 600  # rows up to which each bar is drawn by itself, with its name
_GUTTER = 200  # pixels that names of lanes take at most


@dataclass(frozen=True, slots=True)
class Bar:
    """One run, or a mark where there is no more to draw. In pixels of the picture."""

    x: float
    y: float  # upper edge of its track
    width: float
    state: str
    label: str
    framed: bool = False  # on the critical path


@dataclass(frozen=True)
class Still:
    """A chart at one moment."""

    rows: Rows
    look: Look
    now: float
    width: int = 900
    most: int | None = None  # tracks that are shown, of all there are
    path: frozenset[int] = frozenset()  # rows on the critical path

    @cached_property
    def lanes(self) -> list[Lane]:
        """The lanes that are shown, from the top."""
        shown: list[Lane] = []
        used = 0
        for lane in self._lanes:
            used += lane.height
            if self.most is not None and used > self.most and shown:
                break
            shown.append(lane)
        return shown

    def of(self, most: int) -> Still:
        """The same with other tracks. What does not depend on them is not worked out again."""
        other = replace(self, most=most)
        for name in ("_lanes", "segments", "extent"):
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other

    @property
    def hidden(self) -> int:
        """How many lanes are not shown."""
        return len(self._lanes) - len(self.lanes)

    @cached_property
    def _lanes(self) -> list[Lane]:
        return lay_out(self.rows, self.look.lanes, packed=self.rows.count <= _PACKED) if self.rows.count else []

    @cached_property
    def summary(self) -> str:
        """The chart in one line."""
        begin, end = self.extent
        return summary(self.rows, self.look, end - begin)

    @cached_property
    def notes(self) -> list[str]:
        """What the reader has to know."""
        found = notes(self.rows, self.look)
        if self.hidden:
            shown, every = len(self.lanes), len(self._lanes)
            found.append(f"{shown:,} of {every:,} lanes are shown here; the live chart and to_svg() have all.")
        return found

    @property
    def gutter(self) -> int:
        """Pixels left of the bars."""
        longest = max((len(one_line(lane.name, 40)) for lane in self.lanes), default=8)
        return round(min(_GUTTER, max(112, longest * CHARACTER + 20)))

    @property
    def top(self) -> int:
        """Pixels above the axis."""
        return 44 if self.look.title else 26

    @cached_property
    def scale(self) -> Scale:
        """How times become pixels, counted from the gutter."""
        begin, end = self.extent
        margin = (end - begin) * 0.01
        return Scale(begin - margin, end + margin * 1.5, self.width - self.gutter)

    def places(self) -> Iterator[tuple[Lane, int]]:
        """Each lane and its upper edge."""
        y = self.top + AXIS
        for lane in self.lanes:
            yield lane, y
            y += lane.height * LANE + 2 * PAD

    @cached_property
    def bottom(self) -> int:
        """The lower edge of the last lane."""
        return self.top + AXIS + sum(lane.height * LANE + 2 * PAD for lane in self.lanes)

    @cached_property
    def tracks(self) -> list[int]:
        """The upper edge of each track."""
        return [y + PAD + track * LANE for lane, y in self.places() for track in range(lane.height)]

    @cached_property
    def ticks(self) -> list[axis.Tick]:
        """The ticks of the axis."""
        scale = self.scale
        count = max(2, scale.width // 95)
        if self.rows.scale == "elapsed":
            return list(axis.elapsed_ticks(scale.begin, scale.end, count))
        return list(axis.clock_ticks(scale.begin, scale.end, count, self.look.zone))

    @property
    def beginning(self) -> str:
        """What stands beside the axis: the day and the zone."""
        if self.rows.scale == "elapsed":
            return "time since start"
        begin = self.scale.begin
        return " · ".join(filter(None, (axis.date_text(begin, self.look.zone), self.look.zone_text(begin))))

    @cached_property
    def states(self) -> NDArray[np.int16]:
        """The worst state of each pixel of each track, as its place in the look's order; -1 for none."""
        return worst(self.rows, self.lanes, self.scale, self.segments, self.look.order)

    @cached_property
    def waits(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """For each pixel of each track whether something waited there; and whether something still waits there."""
        still = self.segments["run_start"] != self.segments["run_start"]
        still &= self.segments["wait_end"] >= self.now
        done, open_ = (waited(self.lanes, self.scale, self.segments, chosen) for chosen in (~still, still))
        return done, open_

    @cached_property
    def extent(self) -> tuple[float, float]:
        """The first and the last time of all bars."""
        return extent(self.rows, self.segments, self.now)

    @cached_property
    def segments(self) -> Segments:
        """When each row waited and ran."""
        return segments(self.rows, self.now)

    @property
    def single(self) -> bool:
        """Whether each bar is drawn by itself."""
        return self.rows.count <= _SINGLE

    def bars(self) -> Iterator[Bar]:
        """Each bar that is drawn by itself."""
        start, end, run = self.segments["run_start"], self.segments["run_end"], self.rows["run"]
        names = labels(self.rows, self.look)
        for row, y in self._rows(~(start != start) & ~(run < 0)):
            x, right = (self.gutter + float(self.scale.x(times[row])) for times in (start, end))
            gap = 1.0 if right - x > 4 else 0.0
            yield Bar(x, y, max(1.0, right - x - gap), self._state(row), names[row], row in self.path)

    def marks(self) -> list[Bar]:
        """Where times contradict each other or an end is not known: one mark for each pixel and state."""
        at = self.rows["at"]
        found: dict[tuple[int, int, str], Bar] = {}
        for row, y in self._rows(marked(self.rows)):
            x, state = self.gutter + float(self.scale.x(at[row])), self._state(row)
            found.setdefault((round(x), y, state), Bar(x, y, 0, state, ""))
        return list(found.values())

    def _rows(self, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """The chosen rows, each with the upper edge of its track."""
        for lane, y in self.places():
            wanted = chosen[lane.rows]
            for row, track in zip(lane.rows[wanted].tolist(), lane.tracks[wanted].tolist(), strict=True):
                yield row, y + PAD + track * LANE

    def _state(self, row: int) -> str:
        return self.rows.states.texts[int(self.rows["state"][row])]


def labels(rows: Rows, look: Look) -> list[str]:
    """What each bar says: its step, or where the lane says that already, its task."""
    steps = rows.lanes.get("step")
    if look.lanes == "task":
        return [f"attempt {number}" if number > 1 else "" for number in rows["attempt"].tolist()]
    if look.lanes == "step" or steps is None:
        return rows.tasks()
    return [steps.texts[code] if code >= 0 else "" for code in rows["lane:step"].tolist()]


def marked(rows: Rows) -> NDArray[Any]:
    """Which rows have times that contradict each other, or an end that nobody knows."""
    import numpy as np

    found: NDArray[Any] = (rows["run"] < 0) | ((rows["wait"] < 0) & ~np.isnan(rows["run"]))
    found |= rows["endless"].astype(bool)
    return found


def stretches(pixels: Any) -> list[tuple[int, int]]:
    """Where in a track pixels are set: (first, one after the last) of each stretch."""
    import numpy as np

    edges = np.flatnonzero(np.diff(pixels, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def coarser(still: Sequence[Any], by: int) -> tuple[Any, Any, Any]:
    """States and waits with `by` pixels in one, in which the worst of them counts."""
    import numpy as np

    states, done, open_ = still

    def blocks(values: Any, filler: Any) -> Any:
        height, width = values.shape
        padded = np.full((height, -(-width // by) * by), filler, values.dtype)
        padded[:, :width] = values
        return padded.reshape(height, -1, by)

    least = np.where(states < 0, np.iinfo(np.int16).max, states)
    merged = np.repeat(blocks(least, np.iinfo(np.int16).max).min(axis=2), by, axis=1)[:, : states.shape[1]]
    merged = np.where(merged == np.iinfo(np.int16).max, -1, merged)
    spread = [np.repeat(blocks(each, False).any(axis=2), by, axis=1)[:, : states.shape[1]] for each in (done, open_)]
    return merged, spread[0], spread[1]
