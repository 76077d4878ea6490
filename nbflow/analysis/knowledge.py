"""Known effects of functions and methods, read from the TOML files beside this module."""

from __future__ import annotations

import builtins
import sys
import tomllib
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, NamedTuple

FOLDER = "known"
BUILTINS = frozenset(dir(builtins)) | {"display", "get_ipython"}


class Knowledge(NamedTuple):
    """What a call does."""

    changes: str = "all"  # "none", "first", "receiver", "all"; of methods also "object": the receiver, if no data
    gives: str = "any"  # "atom", "data", "fresh", "resource" or "any"
    effects: tuple[str, ...] = ()


UNKNOWN = Knowledge()
_CHANGES = {"receiver": "receiver", "object": "draw"}  # what is changed → group of methods


class _Tables(NamedTuple):
    calls: dict[str, Knowledge]
    methods: dict[str, frozenset[str]]


@cache
def _tables() -> _Tables:
    calls: dict[str, Knowledge] = {}
    methods: dict[str, set[str]] = {}
    for file in _files():
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        for name, entry in content.get("calls", {}).items():
            calls[name] = Knowledge(entry["changes"], entry["gives"], tuple(entry.get("effects", ())))
        for group, text in content.get("methods", {}).items():
            methods.setdefault(group, set()).update(text.split())
    return _Tables(calls, {group: frozenset(names) for group, names in methods.items()})


def _files() -> list[Any]:
    """Our own files, and then those in packages that entry points of the group `nbflow.effects` name."""
    folders = [files(__package__).joinpath(FOLDER)]
    folders += [files(entry.value) for entry in sorted(entry_points(group="nbflow.effects"))]
    found = [sorted(folder.iterdir(), key=lambda entry: entry.name) for folder in folders]
    return [file for group in found for file in group if file.name.endswith(".toml")]


@cache
def is_installed(module: str) -> bool:
    """Whether a top-level module is Python's own or of an installed package, so that no cell writes it."""
    if not module or module in sys.stdlib_module_names or module in {"__main__", "__future__"}:
        return True
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return any(place.startswith((sys.prefix, sys.base_prefix)) or "-packages" in place for place in places)


@cache
def of_call(path: str) -> Knowledge:
    """What calling the function of this qualified name does."""
    calls = _tables().calls
    if path in calls:
        return calls[path]
    # Entries that end in "." or "_" speak for every name that begins so.
    matches = [name for name in calls if name[-1] in "._" and path.startswith(name)]
    if matches:
        return calls[max(matches, key=len)]
    if "seed" in path.rpartition(".")[2]:
        return Knowledge("all", "any", ("random", "seed"))
    return UNKNOWN


def of_method(name: str) -> Knowledge:
    """What calling a method of this name on a value of unknown type most likely does."""
    groups = _tables().methods
    gives = next((kind for kind in ("atom", "data") if name in groups[kind]), "any")
    effects = ("outside",) if name in groups["outside"] else ()
    if name in groups["read"] or name in groups["outside"] - groups["receiver"]:
        return Knowledge("none", gives, effects)
    changes = next((kind for kind, group in _CHANGES.items() if name in groups[group]), "all")
    return Knowledge(changes, gives, effects)
