"""What a pickle is made of, found out without loading it.

Loading a pickle runs whatever it asks for. Here its instructions are read one by one (`pickletools`) and only plain
data are built: numbers, texts, bytes, lists, tuples, dicts and sets. Whatever would be imported becomes a `Name`, what
would be made by calling it a `Made`, and nothing of either is ever called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_MOST = 20_000  # instructions; what comes later in a larger pickle is not looked at


@dataclass(frozen=True, slots=True)
class Name:
    """Something that the pickle would import."""

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Made:
    """Something that the pickle would make by calling `what` with `args`."""

    what: Any  # mostly a Name
    args: Any  # mostly a tuple; of a pickle that was not read to its end those that were read
    state: Any = None  # what it would be given afterwards


class _Mark:
    """Where the parts of something begin."""


_MARK = _Mark()
# What following the instructions of something that is no pickle, or was made to do harm, may end with.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError)
_UNKNOWN = Name("", "?")  # stands for what cannot be told, such as an object kept outside of the pickle


def outline(data: bytes) -> Any:
    """What a pickle holds, as plain data with `Name` and `Made` for the rest.

    One that is cut off or very large is read as far as it goes. Raises ValueError if this is no pickle.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return machine.stack[-1]
            if count >= _MOST:
                break
            machine.do(opcode.name, argument)
    except _BROKEN as error:
        if not machine.stack:
            raise ValueError(f"this is no pickle: {error}") from None
    return machine.unfinished()


def first_text(data: bytes) -> str | None:
    """The first text in a pickle: of a tuple that begins with a name that name. None if there is none, or no pickle."""
    try:
        for _, (opcode, argument, _) in zip(range(16), pickletools.genops(data), strict=False):
            if opcode.name in _TEXTS:
                return str(argument)
    except (ValueError, IndexError):
        pass
    return None


def moment(value: Any) -> float | None:
    """The time that a pickled datetime means, in seconds since 1970; one without a zone is taken for UTC."""
    if not isinstance(value, Made) or value.what != Name("datetime", "datetime") or not value.args:
        return None
    packed = _bytes(value.args[0])
    if packed is None or len(packed) != 10:
        return None
    year, month = packed[0] * 256 + packed[1], packed[2] & 127  # the highest bit is the fold
    microseconds = int.from_bytes(packed[7:10], "big")
    try:
        naive = datetime(year, month, packed[3], packed[4], packed[5], packed[6], microseconds)
        offset = _offset(value.args[1], naive) if len(value.args) > 1 else timedelta(0)
    except (ValueError, TypeError, OverflowError, LookupError):
        return None
    return None if offset is None else naive.replace(tzinfo=UTC).timestamp() - offset.total_seconds()


def _bytes(value: Any) -> bytes | None:
    """Bytes as they are, and as the older protocols write them: a text to be encoded."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Made) and value.what == Name("_codecs", "encode") and isinstance(value.args[0], str):
        return value.args[0].encode("latin-1")
    return None


def _offset(zone: Any, naive: datetime) -> timedelta | None:
    """How far a pickled zone is from UTC at a time; None if that cannot be told."""
    from zoneinfo import ZoneInfo

    if not isinstance(zone, Made):
        return None
    if zone.what == Name("datetime", "timezone") and isinstance(zone.args[0], Made):
        days, seconds, microseconds = zone.args[0].args
        return timedelta(days, seconds, microseconds)
    if zone.args and isinstance(zone.args[0], str):  # zoneinfo and pytz: the name of the zone
        return ZoneInfo(zone.args[0]).utcoffset(naive)
    return timedelta(0) if zone.what in (Name("pytz", "_UTC"), Name("dateutil.tz.tz", "tzutc")) else None


class _Machine:
    """The machine that instructions are for: a stack and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _CONSTANTS:
            self.stack.append(argument)
        elif name in _VALUES:
            self.stack.append(_VALUES[name]())
        else:
            action = _ACTIONS.get(name)
            if action is not None:
                action(self, argument)

    def unfinished(self) -> Any:
        """What is there of something that was not read to its end."""
        while any(each is _MARK for each in self.stack):
            parts = self.since_mark()
            self.stack.append(tuple(parts))
        if len(self.stack) > 1 and isinstance(self.stack[0], Name):
            parts = self.stack[1:]
            return Made(self.stack[0], parts[0] if isinstance(parts[0], tuple) else tuple(parts))
        return self.stack[0]

    def since_mark(self) -> list[Any]:
        """Take everything from the latest mark on, and the mark."""
        at = max(place for place, each in enumerate(self.stack) if each is _MARK)
        parts = self.stack[at + 1 :]
        del self.stack[at:]
        return parts

    def drop(self, parts: list[Any]) -> None:
        """Have no use for what was taken."""

    def take(self, count: int) -> list[Any]:
        """Take the uppermost so many."""
        parts = self.stack[-count:]
        if len(parts) < count:
            raise IndexError("a stack that is too short")
        del self.stack[-count:]
        return parts


