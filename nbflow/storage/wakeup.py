"""Waiting that others end: threads, handlers of signals, and a bell of the database."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbflow.storage.bells import Bell


class Wakeup:
    """One thread waits here; everyone may wake it, also while it does not wait yet."""

    def __init__(self) -> None:
        # Not a pipe: once closed, a socket of Python's is never the number of a file that was opened since.
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)

    def wake(self) -> None:
        """End the present wait, or the next one. Callable from handlers of signals, and after `close`."""
        with suppress(OSError):  # it has been woken often enough, or is closed
            self._waker.send(b"!")

    def wait(self, bell: Bell, seconds: float) -> bool:
        """Wait until woken, until the bell rings, or so long; returns whether the bell rang, which is silent then."""
        descriptor = bell.fileno()
        descriptors = [self._woken.fileno(), *([descriptor] if descriptor >= 0 else [])]
        rung = select.select(descriptors, [], [], max(0.0, seconds))[0]
        if descriptors[0] in rung:
            with suppress(BlockingIOError):
                self._woken.recv(65_536)
        if descriptor not in rung:
            return False
        bell.clear()
        return True

    def close(self) -> None:
        """Free what it holds; nobody may wait any more."""
        self._waker.close()
        self._woken.close()
