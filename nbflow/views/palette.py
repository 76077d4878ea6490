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
