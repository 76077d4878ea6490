"""Colours and marks of states: told apart by the colour-blind, on light and on dark ground.

The colours are those of Okabe and Ito (jfly.uni-koeln.de/color), with a mark beside each, since colour alone says
nothing to some.
"""

from __future__ import annotations

MARK = {
    "pending": "○",
    "ready": "◌",
    "running": "●",
    "succeeded": "✓",
    "failed": "✗",
    "timed_out": "◷",
    "cancelled": "⊘",
    "skipped": "»",
    "expired": "…",
}

TERMINAL = {
    "pending": "dim",
    "ready": "cyan",
    "running": "blue",
    "succeeded": "green",
    "failed": "bold red",
    "timed_out": "bold magenta",
    "cancelled": "yellow",
    "skipped": "dim",
    "expired": "dim",
}

FILL = {
    "planned": "#8c8c8c",
    "pending": "#8c8c8c",
    "ready": "#56b4e9",
    "running": "#0072b2",
    "succeeded": "#009e73",
    "failed": "#d55e00",
    "timed_out": "#cc79a7",
    "cancelled": "#e69f00",
    "skipped": "#bfbfbf",
    "expired": "#bfbfbf",
}

# On dark ground some of them need more light.
FILL_DARK = FILL | {
    "planned": "#9a9a9a",
    "pending": "#9a9a9a",
    "running": "#3d9fdd",
    "succeeded": "#1cae85",
    "failed": "#e8702a",
    "skipped": "#6e6e6e",
    "expired": "#6e6e6e",
}

PLAIN = ("#4477aa", "#6699cc")  # of what has no state, on light and on dark ground

# Where many share a place, the first of these is what is shown there.
WORST_FIRST = (
    "failed",
    "timed_out",
    "expired",
    "cancelled",
    "skipped",
    "running",
    "ready",
    "pending",
    "succeeded",
)
