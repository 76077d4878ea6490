"""What a step asks for: retries, caching, resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.model.errors import ConfigError, DefinitionError


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
    test: Callable[[BaseException], bool] | None = None  # asked about those that are; None: all of them

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
        if not isinstance(error, self.on) or isinstance(error, self.never_on):
            return False
        return self.test is None or bool(self.test(error))


NO_RETRY = Retry()


def retry_policy(options: Mapping[str, Any]) -> Retry:
    """The policy that the options retries, delay, backoff, cap, jitter, retry_on and never_retry_on describe.

    `retries` is a number, or the sequence of delays in seconds. Raises DefinitionError or ConfigError.
    """
    retries: Any = options.get("retries", 0)
    delay: Any = options.get("delay", 0.0)
    if not isinstance(retries, int):
        if "delay" in options:
            raise DefinitionError("give the delays either in retries or in delay, not in both.")
        retries, delay = len(tuple(retries)), tuple(retries)
    if not retries:
        return NO_RETRY
    asked = options.get("retry_on", Exception)
    test = asked if callable(asked) and not isinstance(asked, type) else None
    return Retry(
        retries=int(retries),
        delays=(float(delay),) if isinstance(delay, (int, float)) else tuple(float(part) for part in delay),
        backoff=options.get("backoff", 1.0),
        cap=options.get("cap"),
        jitter=options.get("jitter", 0.0),
        on=_types(Exception if test is not None else asked),
        test=test,
        never_on=_types(options.get("never_retry_on", ())),
    )


def _types(given: Any) -> tuple[type[BaseException], ...]:
    types_: tuple[type[BaseException], ...] = given if isinstance(given, tuple) else (given,)
    for kind in types_:
        if not issubclass(kind if type(kind) is type else object, BaseException):
            raise DefinitionError(
                f"retry_on and never_retry_on take exception types, not {kind!r}; retry_on also a test of the error."
            )
    return types_


def check_times(what: str, times: Mapping[str, float | None]) -> None:
    """Raise ConfigError if limits in time contradict each other; `what` names whose they are.

    `times`: seconds by option: timeout, soft_timeout, expires, deadline, heartbeat_timeout.
    """
    for shorter, longer, equal, why in _ORDER:
        less, more = times.get(shorter), times.get(longer)
        if less is not None and more is not None and (less > more or (less == more and not equal)):
            raise ConfigError(
                f"{what}: {longer} ({more:g} s) has to be longer than {shorter} ({less:g} s){why}; "
                "change one of them, or leave it out."
            )


# (shorter, longer, whether they may be equal, why)
_ORDER = (
    ("soft_timeout", "timeout", False, ", which is raised first and leaves the rest for cleaning up"),
    ("soft_timeout", "deadline", False, ", which is raised first and leaves the rest for cleaning up"),
    ("timeout", "deadline", True, ", as it is counted over all attempts from when the step is ready"),
    ("expires", "deadline", True, ", as both are counted from when the step is ready"),
    ("heartbeat_timeout", "timeout", True, ", which would end each attempt before"),
    ("heartbeat_timeout", "deadline", True, ", which would end each attempt before"),
)


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
