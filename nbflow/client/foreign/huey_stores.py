"""Where Huey keeps its queues: Redis or an SQLite file, behind the same few methods. Both are only read."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from nbflow.client.foreign.reading import escaped, text
from nbflow.model.errors import ConfigError, DatabaseCorruptError, DatabaseMissingError, StorageError

if TYPE_CHECKING:
    from nbflow.client.foreign.redis_reading import ReadingRedis

_PATIENCE = 5.0  # seconds that a locked file is waited for


class Store(Protocol):
    """What holds Huey's queues. Entries are the bytes that Huey's serializer made."""

    def names(self) -> list[str]:
        """The queues of which there is anything."""

    def waiting(self, name: str) -> Iterator[tuple[bytes, float | None]]:
        """What is on a queue, the first to be served first, and when it was put there if that is known."""

    def scheduled(self, name: str) -> Iterator[bytes]:
        """What waits for its time."""

    def values(self, name: str) -> Iterator[tuple[str, bytes]]:
        """The stored values by key: results, and what Huey notes about tasks."""

    def sizes(self, name: str) -> tuple[int, int]:
        """How many wait on a queue, and how many for their time."""

    def close(self) -> None:
        """Let go of connections."""


class RedisStore:
    """Huey in Redis, with or without priorities, with or without results that expire."""

    _KEY = re.compile(r"huey\.(?:redis|schedule|results)\.(.+)|huey\.r\.([^.]+)\..+", re.DOTALL)

    def __init__(self, redis: ReadingRedis) -> None:
        self._redis = redis

    def names(self) -> list[str]:
        """The queues of which there is anything: Redis keeps no empty ones."""
        found = [self._KEY.fullmatch(text(key) or "") for key in self._redis.keys("huey.*")]
        return sorted({each[1] or each[2] for each in found if each})

    def waiting(self, name: str) -> Iterator[tuple[bytes, float | None]]:
        """What is on a queue. With priorities each entry begins with the time at which it was put there."""
        key = f"huey.redis.{name}"
        ordered = self._redis.many([("ZRANGE", key, 0, -1)])[0]
        if ordered is None:  # it is a list
            for entry in self._redis.whole_list(key):
                yield entry, None
        for entry in ordered or ():
            yield entry[8:], int.from_bytes(entry[:8], "big") / 1e6

    def scheduled(self, name: str) -> Iterator[bytes]:
        """What waits for its time, the next one first."""
        yield from self._redis.do("ZRANGE", f"huey.schedule.{name}", 0, -1)

    def values(self, name: str) -> Iterator[tuple[str, bytes]]:
        """The stored values: fields of a hash, or keys of their own if they expire."""
        for field, value in self._redis.whole_hash(f"huey.results.{name}"):
            yield text(field) or "", value
        prefix = f"huey.r.{name}."
        keys = self._redis.keys(f"{escaped(prefix)}*")
        for key, value in zip(keys, self._redis.many(("GET", key) for key in keys), strict=True):
            if value is not None:
                yield (text(key) or "")[len(prefix) :], value

    def sizes(self, name: str) -> tuple[int, int]:
        """How many wait on a queue, and how many for their time."""
        key = f"huey.redis.{name}"
        listed, ordered, delayed = self._redis.many([("LLEN", key), ("ZCARD", key), ("ZCARD", f"huey.schedule.{name}")])
        return int(listed or ordered or 0), int(delayed or 0)

    def close(self) -> None:
        """Close the connections to Redis."""
        self._redis.close()


class ReadingSqlite:
    """An SQLite file that is only read. Its errors are StorageErrors that name the file."""

    def __init__(self, path: Path) -> None:
        """Raises DatabaseMissingError if there is no such file: none is made."""
        self.path = path
        if not path.is_file():
            raise DatabaseMissingError(f"There is no database {path}. Check the path; it is seen from {Path.cwd()}.")
        with self._translated():
            # check_same_thread: whoever reads holds the source's lock.
            self._connection = sqlite3.connect(
                f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=_PATIENCE, check_same_thread=False
            )
        self.tables = {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        with self._translated():
            return self._connection.execute(statement, parameters).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageError(f"The database {self.path} cannot be read: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise DatabaseCorruptError(f"{self.path} is no SQLite database: {error}.") from error


class SqliteStore:
    """Huey in an SQLite file (SqliteHuey)."""

    def __init__(self, file: ReadingSqlite) -> None:
        """Raises ConfigError if the file has no tables of Huey's."""
        self._file = file
        if not {"task", "schedule", "kv"} <= file.tables:
            raise ConfigError(f"{file.path} has no queue of Huey in it: no tables task, schedule and kv.")

    def names(self) -> list[str]:
        """The queues of which there is anything."""
        found = self._file.rows("SELECT queue FROM task UNION SELECT queue FROM schedule UNION SELECT queue FROM kv")
        return sorted(str(name) for (name,) in found)

    def waiting(self, name: str) -> Iterator[tuple[bytes, float | None]]:
        """What is on a queue."""
        statement = "SELECT data FROM task WHERE queue = ? ORDER BY priority DESC, id"
        yield from ((bytes(data), None) for (data,) in self._file.rows(statement, name))

    def scheduled(self, name: str) -> Iterator[bytes]:
        """What waits for its time, the next one first."""
        statement = "SELECT data FROM schedule WHERE queue = ? ORDER BY timestamp, id"
        yield from (bytes(data) for (data,) in self._file.rows(statement, name))

    def values(self, name: str) -> Iterator[tuple[str, bytes]]:
        """The stored values."""
        statement = "SELECT key, value FROM kv WHERE queue = ?"
        yield from ((str(key), bytes(value)) for key, value in self._file.rows(statement, name))

    def sizes(self, name: str) -> tuple[int, int]:
        """How many wait on a queue, and how many for their time."""
        ((ready,),) = self._file.rows("SELECT COUNT(*) FROM task WHERE queue = ?", name)
        ((delayed,),) = self._file.rows("SELECT COUNT(*) FROM schedule WHERE queue = ?", name)
        return int(ready), int(delayed)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def path_of(url: Any) -> Path | None:
    """The file that a path or a URL of the form sqlite:///PATH names; None for URLs of servers.

    Raises ConfigError for what is none of these.
    """
    if isinstance(url, Path):
        return url
    if not isinstance(url, str) or not url:
        raise ConfigError("Where Huey keeps its queue is told by redis://HOST:PORT/DATABASE, or by the path of a file.")
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme == "sqlite":
        return Path(unquote(url.removeprefix("sqlite://").removeprefix("/")))
    if scheme in ("redis", "rediss", "unix"):
        return None
    if scheme:
        raise ConfigError(f"Huey is read from Redis (redis://...) and from SQLite files, and not from {scheme}://...")
    return Path(url)
