"""Trying again, for a while, what failed for a reason that may pass: a server is away, a connection was cut."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0  # seconds, from the first failure, for which something is tried again
_FIRST_PAUSE = 0.05  # seconds
_LONGEST_PAUSE = 2.0  # seconds
_TOLD_AFTER = 1.0  # seconds; what has passed by then need not be told
_random = random.Random()  # noqa: S311 - spreads the tries of many processes; the global generator is the user's
_log = logging.getLogger("nbflow")


def persist(
    action: Callable[[], T],
    *,
    passing: Callable[[Exception], bool],
    patience: float = PATIENCE,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Run `action` until it does not fail any more; returns its result.

    It is run again after an error of which `passing` says that it may pass, until `patience` seconds have gone since
    the first one. `wait(seconds)` pauses in between; a true result ends the trying, so that the `wait` of a
    `threading.Event` can be handed in. Raises the last error when it gives up, and any other error at once.
    """
    began = time.monotonic()
    first: float | None = None
    pause = _FIRST_PAUSE
    told = False
    while True:
        try:
            return action()
        except Exception as error:
            if not passing(error):
                raise
            now = time.monotonic()
            first = now if first is None else first
            if now >= first + patience:
                raise
            if not told and now > began + _TOLD_AFTER:
                told = True
                _log.warning("%s Trying again for %.0f seconds.", error, first + patience - now)
            if wait(min(pause * _random.uniform(0.5, 1.0), first + patience - now)):
                raise
        pause = min(2 * pause, _LONGEST_PAUSE)
