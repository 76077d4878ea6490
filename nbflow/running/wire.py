"""Messages between a process and its children: pickled lists, each with its length in front."""

from __future__ import annotations

import pickle
import select
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from nbflow.model.ports import Inputs, Work
from nbflow.model.specs import StepSpec

_LENGTH = struct.Struct(">Q")
_CHUNK = 256 * 1024
_NO_LIMITS = (None, None, None)


class Lease(NamedTuple):
    """To a child: whom it works for from now on. Everything that a step could notice of its process."""

    path: list[str]  # sys.path
    cwd: str | None
    environ: dict[str, str]
    values: Any  # StoreConfig
    gather: bool = False  # whether reports of short tasks may be held back a little, to be sent together
    watch: bool = False  # whether to begin no task once files that were imported have been edited


class Spec(NamedTuple):
    """To a child: a step, sent once before its first task."""

    number: int
    name: str
    is_async: bool
    function: Any  # see functions.py


class Task(NamedTuple):
    """To a child: one attempt."""

    ticket: int
    spec: int
    inputs: Inputs
    run: str
    seq: int
    key: str
    attempt: int
    timeout: float | None
    soft_timeout: float | None
    limits: tuple[Any, ...] | None = None  # the further limits in time, as in Work; most have none

    @classmethod
    def of(cls, work: Work, spec: int) -> Task:
        """The message that hands on `work`, whose step has the number `spec`."""
        limits = (work.expires, work.deadline, work.heartbeat_timeout)
        return cls(
            work.ticket, spec, work.inputs, work.run, work.seq, work.key, work.attempt, work.timeout, work.soft_timeout,
            limits if limits != _NO_LIMITS else None,
        )  # fmt: skip

    def work(self, spec: StepSpec) -> Work:
        """The attempt, where it has arrived."""
        return Work(
            self.ticket, spec, self.inputs, self.run, self.seq, self.key, self.attempt, self.timeout, self.soft_timeout,
            *(self.limits or ()),
        )  # fmt: skip


class Cancel(NamedTuple):
    """To a child: drop a task, or end it if it runs."""

    ticket: int


class Withdraw(NamedTuple):
    """To a child: drop a task that has not begun."""

    ticket: int


class GiveBack(NamedTuple):
    """To a child: return up to `most` tasks that have not begun."""

    most: int


class Leave(NamedTuple):
    """To a child: its task, if it waits for others and can be left until there is news, is to be left soon."""


class KeepUntil(NamedTuple):
    """To a child: end by yourself at this time, unless a later one is told before; your parent's rights end then."""

    time: float


class Release(NamedTuple):
    """To a child: forget the lease."""


class GivenBack(NamedTuple):
    """From a child: these tasks will not begin here."""

    tickets: list[int]


class Outdated(NamedTuple):
    """From a child: it begins no more tasks, since a file that it has imported was edited."""

    file: str


class Released(NamedTuple):
    """From a child: ready for another lease, having imported these files of the user."""

    files: dict[str, tuple[int, int]]  # path: time of last change in ns, size
    current: bool  # whether the files are surely still as they were when they were imported


def encode(messages: list[Any]) -> bytes:
    """Messages as bytes for the socket."""
    body = pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


class Parser:
    """Puts messages together from what arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete with `data`."""
        self._buffer += data
        begin = 0
        while len(self._buffer) - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, begin)
            end = begin + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            body = bytes(memoryview(self._buffer)[begin + _LENGTH.size : end])
            yield from pickle.loads(body)  # noqa: S301 - the socket has no name; only parent and child hold it
            begin = end
        del self._buffer[:begin]


class BlockingWire:
    """The child's end: sending and receiving wait."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._parser = Parser()

    def send(self, messages: list[Any]) -> None:
        """Send; returns when the system has taken it."""
        data = encode(messages)
        with self._lock:
            self._socket.sendall(data)

    def receive(self) -> list[Any] | None:
        """The next messages; None at the end."""
        while True:
            data = self._socket.recv(_CHUNK)
            if not data:
                return None
            messages = list(self._parser.feed(data))
            if messages:
                return messages

    def ready(self, seconds: float) -> bool:
        """Whether something arrives within so many seconds."""
        return bool(select.select([self._socket], [], [], seconds)[0])


class QueueingWire:
    """The parent's end: never waits. What the system does not take at once is kept until `flush`."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._lock = threading.Lock()
        self._parser = Parser()
        self._pending = bytearray()

    def send(self, messages: list[Any]) -> bool:
        """Send; False if a part is left for `flush`, to be called when the socket can be written to."""
        data = encode(messages)
        with self._lock:
            if self._pending:
                self._pending += data
                return False
            sent = self._try(data)
            if sent < len(data):
                self._pending += memoryview(data)[sent:]
                return False
            return True

    def flush(self) -> bool:
        """Send what is left; False if some still is."""
        with self._lock:
            del self._pending[: self._try(bytes(self._pending[:_CHUNK]))]
            return not self._pending

    def receive(self) -> list[Any] | None:
        """What has arrived; None at the end."""
        try:
            data = self.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:  # reset by a child that died
            return None
        return list(self._parser.feed(data)) if data else None

    def _try(self, data: bytes) -> int:
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # the child is dead, which is noticed elsewhere
            return len(data)
