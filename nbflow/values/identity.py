"""The identity of code: what a function says, and all that it reads.

Code is a graph: functions and classes are its nodes, and what each reads of the others its edges. The nodes are
numbered in the order in which they are met from the root, names in alphabetical order, so that circles need no special
care and every process finds the same numbers.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import xxhash

from nbflow.values import imports
from nbflow.values.canonical import canonical_digest
from nbflow.values.codec import ATOMS
from nbflow.values.origin import is_installed, is_installed_file, package_version, spec_of
from nbflow.values.source import code_text, names_of, normalised

_LONG = 200  # characters of an atom that is written out
_DEEPEST = 5  # user modules within user modules
_MACHINERY = (BuiltinFunctionType, WrapperDescriptorType, MemberDescriptorType, type(str.join), type(dict.fromkeys))

# Parts of a class that are not its own doing, or that say nothing about what it does.
_NOT_MEMBERS = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __qualname__ __firstlineno__ __static_attributes__ __abstractmethods__ "
    "_abc_impl __orig_bases__ __parameters__ __match_args__ __annotate__ __annotations_cache__".split()
)


def code_digest(function: Any) -> str:
    """Return 32 hexadecimal digits for what a function or class does.

    Its source text without comments, formatting and docstrings, its defaults and closure, and the globals that it
    reads: helpers and classes of the user likewise and recursively, data by content, installed packages by name and
    version. What cannot be digested, such as an open connection, counts by its type.
    """
    return _Walk().digest(function)


def describe_code(function: Any) -> str:
    """The source text of a function or class, for people; "" if there is none."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


