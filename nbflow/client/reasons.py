"""A reason, and the words that reasons are told in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_SHOWN = 3  # names that are listed before the rest is only counted


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that something waits for."""

    kind: str  # "paused", "limit", "upstream", ...; see `why_job` and `why_task`
    text: str  # a sentence
    data: dict[str, Any] = field(default_factory=dict)  # the same for programs


def at(moment: float) -> str:
    """A time in the local zone."""
    return datetime.fromtimestamp(moment, UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def listed(names: Sequence[str], total: int | None = None) -> str:
    """Some of many names: "a, b, c and 7 more"."""
    total = len(names) if total is None else total
    shown = ", ".join(names[:_SHOWN])
    more = total - min(len(names), _SHOWN)
    return f"{shown} and {more:,} more" if more > 0 else shown


def error(kind: str | None, message: str | None) -> str:
    """An error in brackets behind "failed"; "" if it is not known."""
    return f" ({kind.rpartition('.')[2]}: {message})" if kind else ""
