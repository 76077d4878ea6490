"""The event loop of async steps: one in the process, on a thread of its own, and nobody else touches it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from nbflow.running.clock import SystemClock
from nbflow.running.interrupt import GRACE

if TYPE_CHECKING:
    from nbflow.running.interrupt import Interruptible

_LOCK = threading.Lock()
_LOOP: asyncio.AbstractEventLoop | None = None


def run(attempt: Interruptible, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end and return its result; the calling thread waits.

    An interruption cancels it. If it goes on in spite of that, nobody waits for it after `GRACE`.
    """
    call = _Call(coroutine)
    try:
        return attempt.call(call.wait, stop=call.stop, soften=call.cancel)
    finally:
        if call.task is None:
            coroutine.close()  # it was interrupted before it began


class _Call:
    """One coroutine on the loop, and the thread that waits for it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.task: asyncio.Task[Any] | None = None
        self._coroutine = coroutine
        self._ended = threading.Event()
        self._loop = _loop()

    def wait(self) -> Any:
        """Start the coroutine and wait for its end."""
        begun = threading.Event()

        def begin() -> None:
            # call_soon_threadsafe brought the caller's context variables along, and the task copies them.
            self.task = self._loop.create_task(self._coroutine)
            self.task.add_done_callback(lambda _: self._ended.set())
            begun.set()

        self._loop.call_soon_threadsafe(begin)
        begun.wait()
        try:
            self._ended.wait()
        except BaseException:  # KeyboardInterrupt in the waiting thread
            self.stop()
            raise
        task = self.task
        if task is None or not task.done():
            return None  # given up; the verdict says why
        return task.result()

    def stop(self) -> None:
        """Cancel the coroutine, and wait for it no longer than `GRACE`; callable from any thread."""
        self.cancel()
        clock = SystemClock()
        clock.call_at(clock.time() + GRACE, self._ended.set)

    def cancel(self) -> None:
        """Cancel the coroutine; callable from any thread."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


def _loop() -> asyncio.AbstractEventLoop:
    global _LOOP
    with _LOCK:
        if _LOOP is None:
            _LOOP = asyncio.new_event_loop()
            threading.Thread(target=_LOOP.run_forever, name="nbflow-async", daemon=True).start()
        return _LOOP
