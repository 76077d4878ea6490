"""A flow of 200 tasks to be killed. Each task notes in a side log that it ran."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from nbflow import flow, step

LOG = "side.log"  # in the current folder


def note(text: str) -> None:
    """Append a line; short appends of several processes do not mix."""
    log = os.open(LOG, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(log, f"{text}\n".encode())
    os.close(log)


@step
def leaf(number: int) -> int:
    """A task that takes a moment."""
    time.sleep(0.002)
    note(f"leaf {number}")
    return number * 2


@step
def combine(left: int, right: int, place: str) -> int:
    """A task that needs two others."""
    note(f"combine {place}")
    return left + right


@flow
def part(numbers: list[int]) -> int:
    """A sub-flow: a chain of combinations."""
    total: Any = 0
    for number in numbers:
        total = combine(total, leaf(number), f"{numbers[0]}/{number}")
    return total


@flow
def big(parts: int, size: int) -> dict[str, Any]:
    """Sub-flows side by side, then a loop with a barrier in each round."""
    sums = [part(list(range(start * size, (start + 1) * size))) for start in range(parts)]
    running = 0
    for number in range(1000, 1020):
        running += leaf(number)  # a barrier
    return {"sums": sums, "running": running}


PARTS, SIZE = 9, 10  # 9 sub-flows of 20 tasks, and 20 more: 200 tasks that do something

if __name__ == "__main__":
    big.run(PARTS, SIZE, executor=sys.argv[1], workers=2)
