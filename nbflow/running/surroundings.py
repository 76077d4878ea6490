"""What a step can notice of the process that it runs in, where the process works for several runs in turn."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from nbflow.running import wire


def take_over(lease: wire.Lease) -> None:
    """Make search path, environment and current folder those of the process that the lease comes from."""
    sys.path[:] = lease.path
    os.environ.clear()
    os.environ.update(lease.environ)
    time.tzset()
    if lease.cwd is not None:
        with suppress(OSError):  # a folder that is gone; the other process may sit in such a one as well
            os.chdir(lease.cwd)


class Imported:
    """The user's files that steps have made this process import: a module stays as it was then."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._files: dict[str, tuple[int, int] | None] = {}  # time of last change in ns, size; None: not known

    def begin(self) -> None:
        """Steps are about to run: what has been imported so far is not theirs."""
        self._known.update(sys.modules)

    def end(self, since: float) -> None:
        """They have run; `since` is when they began, in seconds since 1970."""
        new = sys.modules.keys() - self._known
        self._known |= new
        for name in new:
            path = getattr(sys.modules.get(name), "__file__", None)
            if path is not None and not installed(path):
                stamp = _stamp(path)
                # A later one may have changed before it was imported, or after.
                self._files[path] = stamp if stamp is not None and stamp[0] < since * 1e9 else None

    def changed(self) -> str | None:
        """One of the files that is not surely as it was when it was imported, if there is one."""
        known = list(self._files.items())
        return next((path for path, stamp in known if stamp is None or _stamp(path) != stamp), None)


def installed(path: str) -> bool:
    """Whether a file belongs to Python or to an installed package, which nobody edits between two runs."""
    return path.startswith((sys.prefix, sys.base_prefix)) or f"{os.sep}site-packages{os.sep}" in path


def _stamp(path: str) -> tuple[int, int] | None:
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