class _Walk:
    """Numbers the functions and classes that one root reaches, and writes down what each of them says."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # id -> number
        self._nodes: list[Any] = []  # in order of their numbers; keeps them alive, so that ids stay theirs
        self._data: dict[int, tuple[Any, str]] = {}  # id -> large data and its text

    def digest(self, root: Any) -> str:
        texts = [self._text(root)]
        done = 0
        while done < len(self._nodes):
            node = self._nodes[done]
            done += 1
            lines = self._function(node) if type(node) is FunctionType else self._class(node)
            texts += lines
        return xxhash.xxh3_128_hexdigest("\n".join(texts).encode("utf-8", "surrogatepass"))

    def _node(self, value: Any) -> str:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._nodes)
            self._nodes.append(value)
        return f"#{number}"

    def _text(self, value: Any) -> str:
        """What stands for a value in the text of the code that reads it; never raises."""
        kind = type(value)
        if kind in ATOMS:
            text = hex(value) if kind is int else repr(value)  # Python limits the digits of a decimal text
            return f"{kind.__name__} {text}" if len(text) < _LONG else canonical_digest(value, self._text)
        try:
            return self._object(value, kind)
        except Exception:  # odd objects of users: a lock, a connection, an attribute that raises
            return f"some {kind.__module__}.{kind.__qualname__}"

    def _object(self, value: Any, kind: type) -> str:
        if kind is FunctionType:
            return self._installed(value, value.__globals__.get("__name__")) or self._node(value)
        if issubclass(kind, type):
            return self._installed(value, value.__module__) or self._node(value)
        if kind is ModuleType:
            return package_version(value.__name__) if is_installed(value.__name__) else f"module {value.__name__}"
        if kind is MethodType:
            return f"method {self._text(value.__func__)} of {self._text(value.__self__)}"
        if issubclass(kind, _MACHINERY):
            return f"{getattr(value, '__module__', None)}.{value.__qualname__}"
        if kind is property:
            return "property " + " ".join(self._text(part) for part in (value.fget, value.fset, value.fdel))
        if issubclass(kind, staticmethod | classmethod):
            return f"{kind.__name__} {self._text(value.__func__)}"
        spec = spec_of(value)
        if spec is not None:
            return f"{spec.kind if hasattr(spec, 'kind') else ''} {spec.name!r} {self._text(spec.function)}"
        if kind is functools._lru_cache_wrapper or kind is functools.cached_property:
            return f"{kind.__name__} {self._text(value.__wrapped__ if hasattr(value, '__wrapped__') else value.func)}"
        return self._content(value)

    def _installed(self, value: Any, module: str | None) -> str | None:
        """Name and version of code that can be imported from an installed package, else None."""
        if not is_installed(module) or "<" in value.__qualname__:
            return None
        wrapped = vars(value).get("__wrapped__")  # a decorator of a package around a function of the user
        inner = f" around {self._text(wrapped)}" if wrapped is not None else ""
        return f"{module}.{value.__qualname__} of {package_version(module or '')}{inner}"

    def _content(self, value: Any) -> str:
        known = self._data.get(id(value))
        if known is None:
            known = self._data[id(value)] = (value, canonical_digest(value, self._text))
        return known[1]

    def _function(self, function: FunctionType) -> Iterator[str]:
        code = function.__code__
        yield f"function {code_text(code)}"
        yield from (f"default {self._text(value)}" for value in function.__defaults__ or ())
        keywords = function.__kwdefaults__ or {}
        yield from (f"default {name} {self._text(keywords[name])}" for name in sorted(keywords))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            yield f"closure {name} {self._cell(cell)}"
        names = names_of(code)
        namespace = function.__globals__
        for name in sorted(names.globals):
            if name in namespace:
                yield from self._global(name, namespace[name], names.attributes)
            elif hasattr(builtins, name):
                yield f"builtin {name}"
        yield from (_imported(name, namespace) for name in sorted(names.imports))
        wrapped = function.__dict__.get("__wrapped__")
        if wrapped is not None:
            yield f"wrapped {self._text(wrapped)}"

    def _global(self, name: str, value: Any, mentioned: frozenset[str], depth: int = 0) -> Iterator[str]:
        """A global, or for a module of the user those of its attributes whose names the function mentions."""
        yield f"global {name} {self._text(value)}"
        if type(value) is ModuleType and depth < _DEEPEST and not is_installed(value.__name__):
            attributes = vars(value)
            for attribute in sorted(mentioned & attributes.keys()):
                if attributes[attribute] is not value:
                    yield from self._global(f"{name}.{attribute}", attributes[attribute], mentioned, depth + 1)

    def _cell(self, cell: Any) -> str:
        try:
            return self._text(cell.cell_contents)
        except ValueError:  # not assigned yet
            return "empty"

    def _class(self, kind: type) -> Iterator[str]:
        yield f"class {kind.__qualname__} {self._text(type(kind))}"
        yield from (f"base {self._text(base)}" for base in kind.__bases__)
        members = vars(kind)
        for name in sorted(members.keys() - _NOT_MEMBERS):
            yield f"member {name} {self._text(members[name])}"


def _imported(name: str, namespace: dict[str, Any]) -> str:
    """A module that a function imports when it runs: as it stands in its file, since it may not be imported yet."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return f"import {package_version(top)}"
    try:
        return f"import {name} {_file_text(name or str(namespace.get('__package__')), set())}"
    except Exception:  # a module that cannot be found or parsed fails when it is imported
        return f"import {name}"


def _file_text(name: str, seen: set[str]) -> str:
    """The normalised source of a user's module and of the user's modules that it imports, or a package's version."""
    found = imports.find(name)
    place, is_package = found if found is not None else (None, False)
    if name in seen or place is None:
        return name
    seen.add(name)
    if is_installed_file(place) or not place.endswith(".py"):
        return package_version(name)
    with open(place, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    inner = sorted(imports.imported(tree, name, is_package=is_package))
    texts = [normalised(tree), *(_file_text(one, seen) for one in inner)]
    return xxhash.xxh3_128_hexdigest("\n".join(texts).encode("utf-8", "surrogatepass"))
