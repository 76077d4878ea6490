"""Keeps a worker from filling the machine's memory: the child that uses most of it is replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable

import psutil

from nbflow import settings as settings_module
from nbflow.model.errors import ConfigError
from nbflow.running.pool import ProcessPool

_log = logging.getLogger("nbflow")
_WINDOW = 120.0  # seconds in which one child is replaced at most, if no timeout says how long a job may take


class MemoryWatch:
    """Looks at the memory, and retires a child of a pool when there is too little."""

    def __init__(self, pool: ProcessPool, percent: float | None, probe: Callable[[], float] | None = None) -> None:
        """`percent` of the machine's memory, 1 to 99; None: never. `probe`: the percentage used now."""
        check_percent(percent)
        self._pool = pool
        self._percent = percent
        self._probe = probe or _used
        self._retired_at: float | None = None

    def look(self, now: float) -> None:
        """Look, and act; `now` in seconds of a monotonic clock."""
        if self._percent is None:
            return
        over = self._probe() >= self._percent
        self._pool.hold(over)
        pids = self._pool.pids()
        if not over or not pids or (self._retired_at is not None and now - self._retired_at < _window()):
            return
        largest = max(pids, key=_resident)
        _log.warning("Memory is used up to %g percent or more; child %d is replaced.", self._percent, largest)
        self._retired_at = now
        self._pool.retire(largest)


def check_percent(percent: float | None) -> None:
    """Raise ConfigError if this is no share of the memory to stay below."""
    if percent is not None and not 1 <= percent <= 99:
        raise ConfigError(f"max_memory_percent is between 1 and 99, not {percent!r}.")


def _window() -> float:
    current = settings_module.current()
    return current.job_timeout or current.job_soft_timeout or _WINDOW


def _used() -> float:
    return float(psutil.virtual_memory().percent)


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
