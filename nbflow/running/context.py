"""What an attempt can know of itself and tell while it runs."""

from __future__ import annotations

import itertools
import json
import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from nbflow.model.ports import Output, Progress, Report, Waits
from nbflow.running.clock import SystemClock
from nbflow.values.secrets import traces

if TYPE_CHECKING:
    from datetime import datetime

    from nbflow.model.ports import Clock, Work
    from nbflow.values.store import ValueStore

_COALESCE = 0.05  # seconds that output may wait to be joined with what follows
_LARGEST = 8192  # characters that are kept back at most

_JOINABLE = ("stdout", "stderr")  # streams; on others each piece is a message of its own

CURRENT: ContextVar[AttemptContext | None] = ContextVar("nbflow_attempt", default=None)


class AttemptContext:
    """The running attempt: who it is, and where its output goes."""

    __slots__ = (
        "_cleaners", "_clock", "_closed", "_due", "_flushed_at", "_lock", "_parts", "_report",
        "_reporting", "_size", "_wrote", "alive",
        "attempt", "beat", "crowded", "echo", "job", "key", "logical_time", "name", "needed", "run", "seq", "ticket",
        "values",
    )  # fmt: skip

    def __init__(
        self,
        work: Work,
        report: Callable[[Report], None],
        clock: Clock,
        *,
        echo: bool,
        values: ValueStore | None = None,
    ) -> None:
        self.run = work.run
        self.key = work.key
        self.seq = work.seq
        self.attempt = work.attempt
        self.ticket = work.ticket
        self.name = work.spec.name
        self.values = values  # those of the run, for what needs more than its arguments
        self.job: str | None = None  # id, on a queue
        self.needed: tuple[str, ...] = ()  # ids of the jobs whose results are among its arguments
        self.logical_time: datetime | None = None  # the time that its schedule meant, in the schedule's zone
        self.beat = clock.time()  # when it gave a sign of life last; infinity while it waits for others
        self.crowded = False  # whether it should be left soon if it waits for long: many others here wait, too
        self.alive = True  # False once it timed out, was cancelled or ended
        self.echo = echo  # whether its output also goes where it would go without nbflow
        self._report = report
        self._clock = clock
        # Reentrant, since the garbage collector may run a __del__ that prints at any place.
        self._lock = threading.RLock()
        self._reporting = False  # whether a report is being made; the receiver need not be reentrant
        self._parts: list[tuple[str, str]] = []  # output that is kept back: stream, text
        self._wrote = False
        self._size = 0
        self._due = False  # whether a timer is going to send it
        self._flushed_at = 0.0
        self._cleaners: dict[str, traces.Stream] = {}  # by stream, once this process knows secrets
        self._closed = False

    @property
    def idempotency_key(self) -> str:
        """Names this task for other systems: the same in every attempt and after a resume."""
        return f"{self.run}/{self.key}"

    def emit(self, stream: str, text: str) -> str:
        """Put output of the attempt on record. Small pieces are joined, nothing waits longer than 50 ms.

        Returns what may be shown of it: all, unless there are secrets. An end that may be the beginning of one waits.
        """
        if not text:
            return text
        with self._lock:
            if self._closed:
                return traces.clean(text)
            self._wrote = True
            if traces.known():
                text = self._cleaned(stream, text)
                if not text:
                    return text
            self._parts.append((stream, text))
            self._size += len(text)
            now = self._clock.time()
            due = stream not in _JOINABLE or self._size >= _LARGEST
            if self._reporting:
                self._later()
            elif due or ("\n" in text and now - self._flushed_at >= _COALESCE):
                self._flushed_at = now
                self._send()
            else:
                self._later()
        return text

    def _cleaned(self, stream: str, text: str) -> str:
        """`text` without traces of secrets. Under the lock."""
        if stream in _JOINABLE:
            return self._cleaners.setdefault(stream, traces.Stream()).add(text)
        self._let_go()
        return traces.clean_message(text)

    def _let_go(self) -> None:
        """Put what was kept back on record, and show it where output is shown. Under the lock."""
        for stream, cleaner in self._cleaners.items():
            rest = cleaner.rest()
            if rest:
                self._parts.append((stream, rest))
                show = getattr(getattr(sys, stream), "show_again", None) if self.echo else None
                if show is not None:
                    show(rest)

    def progress(self, value: float | None, message: str = "") -> None:
        """Tell how far the attempt is: from 0 to 1, None if that is not known."""
        if self.alive:
            now = self._clock.time()
            self.beat = now
            if traces.known():
                message = traces.clean(message)
            with self._lock:
                self._make(Progress(self.ticket, now, value, message))

    def meta(self, values: dict[str, Any]) -> None:
        """Put values that JSON can hold on record beside the attempt; later ones replace those of the same name."""
        self.emit("meta", json.dumps(values))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While the attempt waits for other work inside the block, its place can be used for that."""
        self._tell_waits(True)
        try:
            yield
        finally:
            self._tell_waits(False)

    def _tell_waits(self, waits: bool) -> None:
        now = self._clock.time()
        self.beat = math.inf if waits else now
        with self._lock:
            self._make(Waits(self.ticket, now, waits))

    def flush(self) -> None:
        """Send the output that was kept back."""
        with self._lock:
            self._due = False
            self._send()

    def close(self) -> None:
        """Send the rest; what comes later, from threads that the step left behind, is not part of the attempt."""
        self.alive = False
        if self._cleaners:
            with self._lock:
                self._let_go()
        if self._wrote:  # and the timer may be sending it right now
            self.flush()
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether the attempt is over."""
        return self._closed

    def _send(self) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        for stream, run in itertools.groupby(parts, key=lambda part: part[0]):
            texts = [text for _, text in run]
            for text in ["".join(texts)] if stream in _JOINABLE else texts:
                self._make(Output(self.ticket, self._clock.time(), stream, text))

    def _later(self) -> None:
        if not self._due:
            self._due = True
            clock = SystemClock()  # people wait in real time, whatever clock the run follows
            clock.call_at(clock.time() + _COALESCE, self.flush)

    def _make(self, report: Report) -> None:
        self._reporting = True
        try:
            self._report(report)
        finally:
            self._reporting = False


def current() -> AttemptContext | None:
    """The attempt that the calling code belongs to; None outside of steps."""
    return CURRENT.get()


def heartbeat(progress: float | None = None, message: str = "") -> bool:
    """Tell that the step is alive and, if given, how far it is (0 to 1); returns whether to go on.

    A step with a `heartbeat_timeout` has to call it that often. False means that nobody waits for the step any more,
    since it timed out or was cancelled. Outside of steps it does nothing and returns True, so that a step can be called
    as a plain function.
    """
    context = CURRENT.get()
    if context is None:
        return True
    context.progress(progress, message)
    return context.alive
