"""Artifacts for workers that do not share the artifact store: brought to the cluster's memory, each of them once."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nbflow.executors.dask.messages import Sent
from nbflow.model.errors import NbflowError

if TYPE_CHECKING:
    from nbflow.executors.dask.link import Link
    from nbflow.values.store import ValueStore


class Lender:
    """Scatters what workers want, on a thread of its own: a large value must not keep reports back."""

    def __init__(self, client: Any, values: ValueStore) -> None:
        self._client = client
        self._values = values
        self._wanted: SimpleQueue[tuple[str, Link] | None] = SimpleQueue()
        self._futures: dict[str, Any] = {}  # by name; Dask keeps the data as long as they are here
        self._thread: threading.Thread | None = None

    def lend(self, name: str, link: Link) -> None:
        """Send an artifact on its way to a worker. To be called from one thread."""
        self._wanted.put((name, link))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nbflow-dask-lender", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Let the cluster forget what it was lent."""
        self._wanted.put(None)

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            name, link = wanted
            try:
                if name not in self._futures:
                    content = bytes(self._values.artifacts.read(name))
                    self._futures[name] = self._client.scatter(content, hash=False)
                link.send([Sent(name, self._futures[name].key)])
            except (NbflowError, OSError, ValueError) as error:  # it is gone, or the cluster is
                link.send([Sent(name, None, f"{type(error).__name__}: {error}")])
        self._futures.clear()
