"""The chart as a figure of plotly, for those who want to go on with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from html import escape
from typing import Any

from nbflow.views.gantt import axis
from nbflow.views.gantt.columns import GanttError
from nbflow.views.gantt.lanes import Lane, lay_out, segments
from nbflow.views.gantt.look import Look, legend
from nbflow.views.gantt.rows import Rows
from nbflow.views.gantt.text import counted, notes
from nbflow.views.words import one_line, seconds_text

MOST = 20_000  # bars beyond which plotly takes seconds for each look
_BAR, _LINE = 0.7, 0.14  # heights of bars and of waiting, as parts of a track


def figure(rows: Rows, look: Look, now: float) -> Any:
    """A `plotly.graph_objects.Figure` with one trace for each state and one for waiting.

    The times on its axis are those of the chart's zone. Raises GanttError beyond 20,000 rows, where plotly no longer
    is of use.
    """
    import plotly.graph_objects as go

    if rows.count > MOST:
        raise GanttError(
            f"A figure of plotly with {counted(rows.count, 'row')} would not move; {MOST:,} is the limit. "
            "Show the chart itself, which takes a million, or a part: gantt(frame.head(20_000)).figure()."
        )
    lanes = lay_out(rows, look.lanes) if rows.count else []
    bars = _Bars(rows, look, now, lanes)
    drawn = go.Figure(list(bars.traces()))
    said = [f"<sub>⚠ {_escaped(note)}</sub>" for note in notes(rows, look)]
    title = "<br>".join(filter(None, (_escaped(look.title), *said)))
    drawn.update_layout(
        barmode="overlay", bargap=0, title=title or None, hovermode="closest", template="plotly_white",
        height=min(1200, 170 + 24 * max(sum(lane.height for lane in lanes), 3)), hoverlabel_align="left",
        legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
        margin={"l": 20, "r": 20, "t": 70 + 20 * len(said), "b": 50},
    )  # fmt: skip
    drawn.update_xaxes(title=bars.axis, type="linear" if rows.scale == "elapsed" else "date")
    drawn.update_yaxes(
        title=look.lanes or None, autorange="reversed", tickvals=bars.centres, zeroline=False, showgrid=False,
        ticktext=[_escaped(one_line(lane.name, 40)) for lane in lanes], automargin=True,
    )  # fmt: skip
    return drawn


class _Bars:
    """Rows in the units of plotly's axes."""

    def __init__(self, rows: Rows, look: Look, now: float, lanes: Sequence[Lane]) -> None:
        import numpy as np

        self._rows, self._look = rows, look
        self._found = segments(rows, now)
        self._hover = _hover(rows, now)
        self._heights = np.zeros(rows.count)  # the track of each row from the top
        self.centres: list[float] = []  # the middle of each lane
        self.axis = "time since start (s)"
        self._shift, self._unit = 0.0, 1.0
        if rows.count and rows.scale != "elapsed":  # plotly's dates are milliseconds and know no zones
            first = float(rows["at"].min())
            zone = look.zone_text(first)
            self.axis = f"time ({zone})" if zone else "time"
            self._shift = (axis.local(first, look.zone).utcoffset() or timedelta()).total_seconds()
            self._unit = 1000.0
        top = 0.0
        for lane in lanes:
            self._heights[lane.rows] = top + lane.tracks
            self.centres.append(top + (lane.height - 1) / 2)
            top += lane.height + 0.15

    def traces(self) -> Iterator[Any]:
        """One for waiting, and one for each state, the worst first."""
        waits = self._found["wait_end"] > self._found["wait_start"]
        if waits.any():
            yield self._trace("wait", waits, 0.42, name="waiting", marker_color="#979ba1", width=_LINE)
        states, texts = self._rows["state"], self._rows.states.texts
        ran = self._found["run_start"] == self._found["run_start"]
        for state, _ in self._look.counts(self._rows):
            chosen = (states == texts.index(state)) & ran
            if chosen.any():
                name = _escaped(legend(state)) or "bars"
                yield self._trace("run", chosen, 0, name=name, marker_color=self._look.colour(state), width=_BAR)

    def _trace(self, what: str, chosen: Any, below: float, **look: Any) -> Any:
        import plotly.graph_objects as go

        start, end = (self._found[f"{what}_{edge}"][chosen] for edge in ("start", "end"))
        return go.Bar(
            base=((start + self._shift) * self._unit).tolist(),
            x=((end - start) * self._unit).tolist(),
            y=(self._heights[chosen] + below).tolist(),
            orientation="h",
            marker_line_width=0,
            hovertext=[text for text, wanted in zip(self._hover, chosen.tolist(), strict=True) if wanted],
            hovertemplate="%{hovertext}<extra></extra>",
            **look,
        )


def _hover(rows: Rows, now: float) -> list[str]:
    """What is said about each row. Plotly reads a little HTML, so every text from elsewhere is escaped."""
    found = {name: values.tolist() for name, values in segments(rows, now).items()}
    tasks, errors = rows.tasks(), rows.errors()
    lanes = [(kind, names.texts, rows[f"lane:{kind}"].tolist()) for kind, names in rows.lanes.items() if kind != "task"]
    texts = []
    for row in range(rows.count):
        lines = [f"<b>{_escaped(tasks[row] or f'row {row + 1}')}</b>"]
        state = rows.states.texts[rows["state"][row]]
        lines += [_escaped(legend(state))] if state else []
        for what, start, end in (("waited", "wait_start", "wait_end"), ("ran", "run_start", "run_end")):
            if found[start][row] == found[start][row]:
                lines.append(f"{what} {seconds_text(found[end][row] - found[start][row])}")
        if rows["attempt"][row]:
            lines.append(f"attempt {rows['attempt'][row]}")
        lines += [_escaped(f"{kind} {names[codes[row]]}") for kind, names, codes in lanes if codes[row] >= 0]
        lines += [_escaped(one_line(errors[row], 120))] if errors[row] else []
        texts.append("<br>".join(lines))
    return texts


def _escaped(text: str) -> str:
    return escape(one_line(text, 200))
