"""Flow shapes as data: what is run, and what has to come of it wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """One flow and its outcome."""

    name: str
    flow: Any
    args: tuple[Any, ...] = ()
    value: Any = None  # expected; compared by `same`
    error: type[BaseException] | None = None  # expected instead of a value
    match: str | None = None  # part of the error's message
    ends: str = "failed"  # the state of the run then
    states: dict[str, str] = field(default_factory=dict)  # of some tasks, by key
    attempts: dict[str, int] = field(default_factory=dict)
    plain: bool = True  # whether plain Python gives the same value
    same: Callable[[Any, Any], bool] = lambda one, other: one == other
