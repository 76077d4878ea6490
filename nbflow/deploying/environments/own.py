"""nbflow itself inside an environment: at the version that runs here, and without the other packages of this Python.

What nbflow needs is linked from here where the environment does not bring it: so both ends of a pipe speak one version
of everything, and nothing has to be downloaded. A package is linked only if all that it needs is there in a version
that it takes; the others are left to the installer.
"""

from __future__ import annotations

import hashlib
import importlib.metadata as metadata
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nbflow.model
from nbflow.deploying.environments.capturing import installed, needs_of, stamp_of_packages, with_dependencies

_LINKS = "nbflow-links"  # the folder of links, in an environment
_PATH_FILE = "nbflow-links.pth"
_PACKAGE = Path(nbflow.model.__file__).resolve().parent.parent  # where the nbflow is that runs
# What a run may use of nbflow's extras: its database, artifact store, executor, secrets and pictures. A run in an
# environment has them if the process that starts it has.
_EXTRAS = ("postgres", "s3", "dask", "redis", "keyring", "pictures")


def identity() -> str:
    """What an environment depends on besides its requirements: which nbflow runs here, and with which packages."""
    needed = sorted((name, installed(name).version) for name in _needed())
    return hashlib.sha256(json.dumps([str(_PACKAGE), needed]).encode()).hexdigest()


def _needed() -> frozenset[str]:
    """Nbflow and all that it uses here, by canonical name."""
    global _known
    stamp = stamp_of_packages()
    if _known is None or _known[0] != stamp:
        _known = stamp, frozenset(with_dependencies([f"nbflow[{','.join(_EXTRAS)}]"]))
    return _known[1]


_known: tuple[Any, frozenset[str]] | None = None


def missing(folder: Path, *, same_python: bool) -> list[str]:
    """What an installer has to add so that nbflow can be linked into an environment, as requirements."""
    wanted = {str(canonicalize_name(need.name)): str(need) for need in _own_needs()}
    if not same_python:
        return sorted(f"{need.split(';')[0].strip()}" for need in wanted.values())
    unfit = _unfit(folder)
    # What is unfit may be needed by others of nbflow's packages only; those take any version that fits them.
    return sorted(wanted.get(name, name).split(";")[0].strip() for name in unfit)


def link(folder: Path, *, same_python: bool) -> None:
    """Make nbflow importable in an environment, with all that it needs."""
    links = folder / _LINKS
    links.mkdir()
    _link(links, _PACKAGE)
    own = _metadata_folder(installed("nbflow"))
    if own is not None:
        _link(links, own)
    if same_python:
        there = {name for name, _ in _inside(folder)}
        for name in _needed() - there - {"nbflow"}:
            for entry in _entries(installed(name)):
                _link(links, entry)
    site = _site(folder)
    # Behind the environment's own packages, which go first. Relative to the file.
    (site / _PATH_FILE).write_text(os.path.relpath(links, site) + "\n", encoding="utf-8")


def _unfit(folder: Path) -> set[str]:
    """Those of nbflow's packages that cannot be linked: the environment has other versions of what they need."""
    there = dict(_inside(folder))
    needed = _needed() - set(there) - {"nbflow"}
    found = {name for name in needed if not list(_entries(installed(name)))}
    for name in needed:
        for need in needs_of(name):
            version = there.get(str(canonicalize_name(need.name)))
            if version is not None and not need.specifier.contains(version, prereleases=True):
                found.add(name)
    for need in _own_needs():
        version = there.get(str(canonicalize_name(need.name)))
        if version is not None and not need.specifier.contains(version, prereleases=True):
            found.add(str(canonicalize_name(need.name)))  # the installer will say that it contradicts what is asked for
    return found


def _own_needs() -> list[Requirement]:
    """What nbflow asks for itself: all that it must have, and of its extras what is installed here."""
    here = _needed()
    optional = [need for need in needs_of("nbflow", _EXTRAS) if str(canonicalize_name(need.name)) in here]
    return list({str(need): need for need in (*needs_of("nbflow"), *optional)}.values())


def _inside(folder: Path) -> Iterator[tuple[str, str]]:
    """Names and versions of what is installed in an environment itself."""
    for distribution in metadata.distributions(path=[str(_site(folder))]):
        yield str(canonicalize_name(distribution.metadata["Name"])), distribution.version


def _site(folder: Path) -> Path:
    return next((folder / "lib").glob("python*/site-packages"))


def _entries(distribution: metadata.Distribution) -> Iterable[Path]:
    """The files and folders that a distribution has put beside those of others; none if it lies elsewhere."""
    record = distribution.read_text("RECORD") or ""  # read by itself: making paths of thousands of lines takes long
    tops = {line.strip('"').partition("/")[0].partition(",")[0] for line in record.splitlines()}
    tops -= {"", "..", "__pycache__"}
    if not any(not top.endswith((".dist-info", ".egg-info", ".pth")) for top in tops):
        return []
    base = Path(str(distribution.locate_file("")))
    return [base / top for top in sorted(tops) if not top.endswith(".pth") and (base / top).exists()]


def _metadata_folder(distribution: metadata.Distribution) -> Path | None:
    path = getattr(distribution, "_path", None)  # there is no public way to it
    return Path(path) if path is not None else None


def _link(links: Path, target: Path) -> None:
    made = links / target.name
    if not made.exists():
        made.symlink_to(target)
