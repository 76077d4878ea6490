"""Private copy-on-write mappings: a file as memory that may be changed without changing the file."""

from __future__ import annotations

import mmap
import os
import weakref
from io import FileIO
from pathlib import Path

_SMALLEST = 2**18  # bytes; below, reading is as fast as mapping
_MOST = 256  # mappings alive; Python keeps a file descriptor for each, and a process may have 1,024 of those

_alive: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def map_private(path: Path | str) -> memoryview:
    """Map a file; nothing is read before it is touched, and writing to the memory stays in this process.

    Small files, and those beyond the number of mappings that a process can afford, are read instead.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < _SMALLEST or len(_alive) >= _MOST:
            content = bytearray(size)
            return memoryview(content)[: _read_into(file, memoryview(content))]
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _alive.add(mapping)
    return memoryview(mapping)


def _read_into(file: FileIO, memory: memoryview) -> int:
    """Fill `memory` from a file; returns how many bytes there were."""
    done = 0
    while done < len(memory):
        count = file.readinto(memory[done:])  # one read takes 2 GB at most
        if not count:
            break
        done += count
    return done
