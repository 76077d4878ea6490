"""Where code comes from: installed packages, which count by name and version, or the user's own files and cells."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from pathlib import PurePath
from types import ModuleType
from typing import Any

_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


def is_installed(module: str | None) -> bool:
    """Whether a module belongs to Python, to an installed package, or to nbflow itself."""
    if module is None:
        return True  # descriptors and builtins without a home
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    if top == "__main__":
        return False
    return top == "nbflow" or (top in sys.modules and _lies_in_packages(top))


@cache
def _lies_in_packages(top: str) -> bool:
    module = sys.modules[top]
    places = [getattr(module, "__file__", None) or "", *map(str, getattr(module, "__path__", ()))]
    return any(is_installed_file(place) for place in places if place)


@cache
def is_installed_file(path: str) -> bool:
    """Whether a file belongs to Python or to an installed package. A package installed as editable is the user's."""
    if not _INSTALLED_FOLDERS.isdisjoint(PurePath(path).parts):
        return True
    return path.startswith((sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")))


@cache
def package_version(module: str) -> str:
    """Name and version of the package that a module is in, such as "numpy 2.3.1"."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return "python {}.{}".format(*sys.version_info)
    version = _attribute(sys.modules.get(top), "__version__")
    if version is None:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed_version

        try:
            version = installed_version(top)
        except PackageNotFoundError:
            version = ""
    return f"{top} {version}"


def _attribute(module: ModuleType | None, name: str) -> str | None:
    value = vars(module).get(name) if module is not None else None
    return value if isinstance(value, str) else None


def spec_of(value: object) -> Any:
    """The spec of a step or flow object of nbflow; None for every other object, which is not touched."""
    # Known by the name of its class's module, since what makes such objects stands far above this floor.
    return vars(value).get("spec") if type(value).__module__.startswith("nbflow.authoring.") else None
