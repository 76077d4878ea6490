"""A flow on a disk that is full soon: `python -m tests.faults.full_disk FLOW EXECUTOR BYTES`."""

from __future__ import annotations

import os
import resource
import sys

from nbflow import NbflowError, flow, step


@step
def increment(x: int) -> int:
    """A small task."""
    return x + 1


@step
def random_bytes(size: int) -> bytes:
    """A large result."""
    return os.urandom(size)


@step
def total(values: list[int]) -> int:
    """The join."""
    return sum(values)


@flow
def many() -> int:
    """Fills the database."""
    return total([increment(n) for n in range(4000)])


@flow
def large() -> int:
    """Fills the artifact store."""
    return len(random_bytes(3_000_000))


if __name__ == "__main__":
    # No file may grow beyond this, which looks to the program like a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        {"many": many, "large": large}[sys.argv[1]].run(executor=sys.argv[2], workers=2).result()
    except NbflowError as error:
        print(type(error).__name__, error)
