"""A connection to Redis that reads and cannot write: commands that are not known to only read are refused here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from nbflow.model.errors import ConfigError, DatabaseUnreachableError, StorageError

_READS = frozenset(
    "EXISTS GET GETRANGE HGET HGETALL HMGET HSCAN HSTRLEN LINDEX LLEN LRANGE PING SCAN SCARD SMEMBERS STRLEN XRANGE "
    "ZCARD ZCOUNT ZRANGE".split()
)
_SCHEMES = ("redis", "rediss", "unix")
_PATIENCE = 5.0  # seconds to connect
_ANSWER = 60.0  # seconds for an answer
_AT_ONCE = 1_000  # commands, keys or entries in one round trip


class ReadingRedis:
    """Redis, as far as it can be read. Its errors are StorageErrors that name the address and never the password."""

    def __init__(self, url: str, *, kind: str) -> None:
        """`url`: redis://, rediss:// or unix://.

        Raises ConfigError for any other, DatabaseUnreachableError if nobody answers there.
        """
        self.address = address_of(url, kind)
        self.database = 0
        try:
            self.client = _Client.from_url(
                url, socket_connect_timeout=_PATIENCE, socket_timeout=_ANSWER, retry=Retry(NoBackoff(), 1)
            )
        except (ValueError, TypeError, redis.RedisError):
            # What the library says may have parts of the password in it.
            raise ConfigError(f"The address of the {kind} queue cannot be read. {_FORM}") from None
        self.database = int(self.client.connection_pool.connection_kwargs.get("db") or 0)
        try:
            with self.translated():
                self.client.ping()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close its connections."""
        self.client.close()

    def do(self, *command: Any) -> Any:
        """The answer to one command."""
        client: Any = self.client  # its methods have no types
        with self.translated():
            return client.execute_command(*command)

    def many(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The answers to many commands, in their order; None where one met a key of another type."""
        answers: list[Any] = []
        waiting: list[tuple[Any, ...]] = []
        for command in commands:
            waiting.append(command)
            if len(waiting) == _AT_ONCE:
                answers += self._answers(waiting)
                waiting = []
        return answers + self._answers(waiting)

    def keys(self, pattern: str) -> list[bytes]:
        """The keys that match a pattern. Looks through all keys of the database, without holding the server up."""
        with self.translated():
            return list(self.client.scan_iter(match=pattern, count=10 * _AT_ONCE))

    def subscription(self) -> Any:
        """What hears of what is published. It leaves nothing behind in Redis."""
        client: Any = self.client
        return client.pubsub()

    def whole_list(self, key: str | bytes) -> Iterator[bytes]:
        """The entries of a list, from its end, where the oldest ones are in every system that is read here.

        Entries that are taken meanwhile are taken from that end, so that none is seen twice.
        """
        end = -1
        while True:
            part = self.do("LRANGE", key, end - _AT_ONCE + 1, end)
            yield from reversed(part)
            if len(part) < _AT_ONCE:
                return
            end -= _AT_ONCE

    def whole_hash(self, key: str | bytes) -> Iterator[tuple[bytes, bytes]]:
        """The fields of a hash and their values."""
        with self.translated():
            yield from self.client.hscan_iter(key, count=_AT_ONCE)

    def _answers(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        if not commands:
            return []
        with self.translated():
            pipeline: Any = self.client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                    raise answer
        return [None if isinstance(answer, Exception) else answer for answer in answers]

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Within it, errors of the library are nbflow's."""
        try:
            yield
        except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
            raise DatabaseUnreachableError(
                f"Redis at {self.address} does not let us in: {error}. Give the right name and password in the URL, "
                "redis://NAME:PASSWORD@HOST:PORT/DATABASE."
            ) from error
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise DatabaseUnreachableError(
                f"Redis at {self.address} does not answer: {error}. Start it, or correct the address."
            ) from error
        except redis.RedisError as error:
            raise StorageError(f"Redis at {self.address} cannot be read: {error}.") from error


_FORM = (
    "It has the form redis://[[NAME]:PASSWORD@]HOST[:PORT][/DATABASE], with %23 for # and %40 for @ in the password."
)


def address_of(url: Any, kind: str) -> str:
    """The address in a URL of Redis, for people: without name and password. Raises ConfigError for other URLs."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        scheme = parts.scheme if parts else ""
        port = parts.port if parts else None
    except ValueError:
        raise ConfigError(f"The address of the {kind} queue cannot be read. {_FORM}") from None
    if parts is None or scheme not in _SCHEMES:
        found = f"an address that begins with {scheme}://" if scheme else "this one"
        raise ConfigError(f"Queues of kind {kind!r} are read from Redis, and not at {found}. {_FORM}", kind=kind)
    if scheme == "unix":
        return f"unix://{parts.path}"
    return f"{scheme}://{parts.hostname or 'localhost'}:{port or 6379}{parts.path if parts.path != '/' else ''}"


def _check(command: Any) -> None:
    name = str(command).split()[0].upper()
    if name not in _READS:
        raise AssertionError(f"{name} may write, and foreign queues are only read")


class _ReadingPipeline(Pipeline):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        _check(args[0])
        parent: Any = super()
        return parent.execute_command(*args, **options)


class _Client(redis.Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        _check(args[0])
        parent: Any = super()
        return parent.execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        made: Callable[..., Any] = _ReadingPipeline
        return made(self.connection_pool, self.response_callbacks, transaction, shard_hint)
