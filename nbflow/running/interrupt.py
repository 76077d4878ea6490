"""Ending a function that runs in another thread, without ever hitting what the thread does next."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import SoftTimeoutError, TaskCancelledError, TaskError
from nbflow.model.states import State
from nbflow.running.limits import TIMEOUT, overdue_error

if TYPE_CHECKING:
    from nbflow.model.ports import Clock, Work
    from nbflow.running.context import AttemptContext

_SOON = 0.02  # seconds until a soft timeout is tried again that came too early
GRACE = 0.5  # seconds that an attempt has to end after it was asked to

# Its default is to be ignored, so that one that comes late does no harm, and hardly any program uses it.
_SIGNAL = signal.SIGURG

_LOADING, _RUNNING, _ENDED = range(3)
_NO, _DUE, _RAISED = range(3)
_NO_KWARGS: Mapping[str, Any] = {}


class Interruptible:
    """One attempt while it runs: what may end it early, and what it is judged to be then."""

    __slots__ = (
        "_claimed", "_clock", "_give_up", "_lock", "_phase", "_sent", "_soft", "_soften", "_stop", "_thread", "context",
        "judged", "keyboard", "started_at", "verdict", "why", "work",
    )  # fmt: skip

    def __init__(self, work: Work, clock: Clock, give_up: Callable[[Interruptible], None] | None = None) -> None:
        self.work = work
        self.context: AttemptContext | None = None  # once it has begun
        self.started_at = 0.0
        self.verdict: State | None = None  # TIMED_OUT or CANCELLED, once somebody decided so
        self.why = TIMEOUT  # which limit was reached, if it is TIMED_OUT
        self.judged: State | None = None  # the verdict, if it fell before the function ended
        self.keyboard: KeyboardInterrupt | None = None  # to be raised to the person who waits, after the report
        self._clock = clock
        self._give_up = give_up  # called `GRACE` after the verdict
        self._phase = _LOADING
        self._lock = threading.Lock()
        self._thread = 0
        self._sent = False  # whether the exception of the verdict is on its way; there is one at most
        self._soften: Callable[[], None] | None = None  # how to tell of the soft timeout, if not by an exception
        self._soft = _NO  # what became of the soft timeout, which is no verdict
        self._stop: Callable[[], None] | None = None  # how to end it, if not by an exception in its thread
        self._claimed = False

    @property
    def ended(self) -> bool:
        """Whether the function is over."""
        return self._phase == _ENDED

    def claim(self) -> bool:
        """Win the right to report the end of this attempt: True for the first caller only."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
            return not claimed

    def interrupt(self, verdict: State, why: str = TIMEOUT) -> None:
        """End the function as soon as that is possible. `why`: the limit that it reached, see limits.py."""
        with self._lock:
            if self.verdict is None and self._phase != _ENDED:
                self.why = why
                self.verdict = verdict
                if self.context is not None:
                    self.context.alive = False
                if self._give_up is not None:
                    self._clock.call_at(self._clock.time() + GRACE, functools.partial(self._give_up, self))
            if self._phase == _RUNNING and not self._sent:
                self._sent = True
                if self._stop is not None:
                    self._stop()
                else:
                    _raise_in(self._thread, self, self.error())

    def soften(self) -> None:
        """Raise SoftTimeoutError inside the function, which may go on after it."""
        with self._lock:
            if self._phase == _LOADING:  # its code is being imported, or its arguments fetched: told when it has begun
                self._clock.call_at(self._clock.time() + _SOON, self.soften)
                return
            if self.verdict is not None or self._phase != _RUNNING or self._soft != _NO:
                return
            self._soft = _DUE
            if self._soften is not None:
                self._soften()
            elif self._stop is None:
                _raise_in(self._thread, self, soft_error(self.work))

    @property
    def softened(self) -> bool:
        """Whether the soft timeout has passed while the function ran."""
        return self._soft != _NO

    def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = _NO_KWARGS,
        stop: Callable[[], None] | None = None,
        soften: Callable[[], None] | None = None,
    ) -> Any:
        """Call a function, which may be interrupted meanwhile; once this has returned, no interruption can come."""
        self._thread = threading.get_ident()
        self._stop = stop
        self._soften = soften
        try:
            try:
                self._phase = _RUNNING
                if self.verdict is None:
                    return function(*args, **kwargs)
                return None
            finally:
                self._settle()
        except BaseException:
            # The interruption may have cut _settle() short. It comes only once, so that this one is complete.
            self._settle()
            raise

    def error(self) -> TaskError:
        """The error that the verdict stands for."""
        assert self.verdict is not None  # asked of interrupted attempts only
        return verdict_error(self.verdict, self.work, self.why)

    def _settle(self) -> None:
        # From the next line on nobody sends an exception. One that was sent before shows in `verdict`, which is set
        # first; then the lock waits until sending is over. So the ordinary end of a function costs no lock.
        self._phase = _ENDED
        if self.verdict is not None:
            with self._lock:
                self.judged = self.verdict
            if self._sent and self._stop is None:
                _take_back(self._thread)
        elif self._soft == _DUE and self._stop is None:
            with self._lock:
                _take_back(self._thread)


