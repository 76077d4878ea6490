"""What a cell does with files and programs, heard through Python's own audit events."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from nbflow.authoring.cells.records import Files
from nbflow.model import own_files

PROGRAMS = "(programs)"  # stands for the files of a program that was run, which nobody tells
NETWORK = "(network)"
_LIMIT = 2_000  # paths; beyond it a step counts as one that runs programs
_WRITES = {"os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.truncate": 1, "shutil.rmtree": 1, "os.chmod": 1}
_MOVES = {"os.rename", "os.link", "os.symlink", "shutil.move", "shutil.copyfile", "shutil.copytree"}
_LISTS = {"os.listdir", "os.scandir"}
# Programs that only tell of the machine. Libraries run them by themselves: joblib counts cores with lscpu.
_ASKING = frozenset({"arch", "fc-list", "getconf", "hostname", "ldconfig", "lscpu", "nproc", "nvidia-smi", "uname"})
_PROGRAMS = {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "pty.spawn"}


class Watch:
    """Collects what happens while it is the one that listens."""

    def __init__(self) -> None:
        self.began = time.time()
        self._read: set[str] = set()
        self._written: set[str] = set()

    def found(self) -> Files:
        """What happened until now."""
        return Files(self.began, time.time(), tuple(sorted(self._read)), tuple(sorted(self._written)))

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """One audit event."""
        if event == "open":
            self._opened(args[0], args[1], args[2])
        elif event in _LISTS:
            self._add(self._read, args[0])
        elif event in _WRITES:
            self._changed(args[0])
        elif event in _MOVES:
            self._changed(args[0])
            self._changed(args[1])
        elif event in _PROGRAMS:
            if not _only_asks(args):
                self._written.add(PROGRAMS)
        elif event == "socket.connect":
            self._written.add(NETWORK)
        elif event == "sqlite3.connect":
            self._changed(args[0])

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(flags, int) else "w" in str(mode)
        if writes:
            self._changed(path)
        else:
            self._add(self._read, path)

    def _changed(self, path: Any) -> None:
        found = self._add(self._written, path)
        if found is not None:
            self._written.add(os.path.dirname(found))

    def _add(self, paths: set[str], path: Any) -> str | None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None  # a number: opened before
        found = os.path.abspath(os.fsdecode(path))
        if found.startswith(_system()) or found.endswith(".pyc") or "/.nbflow/" in found:
            return None
        if own_files.is_own(found):  # written by other threads while cells run
            return None
        if len(paths) >= _LIMIT:
            self._written.add(PROGRAMS)
            return None
        paths.add(found)
        return found


def _only_asks(args: tuple[Any, ...]) -> bool:
    """Whether a program that is run, as (path, arguments, ...), changes nothing."""
    words = args[1] if len(args) > 1 else None
    return isinstance(words, (list, tuple)) and bool(words) and os.path.basename(os.fsdecode(words[0])) in _ASKING


_listener: list[Watch | None] = [None]


@contextmanager
def watching() -> Iterator[Watch]:
    """Listen to what the cells of one step do; one step at a time in each process."""
    before = _listener[0]
    watch = listen()
    try:
        yield watch
    finally:
        _listener[0] = before


def listen() -> Watch:
    """Listen from now on, until the next call or `stop_listening`."""
    _install()
    watch = _listener[0] = Watch()
    return watch


def stop_listening() -> None:
    """Hear nothing more."""
    _listener[0] = None


@cache
def _install() -> None:
    # For good: Python takes no audit hook back.
    sys.addaudithook(_hear)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    watch = _listener[0]
    if watch is None:
        return
    try:
        watch.hear(event, args)
    except Exception:  # noqa: S110 - an audit hook that raises would end the user's call
        pass


@cache
def _system() -> tuple[str, ...]:
    """Where programs and their data lie, which notebooks do not change."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, "/proc", "/dev", "/sys", "/etc", "/usr", "/lib", "/var/lib"}
    places.add(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # nbflow itself
    for caches in (os.environ.get("MPLCONFIGDIR"), os.environ.get("IPYTHONDIR")):
        if caches:
            places.add(os.path.abspath(caches))
    home = os.path.expanduser("~")
    places.update(os.path.join(home, part) for part in (".cache", ".config/matplotlib", ".ipython", ".jupyter"))
    return tuple(os.path.join(place, "") for place in places if place != os.sep)
