"""The chart as users hold it."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.views import alive
from nbflow.views.gantt import axis, figure, keepsake, png, svg, terminal, trace
from nbflow.views.gantt import columns as columns_module
from nbflow.views.gantt.columns import GanttError
from nbflow.views.gantt.critical import Links
from nbflow.views.gantt.lanes import extent, segments
from nbflow.views.gantt.live import Live
from nbflow.views.gantt.look import Look
from nbflow.views.gantt.rows import Rows
from nbflow.views.gantt.table import bars
from nbflow.views.words import one_line

if TYPE_CHECKING:
    import pandas as pd

_EARLY = 50_000  # rows beyond which the live picture is shown before those that stand still are drawn
_REFRESH = 20.0  # seconds between two of these pictures while rows come


def gantt(
    frame: pd.DataFrame,
    *,
    lanes: str = "worker",
    title: str | None = None,
    start: str | None = None,
    finish: str | None = None,
    queued: str | None = None,
    duration: str | None = None,
    state: str | None = None,
    total: int | None = None,
    tz: str | None = None,
    now: float | None = None,
    links: Links | None = None,
    handle: Callable[[dict[str, Any]], Any] | None = None,
    feed: Callable[[Gantt], None] | None = None,
    height: int | None = None,
) -> Gantt:
    """Draw a frame of attempts, jobs, tasks, runs, or of anything that began and ended.

    `frame`: one row for each bar, with times; see `QueueClient.attempts()`. Columns are found by their usual names
    (started_at or start, finished_at or end, queued_at, state, worker, step ...), or are named: `start`, `finish`,
    `queued` (since when it waited), `duration` (instead of `finish`), `state`. Times without a zone are shown as they
    read; small numbers are seconds since some beginning.

    `lanes`: "worker", "queue", "step", "flow", "run", "task", or a column. In the picture they can be switched.
    `total`: how many rows there are, if the frame was limited; the picture tells. `tz`: the time zone of the axis, as
    "Europe/Berlin"; the local one if not given. `now`: seconds since 1970 at which open bars end. `links`: what the
    critical path is found by. `handle`: makes what `selected` is from a clicked row. `feed`: called in a thread of its
    own when the chart is first shown where it can change, to `update` it until it has called `finish`. `height`: pixels
    of the picture, which scrolls if the lanes need more.

    Raises GanttError if the frame has no times, or not the columns that were named.
    """
    given = {"start": start, "finish": finish, "queued": queued, "duration": duration, "state": state}
    found = columns_module.find(frame, given, lanes)
    kind = columns_module.choose(found, lanes)
    axis.zone_of(tz)
    rows = Rows(frame, found)
    look = Look(
        title=title or "",
        lanes=kind,
        kind="attempts" if found.attempt else "rows",
        total=frame.attrs.get("total") if total is None else total,
        zone_name="" if rows.scale == "naive" else tz,
        height=height,
        states=tuple(rows.states.texts),
        untold=_untold(frame),
    )
    now = frame.attrs.get("read_at") if now is None and rows.scale == "clock" else now
    live = Live(rows, look, _now(rows) if now is None else now, links)
    live.handle = handle
    return Gantt(live, feed)


def _untold(frame: pd.DataFrame) -> tuple[str, ...]:
    """What frames of `QueueClient` tell about what their queue cannot tell."""
    missing = frame.attrs.get("missing", {})
    return tuple(one_line(f"{name.rpartition('.')[2]}: {reason}", 200) for name, reason in missing.items())


def _now(rows: Rows) -> float:
    """When open bars end: now, or where times are no times of the clock, at the last of them."""
    if rows.scale == "clock":
        return time.time()
    return extent(rows, segments(rows, float("-inf")), 0.0)[1]


class Gantt:
    """A Gantt chart. It shows itself in notebooks, can be fed with what changes, and be saved.

    In the picture: Ctrl + wheel zooms, dragging moves, dragging along the axis zooms to a stretch, a double click
    zooms to a bar; a click on the name of a lane folds it, one on a bar makes it `selected`.
    """

    def __init__(self, live: Live, feed: Callable[[Gantt], None] | None = None) -> None:
        """Of rows and their look; `gantt()` makes both of a frame."""
        self._live = live
        self._feed = feed
        self._shown = False
        self._pictured = 0.0

    # --- what it shows -------------------------------------------------------------------------------------------

    @property
    def frame(self) -> pd.DataFrame:
        """The rows that are drawn, with those that have come since."""
        with self._live.lock:
            return self._live.rows.frame()

    @property
    def bars(self) -> pd.DataFrame:
        """The bars that are drawn: one for each wait and each run.

        Columns: row (its place in `frame`), lane, kind ("waiting" or "running"), state, start, finish, open (it ends
        now) and mark (its times contradict each other, or nobody knows when it ended).
        """
        with self._live.lock:
            return bars(self._live.rows, self._live.look, self._live.now)

    @property
    def critical_path(self) -> pd.DataFrame:
        """The rows that decided when the run ended, in the order of time; none if no links were given."""
        with self._live.lock:
            return self._live.rows.frame().iloc[self._live.path()[0]]

    @property
    def selected(self) -> Any:
        """What was clicked last: what `handle` made of its row, or the row as a dict; None if nothing was."""
        return self._live.selected

    def on_click(self, callback: Callable[[Any], Any]) -> Gantt:
        """Have a function called with what was clicked, as `selected` would be. Returns the chart."""
        self._live.callbacks.append(callback)
        return self

    @property
    def widget(self) -> Any:
        """The live picture as a widget, to stand among other widgets."""
        return self._alive().widget

    # --- what changes --------------------------------------------------------------------------------------------

    def update(self, frame: pd.DataFrame, *, now: float | None = None, links: Links | None = None) -> None:
        """Put new and changed rows into the picture, wherever it is shown. Open bars grow from now on.

        `frame` has the columns of the first one. Rows are the same if run, task and attempt are; in a frame without
        these, if its index is. `now`: seconds since 1970 at which open bars end.
        """
        self._live.update(frame, _now(self._live.rows) if now is None else now, links)
        if self._shown and time.monotonic() - self._pictured > _REFRESH:
            self._picture_again()

    def tick(self) -> None:
        """Tell that nothing has changed until now, so that open bars go on growing."""
        self._live.heard(_now(self._live.rows), live=True)

    def finish(self) -> None:
        """Tell that nothing changes any more: open bars stand still, and the notebook keeps the picture as it is."""
        self._live.heard(self._live.now, live=False)
        self._picture_again()

    # --- other forms ---------------------------------------------------------------------------------------------

    def to_html(self) -> str:
        """A page that stands alone, offline too, with all rows and all of what the live picture can do."""
        return self._live.page()

    def to_svg(self, *, width: int = 900) -> str:
        """The picture as SVG without scripts, with all of its lanes, for light and dark ground."""
        with self._live.lock:
            return svg.draw(self._live.still(width))

    def to_png(self, *, width: int = 900) -> bytes:
        """The picture as PNG. Raises GanttError if Pillow is not installed."""
        with self._live.lock:
            return png.draw(self._live.still(width))

    def to_trace(self) -> str:
        """The bars as JSON that ui.perfetto.dev and chrome://tracing open."""
        with self._live.lock:
            return trace.trace(self._live.rows, self._live.look, self._live.now)

    def to_text(self) -> str:
        """The picture in characters, for a terminal."""
        with self._live.lock:
            return terminal.draw(self._live.still())

    def figure(self) -> Any:
        """The picture as a `plotly` figure, to go on with. Raises GanttError beyond 20,000 rows."""
        with self._live.lock:
            return figure.figure(self._live.rows, self._live.look, self._live.now)

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file; its suffix says as what: .html, .svg, .png, or .json (.json.gz) for a trace.

        Raises GanttError for other suffixes, and for .png if Pillow is not installed.
        """
        path = Path(path)
        forms: dict[str, Callable[[], bytes]] = {
            ".html": lambda: self.to_html().encode(),
            ".svg": lambda: self.to_svg().encode(),
            ".png": self.to_png,
            ".json": lambda: self.to_trace().encode(),
            ".json.gz": lambda: gzip.compress(self.to_trace().encode()),
        }
        form = next((form for suffix, form in forms.items() if path.name.lower().endswith(suffix)), None)
        if form is None:
            raise GanttError(f"Cannot save a chart as {path.name!r}: its suffix is none of {', '.join(forms)}.")
        path.write_bytes(form())
        return path

    # --- in notebooks --------------------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return self._bundle()

    def _ipython_display_(self) -> None:
        life = self._alive() if alive.present() else None
        early = life is not None and self._live.rows.count > _EARLY
        if early:
            self._display(keepsake.place(self._live))
        self._display(self._bundle(), update=early)

    def _alive(self) -> alive.Life:
        life, feed, self._feed = self._live.life(), self._feed, None
        if feed is not None:
            threading.Thread(target=feed, args=(self,), name="nbflow-gantt", daemon=True).start()
        return life

    def __repr__(self) -> str:
        return self.to_text()

    def _bundle(self) -> dict[str, Any]:
        """The picture that stands still, in as many forms and as fine as a notebook should keep."""
        with self._live.lock:
            return keepsake.bundle(self._live)

    def _picture_again(self) -> None:
        """Have the notebook keep the picture as it is now. The live one takes its place at once."""
        if not self._shown:
            return
        self._display(self._bundle(), update=True)

    def _display(self, bundle: dict[str, Any], *, update: bool = False) -> None:
        from IPython.display import display

        if alive.present():
            bundle = self._live.life().bundle(bundle)
        display(bundle, raw=True, display_id=self._live.name, update=update)  # type: ignore[no-untyped-call]
        self._shown, self._pictured = True, time.monotonic()
