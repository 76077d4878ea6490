"""What a step asks for: retries, caching, resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbflow.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed or timed-out attempt is followed by another.

    The wait before retry n (from 1) is `delays[n-1]`, or the last delay times `backoff` for each retry past the
    end of the list, at most `cap` seconds, times a random factor in [1 - jitter, 1 + jitter].
    """

    retries: int = 0
    delays: tuple[float, ...] = (0.0,)  # seconds
    backoff: float = 1.0  # factor; 1 repeats the last delay
    cap: float | None = None  # seconds; None: no limit
    jitter: float = 0.0  # share of the delay, 0 to 1
    on: tuple[type[BaseException], ...] = (Exception,)  # retried
    never_on: tuple[type[BaseException], ...] = ()  # not retried, though in `on`

    def __post_init__(self) -> None:
        if self.retries < 0 or not self.delays or min(self.delays) < 0:
            raise ConfigError("retries and their delays cannot be negative; write retries=3, delay=[1, 5, 30].")
        if self.backoff < 1 or not 0 <= self.jitter <= 1 or (self.cap is not None and self.cap < 0):
            raise ConfigError("backoff is at least 1, jitter between 0 and 1, and cap is not negative.")

    def delay(self, number: int, random: Callable[[], float]) -> float:
        """Seconds to wait before retry `number` (from 1); `random` returns a float in [0, 1)."""
        position = min(number, len(self.delays)) - 1
        seconds = self.delays[position] * self.backoff ** (number - 1 - position)
        if self.cap is not None:
            seconds = min(seconds, self.cap)
        return seconds * (1 + self.jitter * (2 * random() - 1)) if self.jitter else seconds

    def wants(self, error: BaseException, retries_so_far: int) -> bool:
        """Whether `error` is to be followed by another attempt."""
        if retries_so_far >= self.retries:
            return False
        return isinstance(error, self.on) and not isinstance(error, self.never_on)


NO_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Cache:
    """Whether and how long a step's result serves later runs with the same code and inputs."""

    enabled: bool = False
    lifetime: float | None = None  # seconds; None: until removed


NO_CACHE = Cache()


@dataclass(frozen=True, slots=True)
class Resources:
    """What one attempt of a step needs. Executors that can place work use it; the others show it."""

    cpus: float = 1
    memory: int | None = None  # bytes
    gpus: float = 0
    custom: dict[str, Any] = field(default_factory=dict)
