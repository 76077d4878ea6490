"""The steps that the executor suite runs: importable, so that they can run in other processes."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbflow.running.context import current, heartbeat


class SuiteError(Exception):
    """An exception that pickle cannot rebuild by itself, since __init__ takes other arguments than it passes on."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


def add(left: Any, right: Any) -> Any:
    """The sum."""
    return left + right


async def add_async(left: Any, right: Any) -> Any:
    """The sum, in a while."""
    await asyncio.sleep(0.01)
    return left + right


async def sleep_async(seconds: float) -> None:
    """Wait on the event loop."""
    await asyncio.sleep(seconds)


def identity(value: Any) -> Any:
    """The argument."""
    return value


def same_object(left: Any, right: Any) -> bool:
    """Whether both arguments are one object."""
    return left is right


def append_two(values: list[int]) -> list[int]:
    """Change the argument and return it."""
    values.append(2)
    return values


def fail(message: str) -> None:
    """Raise an error that has everything an error can have."""
    error = SuiteError(message, 7)
    error.add_note("a note")
    raise error from KeyError("the cause")


def leave() -> None:
    """Try to end the process."""
    sys.exit(3)


def numbers() -> Iterator[int]:
    """Return a generator."""
    yield 1


def lock() -> Any:
    """Return what cannot be pickled."""
    return {"held": threading.Lock()}


def speak(word: str) -> None:
    """Write to both streams."""
    print("out", word)  # noqa: T201 - being captured is what it is for
    print("err", word, file=sys.stderr)  # noqa: T201
    print("and more", end="")  # noqa: T201


def speak_and_wait(path: str) -> bool:
    """Write something, then wait until there is a file."""
    heartbeat(0.5, "half")
    print("waiting", end="")  # noqa: T201
    while not Path(path).exists():
        time.sleep(0.005)
    return True


def meet(mine: str, other: str) -> bool:
    """Wait for another task that waits for this one."""
    Path(mine).touch()
    return speak_and_wait(other)


def who() -> tuple[Any, ...]:
    """What the context says."""
    context = current()
    assert context is not None
    return context.run, context.key, context.seq, context.attempt, context.idempotency_key


def sleep(seconds: float) -> None:
    """Block outside of Python code."""
    time.sleep(seconds)


def spin() -> None:
    """Run in Python code for very long."""
    spin_for(60)


def spin_for(seconds: float) -> None:
    """Run in Python code."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(50))


def stubborn() -> str:
    """Take an interruption for an ordinary error, and carry on."""
    try:
        spin()
    except Exception:
        return "carried on"
    return "done"


def touch(path: str) -> None:
    """Leave a trace."""
    Path(path).touch()


def beat_for(times: int) -> int:
    """Give a few signs of life."""
    return sum(heartbeat(number / times) for number in range(times))


def beat(path: str) -> int:
    """Count until nobody waits for it any more."""
    beats = 0
    while heartbeat():
        beats += 1
        time.sleep(0.005)
    Path(path).write_text(str(beats))
    return beats
