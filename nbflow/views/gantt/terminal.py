"""The chart in characters: a line for each lane, a column for a stretch of time, the worst state of each."""

from __future__ import annotations

from nbflow.views.gantt import axis
from nbflow.views.gantt.still import Still, coarser
from nbflow.views.palette import MARK
from nbflow.views.words import one_line, seconds_text

_COLUMNS = 72
_MOST_LANES = 20
_BLOCKS = {"succeeded": "█", "running": "▒", "": "█"}


def draw(still: Still) -> str:
    """The chart for a terminal, and what there is to say about it."""
    head = [one_line(still.look.title)] if still.look.title else []
    if not still.rows.count:
        return "\n".join([*head, still.summary, *still.notes])
    lanes = still.lanes[:_MOST_LANES]
    names = [one_line(lane.name, 24) for lane in lanes]
    width = max(map(len, names))
    by = -(-still.scale.width // _COLUMNS)
    states, done, waiting = (each[:, ::by] for each in coarser((still.states, *still.waits), by))
    first = 0
    for lane, name in zip(lanes, names, strict=True):
        tracks = slice(first, first + lane.height)
        ranks = [min((rank for rank in column if rank >= 0), default=-1) for column in states[tracks].T.tolist()]
        waits = (done[tracks] | waiting[tracks]).any(axis=0).tolist()
        order = (*still.look.order, None)  # the last is where -1, for nothing, leads
        drawn = "".join(_cell(order[rank], wait) for rank, wait in zip(ranks, waits, strict=True))
        head.append(f"{name:>{width}} {drawn}".rstrip())
        first += lane.height
    if hidden := len(still.lanes) + still.hidden - len(lanes):
        head.append(f"{'':>{width}} {len(lanes)} of {len(lanes) + hidden:,} lanes")
    head.append(f"{'':>{width}} {_ends(still, states.shape[1])}")
    return "\n".join([*head, still.summary, *(note for note in still.notes if " lanes are shown " not in note)])


def _cell(state: str | None, wait: bool) -> str:
    if state is None:
        return "·" if wait else " "
    return _BLOCKS.get(state) or MARK.get(state, "█")


def _ends(still: Still, columns: int) -> str:
    begin, end = still.extent
    if still.rows.scale == "elapsed":
        first, last = seconds_text(begin), seconds_text(end)
    else:
        step, zone = min(axis.step_for(end - begin, 8), 1.0), still.look.zone
        first = f"{axis.date_text(begin, zone)} {axis.clock_text(begin, step, zone)}"
        last = f"{axis.clock_text(end, step, zone)} {still.look.zone_text(begin)}".strip()
    return first + last.rjust(columns - len(first))
