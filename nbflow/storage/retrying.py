"""Trying again when the connection to the database was lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from nbflow.model.errors import StorageError

T = TypeVar("T")

PATIENCE = 30.0  # seconds, from the first failure, for which a lost connection is tried again
_FIRST_PAUSE = 0.05  # seconds
_LONGEST_PAUSE = 2.0  # seconds
_random = random.Random()  # noqa: S311 - spreads the tries of many processes; the global generator is the user's


def retry(
    action: Callable[[], T],
    *,
    patience: float = PATIENCE,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Run `action` until it does not fail for want of a connection; returns its result.

    It is run again after a `StorageError` that says so (`errors.may_be_repeated`), until `patience` seconds have passed
    since the first one. `wait(seconds)` pauses in between; a true result ends the trying, so that the `wait` of a
    `threading.Event` can be handed in. Raises the last error when it gives up, and any other error at once.
    """
    deadline: float | None = None
    pause = _FIRST_PAUSE
    while True:
        try:
            return action()
        except StorageError as error:
            if not may_be_repeated(error):
                raise
            now = time.monotonic()
            deadline = now + patience if deadline is None else deadline
            if now >= deadline or wait(min(pause * _random.uniform(0.5, 1.0), deadline - now)):
                raise
        pause = min(2 * pause, _LONGEST_PAUSE)


def may_be_repeated(error: StorageError) -> bool:
    """Whether what failed with `error` can be run again as it was.

    So it is if the connection was lost, or if the server made this transaction give way to another one.
    """
    return bool(error.details.get("repeat", False))