def _pairs(parts: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Keys and values in turn, without those keys that no dict can have."""
    for key, value in zip(parts[::2], parts[1::2], strict=False):
        if _hashable(key):
            yield key, value


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _fill(machine: _Machine, parts: list[Any]) -> None:
    """Put parts into the list, set or dict on the stack; what is none of these is left as it is."""
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(parts)
    elif isinstance(target, set):
        target.update(filter(_hashable, parts))
    elif isinstance(target, dict):
        target.update(_pairs(parts))


def _make(machine: _Machine, what: Any, args: Any) -> None:
    machine.stack.append(Made(what, args))


def _build(machine: _Machine) -> None:
    state = machine.stack.pop()
    if isinstance(machine.stack[-1], Made):
        machine.stack[-1].state = state


def _new_with_names(machine: _Machine) -> None:
    what, args, names = machine.take(3)
    machine.stack.append(Made(what, args, names))


def _object(machine: _Machine) -> None:
    what, *args = machine.since_mark()
    _make(machine, what, tuple(args))


def _name(machine: _Machine, module: Any, name: Any) -> None:
    machine.stack.append(Name(str(module), str(name)))


def _keep(machine: _Machine, place: int | None) -> None:
    machine.memo[len(machine.memo) if place is None else place] = machine.stack[-1]


def _replace(count: int) -> Callable[[_Machine, Any], None]:
    """An instruction that has so many things replaced by one that is not known."""

    def action(machine: _Machine, _: Any) -> None:
        if count:
            machine.take(count)
        machine.stack.append(_UNKNOWN)

    return action


_TEXTS = frozenset({"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING"})
_CONSTANTS = _TEXTS | {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_VALUES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
# What is not here (PROTO, FRAME, READONLY_BUFFER) changes nothing that is looked at.
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "POP": lambda machine, _: machine.drop(machine.take(1)),
    "POP_MARK": lambda machine, _: machine.drop(machine.since_mark()),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.take(3))),
    "DICT": lambda machine, _: machine.stack.append(dict(_pairs(machine.since_mark()))),
    "FROZENSET": lambda machine, _: machine.stack.append(frozenset(filter(_hashable, machine.since_mark()))),
    "APPEND": lambda machine, _: _fill(machine, machine.take(1)),
    "SETITEM": lambda machine, _: _fill(machine, machine.take(2)),
    "APPENDS": lambda machine, _: _fill(machine, machine.since_mark()),
    "SETITEMS": lambda machine, _: _fill(machine, machine.since_mark()),
    "ADDITEMS": lambda machine, _: _fill(machine, machine.since_mark()),
    "MEMOIZE": lambda machine, _: _keep(machine, None),
    "PUT": _keep,
    "BINPUT": _keep,
    "LONG_BINPUT": _keep,
    "GET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "GLOBAL": lambda machine, both: _name(machine, *both.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: _name(machine, *machine.take(2)),
    "REDUCE": lambda machine, _: _make(machine, *machine.take(2)),
    "NEWOBJ": lambda machine, _: _make(machine, *machine.take(2)),
    "NEWOBJ_EX": lambda machine, _: _new_with_names(machine),
    "INST": lambda machine, both: _make(machine, Name(*both.split(" ", 1)), tuple(machine.since_mark())),
    "OBJ": lambda machine, _: _object(machine),
    "BUILD": lambda machine, _: _build(machine),
    "PERSID": _replace(0),
    "BINPERSID": _replace(1),
    "EXT1": _replace(0),
    "EXT2": _replace(0),
    "EXT4": _replace(0),
    "NEXT_BUFFER": _replace(0),
}
