"""What somebody wants to see of a queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows of a frame are wanted: those that every field agrees to."""

    states: tuple[str, ...] = ()  # any of these; (): any state
    queue: str | None = None
    flow: str | None = None
    step: str | None = None  # of jobs: the name of the function
    run: str | None = None  # a whole id
    since: float | None = None  # seconds since 1970: what ended then or later, or has not ended
    until: float | None = None  # seconds since 1970: what was created before
    tags: tuple[str, ...] = ()  # all of these
    limit: int | None = None  # only the newest so many
    columns: tuple[str, ...] = ()  # only these, to save time; (): all
