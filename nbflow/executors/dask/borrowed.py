"""The artifacts of an executor on another machine, where the two share no artifact store."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbflow.executors.dask.messages import Artifact, Sent, Wanted
from nbflow.model.errors import ArtifactMissingError
from nbflow.values.artifacts import LocalStore

_WATCH = 600.0  # seconds until an artifact that does not come is given up


class BorrowedStore:
    """Copies in a folder of the worker; what is missing comes through Dask, and what is new goes to the executor.

    An artifact is brought to the cluster once, and to each worker that needs it once more.
    """

    def __init__(self, url: str, folder: Path, post: Callable[[Any], None]) -> None:
        self.url = self.shown = url
        self._local = LocalStore(folder)
        self._post = post
        self._sent: dict[str, Sent] = {}
        self._changed = threading.Condition()

    def write(self, name: str, parts: list[Any]) -> bool:
        """Store the concatenated buffers here and there, unless they are here already; whether it did."""
        written = self._local.write(name, parts)
        if written:
            self._post(Artifact(name, b"".join(parts)))
        return written

    def read(self, name: str) -> Any:
        """A writable private mapping of the content; raises `ArtifactMissingError`."""
        try:
            return self._local.read(name)
        except ArtifactMissingError:
            self._fetch(name)
        return self._local.read(name)

    def stamp(self, name: str) -> object | None:
        """What changes whenever the copy does."""
        return self._local.stamp(name)

    def exists(self, name: str) -> bool:
        """Whether there is a copy."""
        return self._local.exists(name)

    def delete(self, name: str, before: float = math.inf) -> None:
        """Remove the copy, if it was last written before a time."""
        self._local.delete(name, before)

    def names(self) -> list[tuple[str, int, float]]:
        """(name, bytes, modified) of every copy."""
        return self._local.names()

    def check(self) -> None:
        """Raise StorageError if nothing can be written here."""
        self._local.check()

    def sent(self, message: Sent) -> None:
        """Take note that a wanted artifact is in the cluster's memory."""
        with self._changed:
            self._sent[message.name] = message
            self._changed.notify_all()

    def _fetch(self, name: str) -> None:
        with self._changed:
            if name not in self._sent:
                self._post(Wanted(name))
            self._changed.wait_for(lambda: name in self._sent, _WATCH)
            sent = self._sent.get(name)
        if sent is None or sent.key is None:
            why = sent.error if sent is not None else "the executor does not send it"
            raise ArtifactMissingError(f"artifact {name} cannot be had from the executor: {why}.", name=name)
        from distributed import Future, get_client

        self._local.write(name, [Future(sent.key, client=get_client(), state="memory").result(_WATCH)])
