"""Functions on their way to other processes: by name where they can be imported there, else by value."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from nbflow.values import codec

_MOST_WRAPPERS = 10


class Reference(NamedTuple):
    """A function that can be imported."""

    module: str
    qualname: str
    unwrap: int  # how many decorators stand between the global name and the function


class Code(NamedTuple):
    """A function by value."""

    stream: bytes
    buffers: list[bytes]
    sources: dict[str, list[str]]  # lines of cells and the like, so that tracebacks can show them


def pack(function: Callable[..., Any], what: str) -> Reference | Code:
    """A form of `function` that another process can make the same function of."""
    reference = _reference(function)
    if reference is not None:
        return reference
    payload = codec.encode(function, what=what)
    return Code(payload.stream, [bytes(buffer) for buffer in payload.buffers], _sources(function))


def unpack(packed: Reference | Code) -> Callable[..., Any]:
    """The function. Raises ImportError or AttributeError if it is not there any more."""
    if isinstance(packed, Reference):
        found = _find(import_module(packed.module), packed.qualname)
        if found is None:
            raise AttributeError(f"module {packed.module!r} has no attribute {packed.qualname!r}")
        for _ in range(packed.unwrap):
            found = found.__wrapped__
    else:
        for name, lines in packed.sources.items():
            # No time of change: linecache then takes it as it is.
            linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
        found = codec.decode(packed.stream, packed.buffers)
    function: Callable[..., Any] = found
    return function


def _reference(function: Callable[..., Any]) -> Reference | None:
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    home = sys.modules.get(module) if isinstance(module, str) and module != "__main__" else None
    if home is None or not isinstance(qualname, str) or getattr(home, "__spec__", None) is None:
        return None
    found = _find(home, qualname)
    for depth in range(_MOST_WRAPPERS):
        if found is function:
            return Reference(home.__name__, qualname, depth)
        found = getattr(found, "__wrapped__", None)
    return None


def _find(home: Any, qualname: str) -> Any:
    found = home
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _sources(function: Any) -> dict[str, list[str]]:
    """The source of a function that is not in a file: a notebook's cell, an interactive line."""
    code = getattr(function, "__code__", None)
    if code is None or os.path.exists(code.co_filename):
        return {}
    entry = linecache.cache.get(code.co_filename)
    lines = entry[2] if entry is not None and len(entry) == 4 else None
    return {code.co_filename: list(lines)} if lines else {}
