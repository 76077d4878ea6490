"""Where frames come from: nbflow's own database, and the queues of others through the same narrow seam.

A package that can read another kind of queue registers it as an entry point of the group `nbflow.queue_clients`: the
name is the kind, the value a callable `(url, **options) -> Source`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.model.errors import ConfigError
from nbflow.model.queries import Query

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pandas as pd

__all__ = ["GROUP", "OWN", "Query", "Source", "check_kind", "known", "open_source"]

GROUP = "nbflow.queue_clients"
OWN = "nbflow"  # the kind of nbflow's own database

# Here as well as in the package's metadata, so that a source tree works without being installed.
BUILT_IN: dict[str, str] = {
    "celery": "nbflow.client.foreign.celery:open_celery",
    "rq": "nbflow.client.foreign.rq:open_rq",
    "huey": "nbflow.client.foreign.huey:open_huey",
    "dask": "nbflow.client.foreign.dask:open_dask",
}


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


def check_kind(kind: str | None, url: str | None) -> str:
    """The kind of the queue at a URL: `kind`, or nbflow's own if none is named. Raises ConfigError if there is none."""
    if kind is None:
        scheme, separator, _ = (url or "").partition("://")
        if separator and not scheme.startswith(("sqlite", "postgres")):
            raise ConfigError(
                f"{scheme}:// is no database of nbflow. Say what kind of queue is there: kind= one of "
                f"{', '.join(known())}."
            )
        return OWN
    if kind != OWN and kind not in BUILT_IN and kind not in _registered():
        close = difflib.get_close_matches(kind, known(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"There is no kind of queue {kind!r}.{hint} Known are {', '.join(known())}; a package that reads another "
            f"one has to be installed here and to register itself as an entry point of group {GROUP!r}.",
            kind=kind,
        )
    return kind


def open_source(kind: str, url: str, **options: Any) -> Source:
    """A source of a registered kind. Raises ConfigError if there is none of this name, or if it cannot be loaded."""
    check_kind(kind, url)
    try:
        if kind in BUILT_IN:
            module, _, attribute = BUILT_IN[kind].partition(":")
            factory: Callable[..., Source] = getattr(import_module(module), attribute)
        else:
            factory = _registered()[kind].load()
    except Exception as error:
        raise ConfigError(
            f"What reads queues of kind {kind!r} cannot be loaded: {type(error).__name__}: {error}. "
            "Install what it needs.",
            kind=kind,
        ) from error
    return factory(url, **options)


def known() -> list[str]:
    """The kinds of queues that can be read here."""
    return [OWN, *BUILT_IN, *sorted(_registered().keys() - BUILT_IN.keys())]


def _registered() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}
