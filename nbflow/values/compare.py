"""Where two values differ, told by path: `model.coef_[3]: 0.5123 ≠ 0.512 (rel. 5.9e-04 > 1e-06)`.

Types are known by their names and not by identity: a class that a notebook defines is another object each time. NaN
equals NaN. The order of a dict does not matter, that of columns does. Equal memory layout is not asked for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from nbflow.values.source import code_text

RTOL, ATOL = 1e-6, 1e-9
_LONGEST = 60  # characters of a value in a message
_FEW = 200  # elements of sets that are matched one with another
_EXACT = (str, bytes, bytearray, bool, int, type(None), type(Ellipsis), ModuleType, BuiltinFunctionType)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two values differ."""

    path: str  # from the name: model.coef_[3]
    text: str  # what differs there
    more: int = 0  # how many further elements of the same array or column differ

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" + (f" (and {self.more} more elements)" if self.more else "")


def compare(
    left: object, right: object, rtol: float = RTOL, atol: float = ATOL, *, name: str = "value"
) -> list[Difference]:
    """The differences of two values, `left` being the expected one; an empty list if they are the same.

    Floats, also those in arrays and frames, may differ by `atol + rtol * |left|`. `name` begins the paths. Objects are
    compared by their attributes, figures by what is drawn, functions and classes by what they say. Raises nothing of
    its own; what cannot be looked at is told as a difference.
    """
    walk = Walk(rtol, atol)
    walk.compare(left, right, name)
    return walk.found


class Walk:
    """One comparison: what was found so far, and what was looked at already."""

    def __init__(self, rtol: float = RTOL, atol: float = ATOL) -> None:
        self.rtol = rtol
        self.atol = atol
        self.found: list[Difference] = []
        # Pairs that were met, since values may contain themselves. Kept alive, so that an id stays its own.
        self._met: dict[tuple[int, int], tuple[object, object]] = {}

    def compare(self, left: Any, right: Any, path: str) -> None:
        """Note the differences of one pair."""
        if left is right:
            return
        if _is_number(left) and _is_number(right):
            self._numbers(left, right, path)
        elif type_name(left) != type_name(right):
            self.tell(path, f"{_described(left)} ≠ {_described(right)}")
        elif isinstance(left, _EXACT):
            self._exact(left, right, path)
        elif (id(left), id(right)) not in self._met:
            self._met[id(left), id(right)] = (left, right)
            try:
                way = self._way(left)
                way(self, left, right, path)
                if way in _CONTENTS and hasattr(left, "__dict__"):  # a subclass may have attributes as well
                    _attributes(self, vars(left), vars(right), path)
            except RecursionError:
                self.tell(path, "is nested too deeply to be compared")
            except Exception as error:  # attributes and operators of users' classes may raise anything
                self.tell(path, f"cannot be compared: {type(error).__name__}: {shown(str(error))}")

    def tell(self, path: str, text: str, more: int = 0) -> None:
        """Note a difference."""
        self.found.append(Difference(path, text, more))

    def same(self, left: Any, right: Any) -> bool:
        """Whether two values are the same; notes nothing."""
        inner = Walk(self.rtol, self.atol)
        inner.compare(left, right, "")
        return not inner.found

    def close(self, left: Any, right: Any) -> bool:
        """Whether two numbers are the same."""
        if left == right or (left != left and right != right):  # NaN
            return True
        return bool(abs(left - right) <= self.atol + self.rtol * abs(left)) and math.isfinite(abs(left - right))

    def number_text(self, left: Any, right: Any) -> str:
        """How far two numbers are apart."""
        told = f"{left!s} ≠ {right!s}"
        if _is_float(left) and left and math.isfinite(abs(left)) and math.isfinite(abs(right)):
            told += f" (rel. {abs(left - right) / abs(left):.1e} > {self.rtol:.0e})"
        return told

    def _numbers(self, left: Any, right: Any, path: str) -> None:
        if _is_float(left) is not _is_float(right):
            self.tell(path, f"{_described(left)} ≠ {_described(right)}")
        elif not (self.close(left, right) if _is_float(left) else left == right):
            self.tell(path, self.number_text(left, right))

    def _exact(self, left: Any, right: Any, path: str) -> None:
        if isinstance(left, ModuleType | BuiltinFunctionType):
            left, right = left.__name__, right.__name__
        if left != right:
            at = _first_difference(left, right) if isinstance(left, str | bytes) and len(left) > _LONGEST else 0
            where = f" (from character {at})" if at else ""
            one, other = (left[at:], right[at:]) if at else (left, right)
            self.tell(path, f"{shown(repr(one))} ≠ {shown(repr(other))}{where}")

    def _way(self, value: Any) -> Callable[[Walk, Any, Any, str], None]:
        """How values of this kind are compared."""
        from nbflow.values import compare_arrays, compare_figures

        for ways in (_WAYS, compare_arrays.WAYS, compare_figures.WAYS):
            for kind in type(value).__mro__:
                way = ways.get(f"{kind.__module__}.{kind.__qualname__}")
                if way is not None:
                    return way
        return _objects


