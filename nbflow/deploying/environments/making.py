"""Virtual environments of versions that ask for one: made once for each set of requirements, and kept by its digest.

    HOME/environments/DIGEST          the environment; complete as soon as `ready.json` is in it
    HOME/environments/DIGEST.lock     held while it is made, and shared by what runs in it
    HOME/environments/DIGEST.failed   why it could not be made, which holds for a while

An environment is made where it stays, since programs in it name its path; `ready.json` comes last and by renaming, so
that what a killed process left behind is known for what it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from nbflow import settings as settings_module
from nbflow.deploying.environments import installers, own
from nbflow.model.errors import EnvironmentFailedError

FOLDER, READY = "environments", "ready.json"
_FORMAT = 1  # part of the digest: raised when environments of older versions of nbflow will not do
_REMEMBERED = 300.0  # seconds that a failure holds, before making the environment is tried again


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment that is ready."""

    path: Path
    digest: str

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.path / "bin" / "python"

    def variables(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables for programs that run in it: those of this process (or `base`), with no other environment."""
        variables = installers.clean_variables(base)
        variables["VIRTUAL_ENV"] = str(self.path)
        variables["PATH"] = os.pathsep.join([str(self.path / "bin"), variables.get("PATH", os.defpath)])
        variables["PYTHONNOUSERSITE"] = "1"
        return variables

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
        """Start its Python with `arguments`; the environment stays for as long as the process lives.

        `options` are those of `subprocess.Popen`; with `env` they give the variables that are made fit for it.
        """
        given: Mapping[str, str] | None = options.pop("env", None)
        lock = open_lock(self.path)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)  # which the process inherits
            if not (self.path / READY).exists():
                raise EnvironmentFailedError("the environment was swept meanwhile; make it again.", digest=self.digest)
            passed = (*options.pop("pass_fds", ()), lock)
            command = [str(self.python), *arguments]
            return subprocess.Popen(command, env=self.variables(given), pass_fds=passed, **options)
        finally:
            os.close(lock)


def make(
    requirements: Sequence[str], python: str = "", *, again: bool = False, now: float | None = None
) -> Environment:
    """The environment with these requirements and nbflow, made if it is not there yet.

    `python`: such as "3.11"; default: this one. `again`: try also if it failed a moment ago. `now`: seconds since 1970.

    Raises EnvironmentFailedError for a requirement that cannot be read, a Python that is not there, and for whatever
    the installer cannot do; the same error holds for some minutes.
    """
    moment = time.time() if now is None else now
    python = minor(python)
    wanted = tuple(sorted(dict.fromkeys(_checked(requirement) for requirement in requirements)))
    path = folder() / digest_of(wanted, python)
    with _alone(path):
        if not (path / READY).exists():
            if not again:
                _raise_earlier(path, moment)
            try:
                _make(path, wanted, python)
            except (EnvironmentFailedError, OSError) as error:
                _failed(path, error, moment)
            path.with_name(f"{path.name}.failed").unlink(missing_ok=True)
        os.utime(path / READY, (moment, moment))  # when it was used last
    return Environment(path, path.name)


def folder() -> Path:
    """Where environments are kept: in nbflow's home."""
    return settings_module.current().home / FOLDER


def minor(python: str) -> str:
    """The first two numbers of a version of Python; "" is this one. Raises EnvironmentFailedError."""
    if not python:
        return installers.here()
    parts = python.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise EnvironmentFailedError(f"{python!r} is no version of Python; give one such as 3.11.", python=python)
    return ".".join(parts[:2])


def digest_of(requirements: Sequence[str], python: str) -> str:
    """The name of an environment: 24 hexadecimal digits of all that makes it what it is."""
    parts = [_FORMAT, python, sys.implementation.name, sysconfig.get_platform(), platform.libc_ver(), own.identity()]
    return hashlib.sha256(json.dumps([*parts, list(requirements)]).encode()).hexdigest()[:24]


def _checked(requirement: str) -> str:
    text = requirement.strip()
    if text.startswith("-e "):
        return text
    try:
        return str(Requirement(text))
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentFailedError(
            f"{requirement!r} is no requirement that an installer understands: {reason}. Write name==1.2.",
            requirement=requirement,
        ) from error


def _make(path: Path, requirements: Sequence[str], python: str) -> None:
    if path.exists():
        shutil.rmtree(path)  # what a process left that was killed over it
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    same = python == installers.here()
    installers.new_environment(path, python)
    installers.install(path, requirements)
    more = own.missing(path, same_python=same)
    if more:
        installers.install(path, [*requirements, *more])
    own.link(path, same_python=same)
    _check(path)
    told = {"requirements": list(requirements), "python": python, "bytes": size_of(path), "made_at": time.time()}
    temporary = path / f".{READY}"
    temporary.write_text(json.dumps(told), encoding="utf-8")
    os.replace(temporary, path / READY)


def _check(path: Path) -> None:
    """Import in the environment what every process of nbflow's imports."""
    made = Environment(path, path.name)
    command = [str(made.python), "-c", "import nbflow.running.child, nbflow.storage.database"]
    done = subprocess.run(command, env=made.variables(), capture_output=True, text=True, check=False, cwd=path)
    if done.returncode:
        reason = "".join(done.stderr.strip().splitlines()[-1:])
        raise EnvironmentFailedError(
            f"nbflow cannot be imported in it: {reason}. Its packages contradict nbflow's own."
        )


def size_of(path: Path) -> int:
    """The bytes of the files in a folder; what is linked belongs to others."""
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


# --- failures ----------------------------------------------------------------------------------------------------


def _failed(path: Path, error: Exception, now: float) -> None:
    shutil.rmtree(path, ignore_errors=True)
    told = str(error)
    record = path.with_name(f"{path.name}.failed")
    with suppress(OSError):  # on a full disk it is tried again at once
        record.write_text(json.dumps({"at": now, "error": told}), encoding="utf-8")
    raise EnvironmentFailedError(f"the environment cannot be made: {told}", digest=path.name) from error


def _raise_earlier(path: Path, now: float) -> None:
    try:
        earlier = json.loads(path.with_name(f"{path.name}.failed").read_text(encoding="utf-8"))
        at, told = float(earlier["at"]), str(earlier["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if 0 <= now - at < _REMEMBERED:
        raise EnvironmentFailedError(
            f"the environment cannot be made: {told} (That was {now - at:.0f} seconds ago; it is tried again after "
            f"{_REMEMBERED:.0f}.)",
            digest=path.name,
        )


# --- one at a time -----------------------------------------------------------------------------------------------


def open_lock(path: Path) -> int:
    """The descriptor of the file that is locked while an environment is made, used or removed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time make, or sweep, an environment; one that is ready may be used by all."""
    lock = open_lock(path)
    try:
        if (path / READY).exists():
            fcntl.flock(lock, fcntl.LOCK_SH)
            if (path / READY).exists():  # nobody swept it meanwhile
                yield
                return
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
