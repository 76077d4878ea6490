"""Where frames come from: nbflow's own database, and the queues of others through the same narrow seam.

A package that can read another kind of queue registers it as an entry point of the group `nbflow.queue_clients`: the
name is the kind, the value a callable `(url, **options) -> Source`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.model.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pandas as pd

GROUP = "nbflow.queue_clients"

# Here as well as in the package's metadata, so that a source tree works without being installed.
BUILT_IN: dict[str, str] = {}


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


class Source(Protocol):
    """A queue that can be read."""

    kind: str  # "nbflow", "celery", ...
    missing: Mapping[str, str]  # what it cannot tell and why: by kind of frame ("workers") or column ("tasks.worker")

    def frame(self, what: str, query: Query) -> tuple[pd.DataFrame, int]:
        """The rows of a kind of frame that a query wants, as `columns.typed` makes them, the oldest first.

        Also how many there would be without its limit. What this queue has nothing of is an empty frame with all of
        its columns. Raises StorageError if the queue cannot be reached.
        """

    def close(self) -> None:
        """Let go of connections."""


def open_source(kind: str, url: str, **options: Any) -> Source:
    """A source of a registered kind. Raises ConfigError if there is none of this name, or if it cannot be loaded."""
    points = _registered()
    if kind not in BUILT_IN and kind not in points:
        raise ConfigError(
            f"There is no kind of queue {kind!r}. Known are {', '.join(known())}; a package that reads another one "
            f"has to be installed here and to register itself as an entry point of group {GROUP!r}.",
            kind=kind,
        )
    try:
        if kind in BUILT_IN:
            module, _, attribute = BUILT_IN[kind].partition(":")
            factory: Callable[..., Source] = getattr(import_module(module), attribute)
        else:
            factory = points[kind].load()
    except Exception as error:
        raise ConfigError(
            f"What reads queues of kind {kind!r} cannot be loaded: {type(error).__name__}: {error}. "
            "Install what it needs.",
            kind=kind,
        ) from error
    return factory(url, **options)


def known() -> list[str]:
    """The kinds of queues that can be read here."""
    return ["nbflow", *BUILT_IN, *sorted(_registered().keys() - BUILT_IN.keys())]


def _registered() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}
