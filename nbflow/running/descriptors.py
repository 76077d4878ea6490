"""Captures what is written below Python: by C code and by programs that a step starts. For child processes only."""

from __future__ import annotations

import codecs
import functools
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbflow.values.secrets import traces

if TYPE_CHECKING:
    from nbflow.running.context import AttemptContext

_CHUNK = 65536


class _Stream:
    """File descriptor 1 or 2, turned into a pipe."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.original = os.dup(number)
        self.end, writing = os.pipe()
        os.dup2(writing, number)
        os.close(writing)
        os.set_blocking(self.end, False)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")


class Descriptors:
    """Standard output and error of this process; what they carry belongs to the attempt that runs."""

    def __init__(self, attempt: Callable[[], AttemptContext | None]) -> None:
        self._attempt = attempt
        self._lock = threading.Lock()
        self._streams = [_Stream("stdout", 1), _Stream("stderr", 2)]
        threading.Thread(target=self._watch, name="nbflow-output", daemon=True).start()

    def drain(self) -> None:
        """Hand on everything that was written so far."""
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        if "ctypes" in sys.modules:  # loaded by child.py, in the background
            _flush_c_streams()
        self._read()

    def _watch(self) -> None:
        while True:
            select.select([stream.end for stream in self._streams], [], [])
            self._read()

    def _read(self) -> None:
        with self._lock:
            for stream in self._streams:
                while data := self._take(stream):
                    context = self._attempt()
                    if context is not None and not context.closed:
                        context.emit(stream.name, stream.decoder.decode(data))
                    else:
                        os.write(stream.original, traces.clean_bytes(data) if traces.known() else data)

    @staticmethod
    def _take(stream: _Stream) -> bytes:
        try:
            return os.read(stream.end, _CHUNK)
        except BlockingIOError:
            return b""


@functools.cache
def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def _flush_c_streams() -> None:
    _c_library().fflush(None)
