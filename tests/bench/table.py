"""Rows of a benchmark, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One thing that was measured."""

    what: str
    measured: float
    unit: str
    budget: float | None = None
    floor: float | None = None  # the same done with bare Python or SQLite, in the same run


HEADINGS = ("what", "measured", "budget", "of the budget", "floor", "times the floor")


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3g} {row.unit}".strip()

    return (
        row.what,
        number(row.measured),
        number(row.budget),
        f"{row.measured / row.budget:.0%}" if row.budget else "",
        number(row.floor),
        f"{row.measured / row.floor:.1f}" if row.floor else "",
    )


def text(rows: Sequence[Row]) -> str:
    """A table for the terminal."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """A table for the README."""
    lines = [HEADINGS, ("---", "--:", "--:", "--:", "--:", "--:"), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
