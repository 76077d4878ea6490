"""Jobs and flows that put on record what they do, in a log that no database knows."""

from __future__ import annotations

import os
import time

from nbflow import flow, step

LOG = "NBFLOW_TEST_SIDE_LOG"


def note(*words: object) -> None:
    """Append a line; writes of this length are not mixed with others."""
    line = " ".join(str(word) for word in (f"{time.time():.6f}", os.getpid(), *words)) + "\n"
    descriptor = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def job(name: str, guard: str, milliseconds: int) -> str:
    """A job behind a limit, if `guard` names one; it tells that it lives all the time."""
    note("begin", name, guard)
    end = time.monotonic() + milliseconds / 1000
    while time.monotonic() < end:
        time.sleep(0.002)
        note("alive", name, guard)
    note("end", name, guard)
    return name


def fired(name: str) -> str:
    """What a schedule calls."""
    note("fired", name, "-")
    return name


@step(retries=1000)  # each death of its process is a failure of it
def part(number: int, of: str) -> int:
    """One task of a flow."""
    note("task", f"{of}/{number}", "-")
    time.sleep(0.01)
    return number + 1


@flow
def story(of: str, width: int) -> int:
    """A fan-out, then a chain that needs it: several barriers."""
    values = [part(number, of) for number in range(width)]
    total = sum(values)
    for _ in range(3):
        total = part(total, of) + 0
    return total
