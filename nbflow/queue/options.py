"""What can be asked of a job, checked when it is asked.

A call's wish wins over that of its function, that over the queue's, and that over the settings.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nbflow.model.errors import ConfigError
from nbflow.model.names import check_name
from nbflow.model.policies import Retry, retry_policy

SUCCESS_TTL = 7 * 86_400.0  # seconds that a succeeded job is kept
FAILURE_TTL = 365 * 86_400.0  # and one that ended otherwise
MOST_LOSSES = 3
WHEN = ("success", "failure", "stopped", "any")
_OF_WHAT_WENT_WRONG = ("failure", "stopped")
FOR_EVER = float("inf")
_LONGEST_KEY = 200  # characters


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` jobs with this `key` at a time; with `per` (seconds), at most so many starts in any such span.

    The key is yours: the name of a function, an address, a customer. Jobs of all queues that have it count together.
    """

    key: str
    count: int
    per: float | None = None
    kind: str = "key"  # or "queue" or "lock", which have names of their own

    def __post_init__(self) -> None:
        _check_key(self.key, "limit")
        if type(self.count) is not int or self.count < 1:
            raise ConfigError(f"limit {self.key!r} lets through {self.count!r} jobs; it has to be 1 or more.")
        if self.per is not None:
            object.__setattr__(self, "per", seconds(self.per, f"per of limit {self.key!r}"))

    @property
    def gate(self) -> str:
        """The name of the gate that holds it."""
        return f"{self.kind}:{self.key}" if self.per is None else f"rate:{self.kind}:{self.key}"


