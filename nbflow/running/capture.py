"""Sends what an attempt prints and displays to its context.

`sys.stdout` and `sys.stderr` are replaced once per process, by routers that ask for each text which attempt wrote it.
An attempt is found by a context variable: what a step's own threads print goes where it would go without nbflow, unless
they are started with `contextvars.copy_context().run`. The same holds for `sys.stdout.buffer`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from nbflow.running import display
from nbflow.running.context import CURRENT, AttemptContext
from nbflow.values.secrets import places, traces

_LOCK = threading.Lock()
_USERS = 0
_INSTALLED: list[_Router] = []


def _nobody() -> AttemptContext | None:
    return None


_rest_belongs_to: Callable[[], AttemptContext | None] = _nobody  # the attempt that output of unknown origin belongs to


class _Router:
    """Stands in for `sys.stdout` or `sys.stderr`."""

    def __init__(self, name: str, original: TextIO) -> None:
        self._name = name
        self._original = original

    def write(self, text: str) -> int:
        """Give `text` to the attempt that writes it, if one does."""
        context = CURRENT.get() or _rest_belongs_to()
        if context is None or context.closed:
            self._original.write(traces.clean(text) if traces.known() else text)
            return len(text)
        shown = context.emit(self._name, text)
        if context.echo or _debugging():
            self._original.write(shown)
        return len(text)

    def show_again(self, text: str) -> None:
        """Show output that is on record already."""
        self._original.write(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what went to the original; nbflow sends captured output on by itself."""
        self._original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def _debugging() -> bool:
    """Whether the thread is in a debugger, whose prompt a person has to see at once."""
    owner = getattr(sys.gettrace(), "__self__", None)
    return owner is not None and "bdb" in sys.modules and isinstance(owner, sys.modules["bdb"].Bdb)


def install() -> None:
    """Begin to capture; `remove` ends what the first `install` began, once it was called as often."""
    global _USERS
    with _LOCK:
        _USERS += 1
        # Also when it is installed already: the streams may have been swapped meanwhile, as in each cell of a kernel.
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, _Router):
                router = _Router(name, stream)
                _INSTALLED.append(router)
                setattr(sys, name, cast("TextIO", router))
                _redirect_logging(stream, router)
        display.install()
    places.learn_environment()


def remove() -> None:
    """End one `install`; the last one puts the original streams back where nobody else replaced the routers."""
    global _USERS
    with _LOCK:
        _USERS -= 1
        if _USERS:
            return
        for router in reversed(_INSTALLED):
            if getattr(sys, router._name) is router:
                setattr(sys, router._name, router._original)
            _redirect_logging(router, router._original)
        _INSTALLED.clear()
        display.remove()


def _redirect_logging(old: Any, new: Any) -> None:
    """Have the log handlers that write to one stream write to another: they keep the one they were made with."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream is old:
                handler.setStream(new)


def attribute_rest_to(attempt: Callable[[], AttemptContext | None]) -> None:
    """Count output of unknown origin, such as of threads, as that of `attempt()`: the only one of this process."""
    global _rest_belongs_to
    _rest_belongs_to = attempt


@contextmanager
def rest_attributed_to(attempt: AttemptContext) -> Iterator[None]:
    """Do so for as long as the block runs."""
    before = _rest_belongs_to
    attribute_rest_to(lambda: attempt)
    try:
        yield
    finally:
        attribute_rest_to(before)
