"""Which of the user's files code imports, found without importing anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from typing import NamedTuple

from nbflow.values.origin import is_installed_file


class ModuleFile(NamedTuple):
    """A module of the user's, as its file."""

    name: str
    path: str
    is_package: bool

    @property
    def place(self) -> str:
        """Its path below the folder that it is imported from."""
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")


def find(name: str) -> tuple[str | None, bool] | None:
    """The file of a module (None for one without a file), and whether it is a package; None if there is none."""
    path: list[str] | None = None
    place, is_package = None, False
    parts = name.split(".")
    for index in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: index + 1]), path)
        if spec is None:
            return None
        place, is_package = spec.origin, spec.submodule_search_locations is not None
        path = list(spec.submodule_search_locations or ())
    return place, is_package


def imported(tree: ast.AST, module: str = "", *, is_package: bool = False) -> set[str]:
    """The names of modules that code imports anywhere in it, and of what may be modules; those of Python left out.

    `module` and `is_package` tell where relative imports begin.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package=is_package)
            found.add(origin)
            found.update(f"{origin}.{alias.name}" for alias in node.names)  # may be modules
    return {name for name in found if name and name.partition(".")[0] not in sys.stdlib_module_names}


def _origin(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - is_package  # a package's own folder is where its relative imports begin
    base = ".".join(parts[: len(parts) - up])
    return ".".join(part for part in (base, node.module) if part)


def project_files(names: Iterable[str]) -> list[ModuleFile]:
    """The user's modules among `names`, with all that they import of the user's, by name.

    Packages that a module lies in belong to it. What is installed is left out, and so is what is not found.
    """
    found: dict[str, ModuleFile] = {}
    seen: set[str] = set()
    waiting = sorted(names)
    while waiting:
        for name in _with_parents(waiting.pop()):
            if name in seen:
                continue
            seen.add(name)
            file = _file(name)
            if file is not None:
                found[name] = file
                waiting += imported(_parsed(file.path), name, is_package=file.is_package) - seen
    return [found[name] for name in sorted(found)]


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for index in range(len(parts)):
        yield ".".join(parts[: index + 1])


def _file(name: str) -> ModuleFile | None:
    if name.partition(".")[0] in ("nbflow", "__main__", *sys.stdlib_module_names):
        return None
    try:
        place = find(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if place is None or place[0] is None or not place[0].endswith(".py") or is_installed_file(place[0]):
        return None
    return ModuleFile(name, place[0], place[1])


def _parsed(path: str) -> ast.AST:
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])  # it will say so itself when it is imported
