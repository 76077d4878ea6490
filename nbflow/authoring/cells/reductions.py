"""How objects travel that pickle itself would take apart, or take for something else, without a word."""

from __future__ import annotations

import gc
import pickle
import sys
import types
import typing
from functools import cache
from typing import Any, cast

_VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}


class _Probe:
    """An object with attributes."""


def _own_dict() -> int:
    probe = _Probe()
    held = object.__getattribute__(probe, "__dict__")
    return sys.getrefcount(held)


_OWN_DICT = _own_dict()  # how many hold the attributes of an object that shares them with nobody


def special(found: Any, *, together: bool) -> tuple[Any, ...] | None:
    """The reduction of an object that needs another than its own; None: pickle may go on.

    `together`: several names leave at once, and one of them may be bound to the attributes of another's object.
    Raises PicklingError for what cannot be copied and stay what it is.
    """
    kind = type(found)
    if kind in _VIEWS:
        return _view_of, (gc.get_referents(found.mapping)[0], _VIEWS[kind])
    if kind is types.MappingProxyType:
        owner = gc.get_referents(found)[0]
        return (types.MappingProxyType, (owner,)) if type(owner) is dict and "__dict__" not in owner else None
    if kind is memoryview:
        raise pickle.PicklingError("it is a window on the memory of another object")
    if kind is typing.NewType and found.__module__ == "__main__":
        return _new_type, (found.__name__, found.__supertype__)
    if kind.__module__ == "__main__" and not isinstance(found, type):
        if hasattr(kind, "__del__"):
            raise pickle.PicklingError("its class has __del__, which is to run once, when the last name for it goes")
        return _with_its_dict(found) if together or _uses_dicts(kind) else None
    return None


def _uses_dicts(kind: Any) -> bool:
    """Whether methods of a class use the dicts of attributes, and so may give one to several objects."""
    return _method_uses_dicts(kind)


@cache
def _method_uses_dicts(kind: Any) -> bool:
    methods = [item for base in kind.__mro__ for item in vars(base).values() if isinstance(item, types.FunctionType)]
    return any({"__dict__", "vars"}.intersection(method.__code__.co_names) for method in methods)


def _with_its_dict(found: Any) -> tuple[Any, ...] | None:
    """A reduction that keeps the dict of the attributes itself, where others may hold it too."""
    try:
        held = object.__getattribute__(found, "__dict__")
    except AttributeError:
        return None
    if not _uses_dicts(type(found)) and sys.getrefcount(held) <= _OWN_DICT:
        return None  # nobody else holds it
    reduced = found.__reduce_ex__(5)
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else held
    plain = state is held or (state is None and not held)
    if not isinstance(reduced, tuple) or not plain or hasattr(found, "__setstate__"):
        return None
    return (*reduced[:2], held, *reduced[3:5], *[None] * (5 - max(len(reduced), 3)), _set_dict)


def _set_dict(found: Any, held: dict[str, Any]) -> None:
    object.__setattr__(found, "__dict__", held)


def _view_of(mapping: dict[Any, Any], kind: str) -> Any:
    return getattr(mapping, kind)()


def _new_type(name: str, base: Any) -> Any:
    made: Any = cast("Any", typing.NewType)(name, base)
    made.__module__ = "__main__"
    return made
