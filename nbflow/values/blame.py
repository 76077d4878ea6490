"""Who is to blame when a value cannot be pickled: the path to the smallest part that cannot.

Runs only after a failure, so it may take its time: it tries the parts of the value one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

from nbflow.model.errors import UnpicklableError

_DEEPEST = 40
_MOST_PARTS = 10_000  # of one container

# Type names as people see them -> what to do instead.
_WAYS_OUT = {
    "generator": "Return a list of its items instead.",
    "async_generator": "Return a list of its items instead.",
    "coroutine": "Await it and return its value.",
    "_thread.lock": "Create the lock where it is used, or leave it out with __getstate__.",
    "_thread.RLock": "Create the lock where it is used, or leave it out with __getstate__.",
    "_io.TextIOWrapper": "Pass the file's path and open it in the step.",
    "_io.BufferedReader": "Pass the file's path and open it in the step.",
    "_io.BufferedWriter": "Pass the file's path and open it in the step.",
    "socket.socket": "Open the connection in the step that uses it.",
    "sqlite3.Connection": "Pass the database's path and connect in the step.",
    "sqlite3.Cursor": "Return the rows (fetchall()) instead.",
    "weakref.ReferenceType": "Keep the object itself, or leave the reference out with __getstate__.",
    "_thread._local": "Leave it out with __getstate__.",
    "module": "Import the module in the step that uses it.",
}
_DEFAULT_WAY_OUT = "Create it in the step that uses it, pass plain data instead, or give its class a __getstate__."


def unpicklable(value: object, what: str, error: Exception, attempt: Callable[[Any], object]) -> UnpicklableError:
    """Return the error to raise for `value`, which `attempt` (raises if its argument cannot be pickled) refused."""
    path, culprit = _descend(value, attempt)
    kind = type_name(culprit)
    where = " → ".join(path)
    way_out = _WAYS_OUT.get(kind) or (
        "Open the connection in the step that uses it." if "onnection" in kind else _DEFAULT_WAY_OUT
    )
    inside = f" ({where}: {kind})" if where else f" (it is a {kind})"
    return UnpicklableError(
        f"{what} cannot be stored{inside}: {type(error).__name__}: {error}. {way_out}",
        path="".join(path),
        type=kind,
    )


def type_name(value: object) -> str:
    """The qualified name of a value's type, for people."""
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _descend(value: object, attempt: Callable[[Any], object]) -> tuple[list[str], object]:
    path: list[str] = []
    visited: set[int] = set()
    while len(path) < _DEEPEST and id(value) not in visited:
        visited.add(id(value))
        for name, part in _parts(value):
            if id(part) not in visited and _fails(part, attempt):
                path.append(name)
                value = part
                break
        else:
            break
    return path, value


def _fails(part: object, attempt: Callable[[Any], object]) -> bool:
    try:
        attempt(part)
    except Exception:
        return True
    return False


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """The parts of a value that pickle would visit, each with the way to write it."""
    kind = type(value)
    try:
        if issubclass(kind, dict):
            for key, item in list(value.items())[:_MOST_PARTS]:  # type: ignore[attr-defined]
                yield f"[{_short(key)}]", item
                yield f" key {_short(key)}", key
        elif issubclass(kind, list | tuple):
            yield from ((f"[{index}]", item) for index, item in enumerate(value[:_MOST_PARTS]))  # type: ignore[index]
        elif issubclass(kind, set | frozenset):
            yield from ((f" element {_short(item)}", item) for item in list(value)[:_MOST_PARTS])  # type: ignore[call-overload]
        elif issubclass(kind, FunctionType):
            yield from _function_parts(value)
        elif issubclass(kind, MethodType):
            yield ".__self__", value.__self__  # type: ignore[attr-defined]
        yield from _attributes(value)
    except Exception:  # an object whose parts cannot even be listed is itself the place to name
        return


def _function_parts(function: Any) -> Iterator[tuple[str, object]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield f" closure variable {name}", cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield f" global {name}", function.__globals__[name]
    yield from ((f" default {index}", item) for index, item in enumerate(function.__defaults__ or ()))


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    """Attributes that pickle would write: not those that the object's own __getstate__ leaves out."""
    if isinstance(value, type | FunctionType):
        return
    state = value.__getstate__()
    if isinstance(state, tuple) and len(state) == 2:
        state = {**(state[0] or {}), **(state[1] or {})}
    if isinstance(state, dict):
        yield from ((f".{name}", item) for name, item in state.items())


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
