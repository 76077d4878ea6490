"""What a step can notice of the process that it runs in, where the process works for several runs in turn."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from nbflow.running import wire
from nbflow.values.secrets import places

if TYPE_CHECKING:
    from nbflow.values.store import StoreConfig


_leased: str | None = None  # the current folder of whom this process works for


def lease(values: StoreConfig, changes: Mapping[str, str], *, gather: bool, watch: bool) -> wire.Lease:
    """What another process has to take over to be like this one; `changes`: variables that it has beyond those here."""
    try:
        cwd: str | None = os.getcwd()
    except OSError:  # the folder is gone
        cwd = None
    return wire.Lease(list(sys.path), cwd, {**os.environ, **changes}, values, gather, watch)


def take_over(lease: wire.Lease) -> None:
    """Make search path, environment and current folder those of the process that the lease comes from."""
    sys.path[:] = lease.path
    os.environ.clear()
    os.environ.update(lease.environ)
    time.tzset()
    places.learn_environment()
    global _leased
    _leased = lease.cwd
    if lease.cwd is not None:
        with suppress(OSError):  # a folder that is gone; the other process may sit in such a one as well
            os.chdir(lease.cwd)


def go_to(folder: str | None) -> None:
    """Work in a folder; where it is not on this machine, in the one of the lease."""
    for wanted in (folder, _leased):
        if wanted is not None:
            with suppress(OSError):
                os.chdir(wanted)
                return


class Imported:
    """The user's files that steps have made this process import: a module stays as it was then."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._files: dict[str, _Stamp | None] = {}
        self._doubtful: set[str] = set()  # files that may have changed before they were imported, or after

    def begin(self) -> None:
        """Steps are about to run: what has been imported so far is not theirs."""
        self._known.update(sys.modules)

    def end(self, since: float, *, but_in: str = "") -> None:
        """They have run; `since` is when they began, in seconds since 1970. `but_in`: a folder that does not count."""
        new = sys.modules.keys() - self._known
        self._known |= new
        for name in new:
            path = getattr(sys.modules.get(name), "__file__", None)
            if path is not None and not installed(path) and not (but_in and path.startswith(but_in)):
                stamp = self._files[path] = _stamp(path)
                if stamp is None or stamp[0] >= since * 1e9:
                    self._doubtful.add(path)

    def changed(self, *, doubtful: bool) -> str | None:
        """One of the files that is not as it was when it was imported, if there is one; also a `doubtful` one."""
        for path, stamp in list(self._files.items()):
            if _stamp(path) != stamp or (doubtful and path in self._doubtful):
                return path
        return None


def installed(path: str) -> bool:
    """Whether a file belongs to Python or to an installed package, which nobody edits between two runs."""
    return path.startswith((sys.prefix, sys.base_prefix)) or f"{os.sep}site-packages{os.sep}" in path


_Stamp = tuple[int, int]  # time of last change in ns, size


def _stamp(path: str) -> _Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def die_with(parent: int) -> None:
    """Have the system kill this process when its parent dies, even while C code keeps Python from noticing."""
    if sys.platform != "linux":
        return
    import ctypes

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os.killpg(os.getpid(), signal.SIGKILL)