@dataclass(frozen=True, slots=True)
class Unique:
    """That there is no second job with this key."""

    key: str
    scope: str = "active"  # "waiting" until it begins, "active" until it ends
    window: float | None = None  # seconds from the enqueueing, whatever becomes of it; instead of a scope
    clash: str = "existing"  # "existing": the job that is there is returned; "error": JobExistsError
    debounce: bool = False  # a clash gives the waiting job the due time and the arguments of the new call
    latest: float | None = None  # seconds from the first call after which it is put off no more

    def __post_init__(self) -> None:
        _check_key(self.key, "unique key")
        if self.scope not in ("waiting", "active"):
            raise ConfigError(f"the scope of a unique key is 'waiting' or 'active', not {self.scope!r}.")
        if self.clash not in ("existing", "error"):
            raise ConfigError(f"a clash of unique keys gives 'existing' or 'error', not {self.clash!r}.")
        for name in ("window", "latest"):
            object.__setattr__(self, name, seconds(getattr(self, name), f"{name} of unique key {self.key!r}"))
        if self.debounce and (self.window is not None or self.clash == "error"):
            raise ConfigError(f"key {self.key!r}: a debounced job has neither a window nor an error on a clash.")
        if self.latest is not None and not self.debounce:
            raise ConfigError(f"key {self.key!r}: latest says how long a job may be put off; add debounce=True.")


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How one job is to be treated. None: as the function, then the queue, then the settings say."""

    id: str | None = None  # chosen beforehand; see Queue.new_id
    queue: str | None = None
    priority: int = 0
    eta: datetime | timedelta | float | None = None
    expires: datetime | timedelta | float | None = None
    timeout: float | None = None
    soft_timeout: float | None = None
    heartbeat_timeout: float | None = None
    retry: Retry | None = None
    most_losses: int = MOST_LOSSES  # times that the process may die under it before it counts as failed
    unique: Unique | None = None
    limits: tuple[Limit, ...] = ()
    lock: str | None = None  # jobs of one lock never overlap
    after: tuple[Any, ...] = ()  # jobs, or their ids
    when: str = "success"  # of those it needs; see WHEN
    front: bool = False
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Any] | None = None
    success_ttl: float | None = None  # FOR_EVER: until it is removed
    failure_ttl: float | None = None
    on_success: Any = None  # functions, enqueued with the result or the error; or URLs that are told
    on_failure: Any = None
    on_stopped: Any = None

    def changed(self, options: Mapping[str, Any]) -> JobOptions:
        """These options with some others. Raises ConfigError for what makes no sense."""
        return replace(self, **_checked(options)) if options else self

    @property
    def conditional(self) -> bool:
        """Whether it runs only if something that it needs went wrong."""
        return self.when in _OF_WHAT_WENT_WRONG

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """The limits with that of the lock."""
        return self.limits if self.lock is None else (*self.limits, Limit(self.lock, 1, kind="lock"))


TTLS = ("success_ttl", "failure_ttl")
_RETRYING = frozenset({"retries", "delay", "backoff", "cap", "jitter", "retry_on", "never_retry_on"})
NAMES = (frozenset(JobOptions.__slots__) - {"retry"}) | _RETRYING
_ID = re.compile(r"[\w.:\-]{1,64}\Z")


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(options) - NAMES)
    if unknown:
        close = difflib.get_close_matches(unknown[0], NAMES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"a job has no option {unknown[0]!r}.{hint} It has {', '.join(sorted(NAMES))}.")
    found = {name: value for name, value in options.items() if name not in _RETRYING}
    for name in ("timeout", "soft_timeout", "heartbeat_timeout", *TTLS):
        if name in found:
            found[name] = seconds(found[name], name)
            if found[name] is None and name in TTLS:
                found[name] = FOR_EVER
    if "priority" in found and (not isinstance(found["priority"], int) or isinstance(found["priority"], bool)):
        raise ConfigError(f"priority is a whole number, the lower served first, not {found['priority']!r}.")
    if found.get("when", "success") not in WHEN:
        raise ConfigError(f"when is one of {', '.join(WHEN)}, not {found['when']!r}.")
    if "unique" in found:
        found["unique"] = _unique(found["unique"])
    if found.get("id") is not None and not _ID.match(str(found["id"])):
        raise ConfigError(f"an id has 1 to 64 letters, digits, '_', '-', '.' or ':', not {found['id']!r}.")
    if found.get("lock") is not None:
        _check_key(found["lock"], "lock")
    found.update(_sequences(found))
    if _RETRYING & set(options):
        if "retries" not in options:
            raise ConfigError("these options say how to retry but not how often; add retries=3.")
        found["retry"] = retry_policy({name: options[name] for name in _RETRYING & set(options)})
    return found


def _sequences(found: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "tags" in found:
        changes["tags"] = tuple(check_name(tag, "tag") for tag in found["tags"])
    if "after" in found:
        after = found["after"]
        changes["after"] = tuple(after) if isinstance(after, Iterable) and not isinstance(after, str) else (after,)
    if "limits" in found:
        limits = found["limits"]
        changes["limits"] = (limits,) if isinstance(limits, Limit) else tuple(limits)
        if any(not isinstance(limit, Limit) for limit in changes["limits"]):
            raise ConfigError(f"limits are one Limit(key, count) or several, not {limits!r}.")
    return changes


def _unique(value: Any) -> Unique | None:
    if value is None or isinstance(value, Unique):
        found: Unique | None = value
    elif isinstance(value, str):
        found = Unique(value)
    else:
        raise ConfigError(f"unique is a key (text) or Unique(key, ...), not {value!r}.")
    return found


def _check_key(key: object, what: str) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise ConfigError(
            f"a {what} is a text of 1 to {_LONGEST_KEY} characters, not {key!r}; a digest of it would do."
        )


def seconds(value: Any, what: str) -> float | None:
    """A positive duration in seconds, from seconds or a timedelta."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if number is None:
        return None
    if type(number) not in (int, float) or not number > 0:
        raise ConfigError(f"{what} is a positive number of seconds or a timedelta, not {value!r}.")
    return float(number)


def moment(value: Any, now: float, what: str) -> float | None:
    """A point in time as seconds since 1970: from a datetime, or from now (timedelta, or seconds)."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.timestamp()  # a naive one is local time, as everywhere in Python
    if isinstance(value, timedelta):
        return now + value.total_seconds()
    if type(value) in (int, float):
        return now + float(value)
    raise ConfigError(f"{what} is a datetime, or a timedelta or seconds from now, not {value!r}.")


def utc(time: float | None) -> datetime | None:
    """A time of the database as a datetime in UTC."""
    return datetime.fromtimestamp(time, UTC) if time is not None else None


def ids(jobs: Sequence[Any]) -> tuple[str, ...]:
    """Ids of jobs given as handles or ids."""
    return tuple(job if isinstance(job, str) else str(job.id) for job in jobs)
