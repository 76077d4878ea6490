"""How the surroundings of a flow differ between where it was promoted and where it is to run, in words."""

from __future__ import annotations

import platform
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError

from nbflow.deploying.environments.capturing import INDEX, Captured, Package, installed, origin_of

_PATCH = 2  # numbers of a version of Python that code can notice


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was."""

    what: str  # "python", "platform" or the name of a package
    captured: str  # how it was
    here: str | None  # how it is; None: it is missing
    direct: bool = True  # whether the code itself uses it

    def __str__(self) -> str:
        if self.what == "python":
            return f"Python is {self.here} here, and was {self.captured}"
        if self.what == "platform":
            return f"the platform is {self.here}, and was {self.captured}"
        by = "" if self.direct else " (which other packages need)"
        if self.here is None:
            return f"{self.what} {self.captured} is not installed here{by}"
        return f"{self.what} is {self.here} here, and was {self.captured}{by}"


def drift(captured: Captured, here: Captured | None = None) -> list[Difference]:
    """The differences, what matters most first; `here`: default: this process.

    A package of a folder is told if it is not of the same one: its version says nothing of its content.
    """
    python = here.python if here is not None else platform.python_version()
    implementation = here.implementation if here is not None else sys.implementation.name
    where = here.platform if here is not None else sysconfig.get_platform()
    found = []
    if (_minor(python), implementation) != (_minor(captured.python), captured.implementation):
        found.append(Difference("python", captured.python, python))
    if where != captured.platform:
        found.append(Difference("platform", captured.platform, where))
    others = {package.name: package for package in here.packages} if here is not None else None
    different = []
    for package in captured.packages:
        other = others.get(package.name) if others is not None else _installed(package.name)
        told = _told(other) if other is not None else None
        if told != _told(package):
            different.append(Difference(package.name, _told(package), told, package.direct))
    return [*found, *sorted(different, key=lambda each: not each.direct)]


def told(differences: Sequence[Difference], most: int = 5) -> str:
    """Differences as one sentence; beyond `most` they are counted. "" if there are none."""
    if not differences:
        return ""
    shown = "; ".join(map(str, differences[:most]))
    more = f"; and {len(differences) - most} more" if len(differences) > most else ""
    return f"{shown}{more}."


def _minor(version: str) -> list[str]:
    return version.split(".")[:_PATCH]


def _told(package: Package) -> str:
    return package.version if package.kind == INDEX else f"{package.version} from {package.origin}"


def _installed(name: str) -> Package | None:
    try:
        distribution = installed(name)
    except PackageNotFoundError:
        return None
    return Package(name, distribution.version, *origin_of(distribution))
