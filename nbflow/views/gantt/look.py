"""How a chart shall look: title, lanes, zone, colours. One record for all of its forms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import Any

from nbflow.views.gantt import axis
from nbflow.views.gantt.rows import Rows
from nbflow.views.palette import FILL, FILL_DARK, MARK, PLAIN, WORST_FIRST
from nbflow.views.words import one_line

# Of foreign states: Paul Tol's "bright" colours (personal.sron.nl/~pault), which the colour-blind can tell.
_OTHERS = ("#4477aa", "#aa3377", "#ccbb44", "#228833", "#66ccee", "#ee6677")


@dataclass(frozen=True, slots=True)
class Look:
    """What is the same in the canvas, the static picture, plotly and the text."""

    title: str
    lanes: str  # kind of lanes; "" for one lane
    kind: str  # what the rows are called: "attempts" or "rows"
    total: int | None  # rows that there are, if the frame is limited
    zone_name: str | None  # None: the local one; "": times have no zone and are shown as they read
    height: int | None  # pixels; None: as many as the lanes need, up to a limit
    states: tuple[str, ...]  # all that occur or may occur, by number
    untold: tuple[str, ...] = ()  # what the source of the frame cannot tell, and why

    @property
    def zone(self) -> tzinfo | None:
        """The time zone; None for the local one."""
        return UTC if self.zone_name == "" else axis.zone_of(self.zone_name)

    def zone_text(self, at: float) -> str:
        """What the axis says about its zone."""
        return "" if self.zone_name == "" else axis.zone_text(at, self.zone, self.zone_name)

    @property
    def order(self) -> tuple[str, ...]:
        """The states, the worst first."""
        return (*WORST_FIRST, *(state for state in self.states if state not in WORST_FIRST))

    def colour(self, state: str, *, dark: bool = False) -> str:
        """The colour of bars in a state."""
        fill = FILL_DARK if dark else FILL
        if state in fill:
            return fill[state]
        others = [other for other in self.states if other and other not in FILL]
        return _OTHERS[others.index(state) % len(_OTHERS)] if state in others else PLAIN[dark]

    def counts(self, rows: Rows) -> list[tuple[str, int]]:
        """How many rows there are in each state that occurs, the worst first."""
        import numpy as np

        counted = np.bincount(rows["state"], minlength=len(rows.states.texts))
        by_state = dict(zip(rows.states.texts, counted.tolist(), strict=False))
        return [(state, by_state[state]) for state in self.of(rows).order if by_state.get(state)]

    def of(self, rows: Rows) -> Look:
        """The same with the states that have come since."""
        texts = tuple(rows.states.texts)
        return self if texts == self.states else replace(self, states=texts)


def legend(state: str) -> str:
    """A state as it stands in the legend and beside a bar."""
    return f"{MARK.get(state, '')} {state_text(state)}".strip()


def state_text(state: str) -> str:
    """A state in plain words. Those of foreign systems may be anything."""
    return one_line(state.replace("_", " "), 40)


def as_json(look: Look) -> list[dict[str, Any]]:
    """The states as the canvas wants them: by number, with colours, marks and ranks (0 is the worst)."""
    ranks = {state: rank for rank, state in enumerate(look.order)}
    return [
        {
            "name": state_text(state),
            "mark": MARK.get(state, ""),
            "light": look.colour(state),
            "dark": look.colour(state, dark=True),
            "rank": ranks[state],
        }
        for state in look.states
    ]


def on_colour(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour like "#009e73"."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (value**2.2 for value in channels)
    return "#111" if red * 0.2126 + green * 0.7152 + blue * 0.0722 > 0.28 else "#fff"
