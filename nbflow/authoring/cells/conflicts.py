"""Steps that used the same files in another order than the page has them in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbflow.authoring.cells.files import NETWORK, PROGRAMS
from nbflow.authoring.cells.records import Files


def conflicts(touched: Sequence[Files | None]) -> Iterator[tuple[int, int, str]]:
    """Yield (earlier step, later step, path) for steps that were not run one after the other as the page has them.

    Only where it matters: one of both wrote what the other one read or wrote. `touched` is in page order.
    """
    for later, second in enumerate(touched):
        for earlier, first in enumerate(touched[:later]):
            if first is None or second is None or first.ended <= second.began:
                continue
            path = _common(first, second)
            if path is not None:
                yield earlier, later, path


def _common(first: Files, second: Files) -> str | None:
    written, also_written = set(first.written), set(second.written)
    both = (written & also_written.union(second.read)) | (also_written & set(first.read))
    both -= {NETWORK}  # talking to the network at the same time is not using the same thing
    if not both and (PROGRAMS in written or PROGRAMS in also_written):
        # Nobody knows what a program read and wrote.
        everything = (written | also_written | set(first.read) | set(second.read)) - {PROGRAMS, NETWORK}
        if everything and (first.written or second.written):
            return PROGRAMS
    return min(both) if both else None
