"""The Gantt chart of a report: the runs of a period, a lane for each flow, in forms that mails can carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbflow.client.frames import NbflowSource
from nbflow.deploying.reports import style
from nbflow.deploying.reports.facts import Figures
from nbflow.model.queries import Query
from nbflow.views.gantt import gantt, png

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.storage.database import Database
    from nbflow.views.gantt import Gantt

_MOST_LANES = 30


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart that stands still. Mail programs show no SVG; without Pillow there is no PNG either, but the text."""

    png: bytes | None
    svg: str
    text: str  # "": there is nothing to show
    summary: str  # in one line, for those who see no pictures


NO_PICTURE = Picture(None, "", "", "")


def picture(database: Database, figures: Figures) -> Picture:
    """The runs of the period as bars; of jobs, if there were no runs."""
    source = NbflowSource(database)
    period = figures.period
    what, lanes, named = ("runs", "flow", [flow.name for flow in figures.flows]) if figures.flows else (
        "jobs", "step", [each.name for each in figures.functions]
    )  # fmt: skip
    if not named:
        return NO_PICTURE
    frame, _ = source.frame(what, Query(since=period.begin, until=period.end))
    frame = _clipped(frame[frame[lanes].isin(named[:_MOST_LANES])], period.begin, period.end)
    if frame.empty:
        return NO_PICTURE
    hidden = len(named) - _MOST_LANES
    title = f"{_MOST_LANES} of {len(named):,} {lanes}s" if hidden > 0 else ""
    chart = gantt(frame, lanes=lanes, title=title, tz=period.zone, now=period.end)
    return _still(chart, f"A Gantt chart of {len(frame):,} {what}.")


def _still(chart: Gantt, summary: str) -> Picture:
    drawn = chart.to_png(width=style.INNER) if png.available() else None
    return Picture(drawn, chart.to_svg(width=style.INNER), chart.to_text(), summary)


def _clipped(frame: pd.DataFrame, begin: float, end: float) -> pd.DataFrame:
    """Rows as they were seen from inside the period: what began before begins with it, what ended later is open."""
    import pandas as pd

    first, last = (pd.Timestamp(at, unit="s", tz="UTC") for at in (begin, end))
    found = frame.copy()
    later = found["finished_at"].isna() | (found["finished_at"] >= last)
    begun = found["started_at"] < last
    found.loc[later, "finished_at"] = pd.NaT
    found.loc[later & ~begun, "started_at"] = pd.NaT
    found.loc[later & begun, "state"] = "running"
    found.loc[later & ~begun, "state"] = "ready"
    times: list[Any] = [name for name in ("created_at", "enqueued_at", "ready_at", "started_at") if name in found]
    for name in times:
        found[name] = found[name].clip(lower=first)
    return found
