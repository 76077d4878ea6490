"""A page of memory that a child shares with its parent: which task it runs is written there, at no cost.

So a child may hold its reports back for some milliseconds, to send many at once, and its parent still knows whom to
blame when it dies.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

_TICKET = struct.Struct("=q")
NOBODY = 0


class Mark:
    """One number in shared memory."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    def write(self, ticket: int) -> None:
        """Note the task that runs; `NOBODY` if none does."""
        _TICKET.pack_into(self._page, 0, ticket)

    def read(self) -> int:
        """The task that runs, or ran when the child died."""
        return int(_TICKET.unpack_from(self._page, 0)[0])


def new_page() -> int:
    """The descriptor of a new page, to be inherited and mapped by both."""
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        return os.dup(file.fileno())