def verdict_error(verdict: State, work: Work, why: str = TIMEOUT) -> TaskError:
    """The error that stands for a verdict on an attempt."""
    if verdict is State.TIMED_OUT:
        return overdue_error(work, why)
    return TaskCancelledError(f"step {work.spec.name!r} was cancelled ({work.key}).")


def soft_error(work: Work) -> SoftTimeoutError:
    """The error of a soft timeout."""
    return SoftTimeoutError(
        f"{work.spec.name!r} has used up its soft timeout of {work.soft_timeout or 0:g} seconds ({work.key})."
    )


def _raise_in(thread: int, attempt: Interruptible, error: TaskError) -> None:
    if thread == threading.main_thread().ident and signal.getsignal(_SIGNAL) is _on_signal:
        signal.pthread_kill(thread, _SIGNAL)
    else:
        _send(thread, _raisable(error))


def _raisable(error: TaskError) -> type[TaskError]:
    """A class whose instances are like `error`: only classes can be raised in other threads."""
    kind, message = type(error), str(error)

    def build(self: TaskError) -> None:
        kind.__init__(self, message)

    members = {
        "__init__": build,
        "__reduce__": lambda self: (kind, (message,)),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
    }
    return type(kind.__name__, (kind,), members)


def _send(thread: int, kind: type[BaseException] | None) -> None:
    import ctypes

    exception = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


def _take_back(thread: int) -> None:
    """Drop an exception that was sent to a thread and has not been raised there."""
    _send(thread, None)


# Attempts in the main thread, the outermost first: a step may execute a flow of its own in its thread.
_IN_MAIN: list[Interruptible] = []


class _Shield:
    """While this is open in the main thread, interruptions wait: what is done inside is done as a whole."""

    def __init__(self) -> None:
        self._depth = 0
        self._late = False  # whether a signal came meanwhile

    def __enter__(self) -> None:
        if threading.get_ident() == threading.main_thread().ident:
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == threading.main_thread().ident:
            self._depth -= 1
            if self._late and not self._depth:
                self._late = False
                _on_signal(0, None)

    def holds_back(self) -> bool:
        """Whether the signal that has just come has to wait."""
        self._late = self._depth > 0
        return self._late


SHIELD = _Shield()


def _on_signal(_number: int, _frame: Any) -> None:
    if SHIELD.holds_back():
        return
    for attempt in _IN_MAIN:
        if attempt._phase != _RUNNING or attempt._stop is not None:
            continue
        if attempt._sent:
            attempt._stop = _nothing  # raised once
            raise attempt.error()
        if attempt._soft == _DUE:
            attempt._soft = _RAISED
            raise soft_error(attempt.work)


def _nothing() -> None:
    """Stands for an exception that has been raised already."""


@contextmanager
def signals() -> Iterator[None]:
    """While this is open in the main thread, attempts there are interrupted by a signal.

    A signal, other than an exception sent to the thread, also ends a blocking sleep or read.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(_SIGNAL) != signal.SIG_DFL:
        yield
        return
    signal.signal(_SIGNAL, _on_signal)
    try:
        yield
    finally:
        signal.signal(_SIGNAL, signal.SIG_DFL)


@contextmanager
def in_main(attempt: Interruptible) -> Iterator[None]:
    """Have signals reach `attempt`, which the calling thread is about to run."""
    _IN_MAIN.append(attempt)
    try:
        yield
    finally:
        _IN_MAIN.remove(attempt)
