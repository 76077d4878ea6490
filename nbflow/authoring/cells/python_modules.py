"""Modules that cells import: a step finds them as a fresh kernel would, and leaves them as it found them.

Modules of the user's own, those that are not installed, may hold state that cells change by calling functions of them.
The steps that run in a process have their own copies of these, apart from those of the kernel or program around them.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import operator
import os
import pickle
import site
import sys
import sysconfig
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_BEGAN = time.time()  # later than the start of this process, and earlier than whatever a notebook writes
_OWN = os.path.join(__file__.partition(os.path.join("nbflow", "authoring"))[0], "nbflow", "")
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, staticmethod, classmethod, property)
# The copies that steps import: name → module, and what it held when it had just been imported.
_steps: dict[str, tuple[types.ModuleType, dict[str, Any]]] = {}


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the user's, and notes what it holds then."""

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        _steps[module.__name__] = (module, _state(module))


class _Finder:
    """Finds modules of the user's for the steps."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        origin = spec.origin if spec is not None else None
        if spec is None or origin is None or not _is_users(origin):
            return None
        return importlib.util.spec_from_file_location(
            name, origin, loader=_Loader(name, origin), submodule_search_locations=spec.submodule_search_locations
        )


@contextmanager
def of_steps() -> Iterator[None]:
    """The user's modules as steps have them: imported anew where a fresh kernel would import something else.

    That is so if its state was changed, its file was written since this process began, or another is found by now:
    notebooks write modules, and each has its own `helper.py`.
    """
    around = _users_own()
    for name in around:
        del sys.modules[name]
    for top in {name.partition(".")[0] for name, (module, state) in _steps.items() if _is_stale(module, state)}:
        _forget(top)
    sys.modules.update({name: module for name, (module, _) in _steps.items()})
    finder: Any = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in _steps if sys.modules.get(name) is not _steps[name][0]]:
            del _steps[name]  # a cell took it out, or put another in its place
        for name in _steps:
            del sys.modules[name]
        sys.modules.update(around)


def changed() -> list[str]:
    """Names of the user's modules whose state differs from what it was when they were imported."""
    return sorted(name for name, (module, state) in _steps.items() if _state(module) != state)


def _forget(top: str) -> None:
    for name in [name for name in _steps if name.partition(".")[0] == top]:
        del _steps[name]


def _users_own() -> dict[str, types.ModuleType]:
    """Modules that are not installed; those with compiled parts can be loaded once only, and stay."""
    loaded = list(sys.modules.items())
    tops = {name for name, module in loaded if "." not in name and name != "__main__" and _is_users(_origin(module))}
    found = {name: module for name, module in loaded if name.partition(".")[0] in tops} if tops else {}
    origins = {name: _origin(module) for name, module in found.items()}
    compiled = {
        name.partition(".")[0] for name, origin in origins.items() if origin is not None and not _is_source(origin)
    }
    return {name: module for name, module in found.items() if name.partition(".")[0] not in compiled}


def _origin(module: types.ModuleType) -> str | None:
    """Where a module was loaded from, as far as it says."""
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    return origin if isinstance(origin, str) else None


def _is_users(origin: str | None) -> bool:
    if origin is None or not _is_source(origin):
        return False
    return not _is_installed(origin if os.path.isabs(origin) else os.path.abspath(origin))


def _is_stale(module: types.ModuleType, state: dict[str, Any]) -> bool:
    origin = getattr(module.__spec__, "origin", None)
    try:
        if origin is None or os.stat(origin).st_mtime > _BEGAN:
            return True
        found = importlib.machinery.PathFinder.find_spec(module.__name__) if "." not in module.__name__ else None
    except (OSError, ImportError, ValueError):
        return True
    return (found is not None and found.origin != origin) or _state(module) != state


def _state(module: types.ModuleType) -> dict[str, Any]:
    """What a module and its classes hold beside code, in a form that can be compared."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.startswith("__") or isinstance(value, _CODE) or hasattr(value, "cache_info"):
            continue
        if isinstance(value, type):
            if value.__module__ == module.__name__:
                held = {key: item for key, item in vars(value).items() if not key.startswith("__")}
                held = {key: item for key, item in held.items() if not isinstance(item, (*_CODE, type))}
                found[name] = (id(value), {key: _known_by(item) for key, item in held.items()})
            continue
        found[name] = _known_by(value)
    return found


def _known_by(value: Any) -> Any:
    try:
        return pickle.dumps(value, 5)
    except Exception:
        return id(value)


def _is_source(origin: object) -> bool:
    return isinstance(origin, str) and origin.endswith(".py")


@cache
def _is_installed(path: str) -> bool:
    places = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages(), sys.base_prefix}
    return os.path.normpath(path).startswith((_OWN, *(os.path.join(place, "") for place in places)))


@contextmanager
def kept() -> Iterator[None]:
    """Leave what is in modules as it was."""
    before = {
        name: (module, dict(vars(module))) for name, module in list(sys.modules.items()) if hasattr(module, "__dict__")
    }
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name not in before]:
            origin = getattr(sys.modules[name], "__file__", None)
            if "." not in name and not hasattr(sys.modules[name], "__path__") and _is_source(origin):
                del sys.modules[name]  # it may have been patched, and whoever imports it next shall not see that
        for name, (module, held) in before.items():
            now = vars(module)
            if name != "__main__" and not _same(now, held):
                now.update(held)
                for key in [key for key in now if key not in held and _is_patch(name, key, now[key])]:
                    del now[key]


def _same(now: dict[str, Any], held: dict[str, Any]) -> bool:
    """Whether two namespaces hold the very same objects, in the same order."""
    return len(now) == len(held) and all(map(operator.is_, now.values(), held.values())) and list(now) == list(held)


def _is_patch(module: str, name: str, value: Any) -> bool:
    """Whether an attribute was put into a module by somebody else: submodules and lazy imports belong there."""
    return f"{module}.{name}" not in sys.modules and getattr(value, "__module__", "__main__") == "__main__"