def type_name(value: Any) -> str:
    """The name of a value's type, with its module unless that says nothing."""
    kind = type(value)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return module + kind.__qualname__


def shown(text: str) -> str:
    """A text in one line, cut to a readable length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _described(value: Any) -> str:
    try:
        return f"{type_name(value)} {shown(repr(value))}"
    except Exception:  # a user's __repr__
        return type_name(value)


def _is_number(value: Any) -> bool:
    return (
        (isinstance(value, int) and not isinstance(value, bool)) or _is_float(value) or _of_numpy(value, "int", "uint")
    )


def _is_float(value: Any) -> bool:
    return isinstance(value, float | complex) or _of_numpy(value, "float", "complex", "longdouble", "clongdouble")


def _of_numpy(value: Any, *names: str) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__.startswith(names)


def _first_difference(left: Any, right: Any) -> int:
    for position, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return max(0, position - 10)
    return max(0, min(len(left), len(right)) - 10)


def _sequences(walk: Walk, left: Any, right: Any, path: str) -> None:
    if len(left) != len(right):
        walk.tell(path, f"{len(left)} elements ≠ {len(right)} elements")
    for position, (one, other) in enumerate(zip(left, right, strict=False)):
        walk.compare(one, other, f"{path}[{position}]")


def _mappings(walk: Walk, left: Any, right: Any, path: str) -> None:
    for key in left:
        if key in right:
            walk.compare(left[key], right[key], f"{path}[{shown(repr(key))}]")
        else:
            walk.tell(f"{path}[{shown(repr(key))}]", "is gone")
    for key in right:
        if key not in left:
            walk.tell(f"{path}[{shown(repr(key))}]", "is new")


def _sets(walk: Walk, left: Any, right: Any, path: str) -> None:
    gone = [item for item in left if item not in right]
    new = [item for item in right if item not in left]
    if len(gone) * len(new) <= _FEW * _FEW:  # objects and floats are not found by equality
        for item in list(gone):
            twin = next((other for other in new if walk.same(item, other)), _NONE)
            if twin is not _NONE:
                gone.remove(item)
                new.remove(twin)
    for item in gone:
        walk.tell(path, f"{shown(repr(item))} is gone")
    for item in new:
        walk.tell(path, f"{shown(repr(item))} is new")


def _functions(walk: Walk, left: FunctionType, right: FunctionType, path: str) -> None:
    if not same_code(left, right):
        walk.tell(path, f"the code of function {left.__qualname__} differs")
        return
    walk.compare(left.__defaults__, right.__defaults__, f"{path}.__defaults__")
    walk.compare(left.__kwdefaults__, right.__kwdefaults__, f"{path}.__kwdefaults__")
    closures = zip(left.__code__.co_freevars, left.__closure__ or (), right.__closure__ or (), strict=True)
    for name, one, other in closures:
        walk.compare(_contents(one), _contents(other), f"{path}.{name}")


def same_code(left: FunctionType, right: FunctionType) -> bool:
    """Whether two functions say the same: in their sources, or in bytecode where one of them has no source here."""
    if code_text(left.__code__) == code_text(right.__code__):
        return True
    one, other = left.__code__, right.__code__
    # A code object that was loaded knows no source file; line numbers and names of files do not count.
    blank: dict[str, Any] = {"co_filename": "", "co_firstlineno": 1, "co_linetable": b""}
    return one.replace(**blank) == other.replace(**blank)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned
        return None


def _classes(walk: Walk, left: type, right: type, path: str) -> None:
    if f"{left.__module__}.{left.__qualname__}" != f"{right.__module__}.{right.__qualname__}":
        walk.tell(path, f"class {left.__qualname__} ≠ class {right.__qualname__}")
    elif left.__module__ == "__main__" or "<" in left.__qualname__:
        walk.compare([base.__qualname__ for base in left.__bases__], [base.__qualname__ for base in right.__bases__],
                     f"{path}.__bases__")  # fmt: skip
        one, other = _members(left), _members(right)
        _attributes(walk, one, other, path)


def _members(kind: type) -> dict[str, Any]:
    unimportant = {
        "__dict__", "__slotnames__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__",
        "_abc_impl", "__annotate_func__", "__annotations_cache__",
    }  # fmt: skip
    return {name: value for name, value in vars(kind).items() if name not in unimportant}


def _wrapping(*names: str) -> Callable[[Walk, Any, Any, str], None]:
    def way(walk: Walk, left: Any, right: Any, path: str) -> None:
        for name in names:
            walk.compare(getattr(left, name, None), getattr(right, name, None), f"{path}.{name}")

    return way


def _random(walk: Walk, left: Any, right: Any, path: str) -> None:
    if left.getstate() != right.getstate():
        walk.tell(path, "the state of the random generator differs")


def _objects(walk: Walk, left: Any, right: Any, path: str) -> None:
    """By equality where the standard library defines it, else by attributes, else by what pickle would store."""
    kind: Any = type(left)
    own_equality = kind.__eq__ is not object.__eq__
    standard = kind.__module__.partition(".")[0] in sys.stdlib_module_names and kind.__module__ != "__main__"
    one, other = _state(left), _state(right)
    if one is not None and other is not None and not (standard and own_equality):
        _attributes(walk, one, other, path)
    elif own_equality:
        if left != right:
            walk.tell(path, f"{shown(repr(left))} ≠ {shown(repr(right))}")
    elif kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
        _attributes(walk, _reduced(left), _reduced(right), path)


def _decimals(walk: Walk, left: Any, right: Any, path: str) -> None:
    if str(left) != str(right) and left != right:  # by text first: some of its NaN raise when they are compared
        walk.tell(path, f"{left!r} ≠ {right!r}")


def _errors(walk: Walk, left: BaseException, right: BaseException, path: str) -> None:
    walk.compare(left.args, right.args, f"{path}.args")
    _attributes(walk, vars(left), vars(right), path)


def _state(value: Any) -> dict[str, Any] | None:
    """The attributes of an object, slots included; None if it has no place for any."""
    slots = [name for kind in type(value).__mro__ for name in _names(vars(kind).get("__slots__", ()))]
    if not hasattr(value, "__dict__") and not slots:
        return None
    found = dict(getattr(value, "__dict__", {}))
    mangled = {name: f"_{type(value).__name__.lstrip('_')}{name}" for name in slots if name.startswith("__")}
    for name in slots:
        attribute = name if hasattr(value, name) else mangled.get(name, name)
        if name not in ("__dict__", "__weakref__") and hasattr(value, attribute):
            found[name] = getattr(value, attribute)
    return found


def _names(slots: str | Iterable[str]) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _attributes(walk: Walk, left: dict[str, Any], right: dict[str, Any], path: str) -> None:
    for name in left:
        if name in right:
            walk.compare(left[name], right[name], f"{path}.{name}")
        else:
            walk.tell(f"{path}.{name}", "is gone")
    for name in right:
        if name not in left:
            walk.tell(f"{path}.{name}", "is new")


def _reduced(value: Any) -> dict[str, Any]:
    """What pickle would store of an object of an extension module."""
    reduced = value.__reduce_ex__(4)
    parts = reduced[1:3] if isinstance(reduced, tuple) else (reduced,)
    return dict(zip(("arguments", "state"), parts, strict=False))


_NONE = object()
_CONTENTS = (_sequences, _mappings, _sets)
_WAYS: dict[str, Callable[[Walk, Any, Any, str], None]] = {
    "builtins.list": _sequences,
    "builtins.tuple": _sequences,
    "collections.deque": _sequences,
    "builtins.dict": _mappings,
    "builtins.mappingproxy": _mappings,
    "builtins.set": _sets,
    "builtins.frozenset": _sets,
    "builtins.function": _functions,
    "builtins.type": _classes,
    "builtins.method": _wrapping("__func__", "__self__"),
    "builtins.property": _wrapping("fget", "fset", "fdel"),
    "builtins.staticmethod": _wrapping("__func__"),
    "builtins.classmethod": _wrapping("__func__"),
    "functools.partial": _wrapping("func", "args", "keywords"),
    "functools._lru_cache_wrapper": _wrapping("__wrapped__"),
    "random.Random": _random,
    "decimal.Decimal": _decimals,
    "builtins.BaseException": _errors,
}
