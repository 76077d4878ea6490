"""The connection of an executor with one Dask worker, seen from the executor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nbflow.executors.dask import messages

# op and arguments; answers what the worker answers
Call = Callable[..., Any]


class Link:
    """Sends and receives on the event loop of Dask's client, over the connections that the client keeps."""

    def __init__(
        self,
        name: str,
        call: Call,
        loop: asyncio.AbstractEventLoop,
        *,
        received: Callable[[Link, bytes], None],
        lost: Callable[[Link, str], None],
    ) -> None:
        """`call` asks the worker; `received` and `lost` are called on the event loop and have to be quick."""
        self.specs: set[int] = set()  # numbers of the specs that the worker knows
        self._name = name
        self._call = call
        self._loop = loop
        self._received = received
        self._lost = lost
        self._lock = threading.Lock()
        self._outbox: list[Any] = []
        self._telling = False
        self._over = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to listen."""
        self._loop.call_soon_threadsafe(self._spawn, self._listen)

    def send(self, told: list[Any]) -> None:
        """Tell the worker something; never waits. Callable from any thread."""
        with self._lock:
            self._outbox += told
            begin, self._telling = not self._telling, True
        if begin:
            self._loop.call_soon_threadsafe(self._spawn, self._tell)

    def close(self, last: list[Any]) -> None:
        """Tell the worker a last thing, and listen no more."""
        with suppress(RuntimeError):  # the client was closed before, and its loop with it: nobody is left to be told
            self.send(last)
        self._over = True

    def _spawn(self, work: Callable[[], Any]) -> None:
        task = self._loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        while True:
            with self._lock:
                told, self._outbox = self._outbox, []
                if not told:
                    self._telling = False
                    return
            try:
                data = messages.wrapped(messages.encode(told))
                known = await self._call(messages.TELL, link=self._name, data=data)
            except Exception as error:  # whatever the connection and the other side come up with
                self._fail(error)
                return
            if not known:
                self._fail("it does not know this executor any more")
                return

    async def _listen(self) -> None:
        while not self._over:
            try:
                data = await self._call(messages.LISTEN, link=self._name)
            except Exception as error:  # as above
                self._fail(error)
                return
            if data is None:
                self._fail("it does not know this executor any more")
                return
            self._received(self, data)

    def _fail(self, why: object) -> None:
        if not self._over:
            self._over = True
            self._lost(self, f"{type(why).__name__}: {why}" if isinstance(why, Exception) else str(why))
