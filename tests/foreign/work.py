"""What the jobs do, whatever queue they are on."""

from __future__ import annotations

from pathlib import Path

from tests.servers import wait_until


def add(left: int, right: int) -> int:
    """Succeed."""
    return left + right


def fail(message: str) -> None:
    """Raise ValueError."""
    raise ValueError(message)


def hold(path: str) -> None:
    """Say that it runs, and run until somebody removes the file."""
    Path(path).touch()
    wait_until(lambda: not Path(path).exists())
