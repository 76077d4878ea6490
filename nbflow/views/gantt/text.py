"""What a chart says in words: counts, contradictions, what is left out."""

from __future__ import annotations

from nbflow.views.gantt.look import Look, state_text
from nbflow.views.gantt.rows import Rows
from nbflow.views.words import seconds_text


def counted(count: int, what: str) -> str:
    """A number and its noun: "1 attempt", "2,000 attempts"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def notes(rows: Rows, look: Look) -> list[str]:
    """What the reader has to know about bars that are not there, or not as the data says."""
    found = []
    drawn, total = rows.count, look.total
    if total is not None and total > drawn + rows.timeless:
        found.append(f"{drawn:,} of {total:,} rows are drawn: the frame was limited to them.")
    if rows.timeless:
        found.append(f"{rows.timeless:,} of {drawn + rows.timeless:,} rows have no times and are not drawn.")
    if skewed := rows.contradictions():
        found.append(
            f"{skewed:,} of {counted(drawn, 'row')} ended before they began: clocks differ. Marked \N{BLACK DIAMOND}."
        )
    if endless := int(rows["endless"].sum()):
        found.append(f"{endless:,} of {counted(drawn, 'row')} ended, nobody knows when. Marked \N{BLACK DIAMOND}.")
    return [*found, *look.untold]


def summary(rows: Rows, look: Look, seconds: float) -> str:
    """The chart in one line: how much, what became of it, over how many seconds."""
    if not rows.count:
        return "Nothing to draw: the frame has no rows with times."
    states = [f"{count:,} {state_text(state)}" for state, count in look.counts(rows) if state]
    parts = [counted(rows.count, "attempt" if look.kind == "attempts" else "row"), *states, seconds_text(seconds)]
    return " · ".join(parts)
