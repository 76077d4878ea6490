"""Private copy-on-write mappings: a file as memory that may be changed without changing the file."""

from __future__ import annotations

import mmap
import os
from pathlib import Path


def map_private(path: Path | str) -> memoryview:
    """Map a file; nothing is read before it is touched, and writing to the memory stays in this process."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        if os.fstat(descriptor).st_size == 0:
            return memoryview(bytearray())  # an empty file cannot be mapped
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    finally:
        os.close(descriptor)
