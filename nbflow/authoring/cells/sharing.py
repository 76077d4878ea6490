"""Which values share objects that can change: told by the memo that pickling and unpickling leave behind.

Pickle visits every object that a value reaches, whatever holds it, and remembers each in its memo. Two values whose
memos have a changeable object in common share it.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import pathlib
import pickle
import re
import sys
import types
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_IMMUTABLE = (
    str, bytes, int, float, complex, bool, type(None), tuple, frozenset, range, slice, enum.Enum, re.Pattern,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction,
    pathlib.PurePath, uuid.UUID, types.ModuleType, types.BuiltinFunctionType, types.CodeType, types.FunctionType,
    property, staticmethod, classmethod, pickle.PickleBuffer,
)  # fmt: skip


class Reach(NamedTuple):
    """The changeable objects that a value reaches."""

    keys: frozenset[int]  # ids
    memory: frozenset[int] = frozenset()  # ids of the arrays whose memory frames hold
    alive: tuple[Any, ...] = ()  # keeps the ids from being given to other objects


NOTHING = Reach(frozenset())


def reach(memo: Mapping[int, tuple[int, Any]], held: Iterable[Any] = ()) -> Reach:
    """What the memo of a pickler has in it; `held`: frames, series and indexes, whose arrays are their own."""
    return _reach([entry for _, entry in memo.values()], held)


def reach_of_loaded(memo: Mapping[int, Any]) -> Reach:
    """What the memo of an unpickler has in it."""
    entries = list(memo.values())
    return _reach(entries, [entry for entry in entries if is_frame(entry) or is_index(entry)])


def _reach(entries: list[Any], held: Iterable[Any]) -> Reach:
    memory = {id(part) for frame in held if not is_index(frame) for part in _blocks(frame)}
    left_out = memory.union(id(part) for found in held for part in _fixed(found))
    immutable = _immutable()
    arrays = _array_type()
    kept = []
    for entry in entries:
        if isinstance(entry, immutable) or (hasattr(entry, "__qualname__") and not isinstance(entry, type)):
            continue  # also functions of other kinds, which are pickled by name
        if isinstance(entry, type):
            continue  # where classes change is seen of the classes themselves
        found = owner(entry) if arrays is not None and isinstance(entry, arrays) else entry
        if id(found) not in left_out:
            kept.append(found)
    return Reach(frozenset(map(id, kept)), frozenset(memory), tuple(kept))


def is_frame(value: Any) -> bool:
    """Whether `value` is a frame or series whose memory no other one sees being changed (pandas' copy-on-write)."""
    kind = type(value)
    if not kind.__module__.startswith("pandas") and not any(base.__module__ == "pandas" for base in kind.__mro__):
        return False
    pandas: Any = sys.modules["pandas"]
    if not isinstance(value, (pandas.DataFrame, pandas.Series)):
        return False
    return int(pandas.__version__.partition(".")[0]) >= 3 or pandas.get_option("mode.copy_on_write") is True


def is_index(value: Any) -> bool:
    """Whether `value` is an index of pandas, which never changes."""
    pandas = sys.modules.get("pandas") if type(value).__module__.startswith("pandas") else None
    return pandas is not None and isinstance(value, pandas.Index)


def _blocks(frame: Any) -> Iterable[Any]:
    """The arrays that hold a frame's values."""
    for block in frame._mgr.blocks:
        yield from _arrays(block.values)


def _fixed(found: Any) -> Iterable[Any]:
    """What a frame or an index reaches that nobody changes: the arrays of indexes, and a list that all frames share."""
    if is_index(found):
        yield from _arrays(found._values)
        return
    yield found._metadata
    for axis in found._mgr.axes:
        yield from _arrays(axis._values)


def _arrays(values: Any) -> Iterable[Any]:
    yield owner(values)
    for part in (getattr(values, "_ndarray", None), *getattr(values, "__dict__", {}).values()):
        if part is not None:
            yield owner(part)


def owner(array: Any) -> Any:
    """The array whose memory `array` is a view of; itself if it is none."""
    base = array
    while isinstance(getattr(base, "base", None), _array_type() or ()):
        base = base.base
    return base


def components(reached: Mapping[str, Reach]) -> list[tuple[str, ...]]:
    """The names in groups that share something."""
    groups: list[tuple[set[str], set[int]]] = []
    for name, found in reached.items():
        names, keys = {name}, set(found.keys)
        apart = []
        for group in groups:
            if group[1].isdisjoint(keys):
                apart.append(group)
            else:
                names |= group[0]
                keys |= group[1]
        groups = [*apart, (names, keys)]
    return sorted(tuple(sorted(names)) for names, _ in groups)


def memory_shared(reached: Mapping[str, Reach]) -> list[tuple[str, ...]]:
    """Pairs of a name that holds an array and one that holds a frame with the same memory."""
    return [
        (array, frame)
        for frame, found in reached.items()
        if found.memory
        for array, other in reached.items()
        if not other.keys.isdisjoint(found.memory)
    ]


def _immutable() -> tuple[type, ...]:
    found: list[Any] = list(_IMMUTABLE)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        found += [numpy.dtype, numpy.generic]
    pandas = sys.modules.get("pandas")
    if pandas is not None and hasattr(pandas, "Index"):
        found += [pandas.Index, pandas.api.extensions.ExtensionDtype, pandas.offsets.BaseOffset, type(pandas.NaT)]
    return tuple(found)


def _array_type() -> type | None:
    numpy = sys.modules.get("numpy")
    return getattr(numpy, "ndarray", None) if numpy is not None else None
