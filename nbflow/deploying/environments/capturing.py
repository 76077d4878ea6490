"""What a flow needs of Python: the packages that its code imports, in the versions that are installed here."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata as metadata
import importlib.util
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock")
_REQUIREMENTS = "requirements*.txt"
_LOGIN = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")  # a user's name and password in a URL, which nobody is to store
INDEX, EDITABLE, LOCAL, ELSEWHERE = "index", "editable", "local", "url"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed distribution."""

    name: str  # in its canonical form
    version: str
    kind: str = INDEX  # "index", "editable" or "local" (a folder or file of this machine), "url" (version control)
    origin: str = ""  # where it was installed from, if that is no index
    direct: bool = True  # whether the code itself imports it, and not only other packages

    @property
    def requirement(self) -> str:
        """What an installer is asked for to get the same."""
        if self.kind == EDITABLE:
            return f"-e {self.origin.removeprefix('file://')}"
        return f"{self.name} @ {self.origin}" if self.kind != INDEX else f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Captured:
    """The surroundings of a flow."""

    python: str  # 3.11.7
    implementation: str  # cpython
    platform: str  # linux-x86_64
    packages: tuple[Package, ...]
    locks: tuple[tuple[str, str], ...] = ()  # files that pin packages: name, digest
    unknown: tuple[str, ...] = ()  # modules that are imported, and belong neither to the project nor to a package

    def requirements(self) -> tuple[str, ...]:
        """What an environment with the same packages is made of, nbflow left to itself."""
        return tuple(sorted(package.requirement for package in self.packages if package.name != "nbflow"))

    def to_json(self) -> str:
        """As text, to be stored with a version."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Captured:
        """What `to_json` wrote."""
        parts: dict[str, Any] = json.loads(text)
        parts["packages"] = tuple(Package(**package) for package in parts["packages"])
        parts["locks"] = tuple((name, digest) for name, digest in parts["locks"])
        parts["unknown"] = tuple(parts["unknown"])
        return cls(**parts)


def capture(sources: Iterable[str], folder: Path, loaded: Iterable[str] = ()) -> Captured:
    """What code needs that lies in `folder`, the project's, or is given as text: the cells of a notebook, say.

    Modules of the project are followed to what they import. `loaded`: names of modules that it is known to have
    loaded in ways that its source does not show. Code that is no Python counts for nothing.
    """
    modules = _Modules(folder)
    for source in sources:
        modules.add(source)
    modules.names.update(loaded)
    direct, unknown = _distributions(modules.names)
    return Captured(
        platform.python_version(),
        sys.implementation.name,
        sysconfig.get_platform(),
        tuple(_package(name, direct=name in direct) for name in sorted(with_dependencies(direct))),
        locks_in(folder),
        tuple(sorted(unknown)),
    )


def locks_in(folder: Path) -> tuple[tuple[str, str], ...]:
    """The files of a project that pin its packages, and the digests of what they say."""
    files = [folder / name for name in _LOCKS] + sorted(folder.glob(_REQUIREMENTS))
    return tuple((file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files if file.is_file())


class _Modules:
    """The modules that code imports, by full name, those of the project left out."""

    def __init__(self, folder: Path) -> None:
        self.names: set[str] = set()
        self._folder = folder
        self._read: set[Path] = set()

    def add(self, source: str) -> None:
        """Read source text."""
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return
        for name in _imported(tree):
            self._follow(name)

    def _follow(self, name: str) -> None:
        own = list(self._own_files(name))
        if not own:
            self.names.add(name)
        for file in own:
            if file not in self._read:
                self._read.add(file)
                self.add(file.read_text(encoding="utf-8", errors="replace"))

    def _own_files(self, name: str) -> Iterator[Path]:
        """The files of the project's that importing a module runs."""
        place = self._folder
        for part in name.split("."):
            place = place / part
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    yield file


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")


def _distributions(modules: Iterable[str]) -> tuple[set[str], set[str]]:
    """The distributions that hold modules, by canonical name; and the modules that are nowhere."""
    holders = _holders()
    found: set[str] = set()
    unknown: set[str] = set()
    for module in modules:
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top == "__main__":
            continue
        names = list(holders.get(top, ()))
        if len(names) > 1:  # a namespace that several share, such as google
            names = [name for name in names if _holds(name, module)]
            if not names:
                continue  # what is imported from the module, and no module itself
        found.update(str(canonicalize_name(name)) for name in names)
        if not names and not _is_there(top):
            unknown.add(top)
    return found, unknown


def _holders() -> Mapping[str, list[str]]:
    """Distributions by top-level module. Finding out takes long, so it is kept until something is installed."""
    global _known_holders
    stamp = stamp_of_packages()
    if _known_holders is None or _known_holders[0] != stamp:
        _known_holders = stamp, metadata.packages_distributions()
    return _known_holders[1]


_known_holders: tuple[Any, Mapping[str, list[str]]] | None = None


def stamp_of_packages() -> Any:
    """What changes when a package is installed here or removed."""
    return tuple((path, os.stat(path).st_mtime_ns) for path in sys.path if os.path.isdir(path))


def _holds(distribution: str, module: str) -> bool:
    path = module.replace(".", "/")
    for file in metadata.files(distribution) or ():
        text = file.as_posix()
        if text.startswith((f"{path}/", f"{path}.")):
            return True
    return False


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def with_dependencies(names: Iterable[str]) -> set[str]:
    """Installed distributions with those that they need, by canonical name.

    Extras are included where one asks for them; so may a name: "nbflow[postgres]".
    """
    found: set[str] = set()
    asked = [Requirement(name) for name in names]
    open_ = [(str(canonicalize_name(need.name)), frozenset(need.extras)) for need in asked]
    seen = set(open_)
    while open_:
        name, extras = open_.pop()
        try:
            distribution = installed(name)
        except metadata.PackageNotFoundError:
            continue  # needed, and not there: it runs without
        found.add(name)
        for requirement in _requirements(distribution, extras):
            item = (str(canonicalize_name(requirement.name)), frozenset(requirement.extras))
            if item not in seen:
                seen.add(item)
                open_.append(item)
    return found


def _requirements(distribution: metadata.Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution needs here."""
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # of an old package, which installers pass over too
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def needs_of(name: str, extras: Iterable[str] = ()) -> list[Requirement]:
    """What an installed distribution needs here, by itself and for some of its extras."""
    return list(_requirements(installed(name), frozenset(extras)))


def installed(name: str) -> metadata.Distribution:
    """The distribution of a name, the one that imports find. Raises PackageNotFoundError."""
    return metadata.distribution(name)


def _package(name: str, *, direct: bool) -> Package:
    distribution = installed(name)
    kind, origin = origin_of(distribution)
    return Package(name, distribution.version, kind, origin, direct)


def origin_of(distribution: metadata.Distribution) -> tuple[str, str]:
    """Where a distribution was installed from, as `direct_url.json` (PEP 610) tells: kind and URL, with no password."""
    text = distribution.read_text("direct_url.json")
    if not text:
        return INDEX, ""
    told: dict[str, Any] = json.loads(text)
    url = _LOGIN.sub("", str(told.get("url", "")))
    version_control = told.get("vcs_info")
    if version_control:
        return ELSEWHERE, f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    if told.get("dir_info", {}).get("editable"):
        return EDITABLE, url
    return (LOCAL if url.startswith("file:") else ELSEWHERE), url
