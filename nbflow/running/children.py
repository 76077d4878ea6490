"""The child processes of this process: started when needed, kept warm for a while between runs.

One thread listens to all of them. It also starts them, since Linux kills a child together with the *thread* that
started it (PR_SET_PDEATHSIG), and this one lives as long as the process.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from nbflow.running import wire
from nbflow.running.clock import SystemClock
from nbflow.running.marks import Mark, new_page

_log = logging.getLogger("nbflow")
_WARM = 60.0  # seconds that an idle child is kept
_START = "import sys; sys.path[:] = {path!r}; from nbflow.running.child import main; main(*{descriptors}, {parent})"


class Tenant(Protocol):
    """Who has leased a child. Both are called on the listening thread."""

    def received(self, child: Child, messages: list[Any]) -> None:
        """Messages came."""

    def died(self, child: Child, exit: str) -> None:
        """The process is gone; `exit` says how."""


class Child:
    """One child process, seen from its parent."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant: Tenant | None = tenant  # None: nobody has leased it
        self.pid = 0  # 0: it is still being started
        self.files: dict[str, tuple[int, int]] = {}  # user's files that it has imported, as they were then
        self.killed = False
        self._page = new_page()
        self.mark = Mark(self._page)
        ours, self._theirs = socket.socketpair()
        self.wire = wire.QueueingWire(ours)
        self._process: subprocess.Popen[bytes] | None = None
        self._descriptor = -1  # pidfd, where there are such

    def start(self) -> None:
        """Start the process."""
        descriptors = [self._theirs.fileno(), self._page]
        code = _START.format(path=sys.path, descriptors=descriptors, parent=os.getpid())
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # -X, -W and the like
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C on the terminal is for the parent alone
        )
        self._theirs.close()
        os.close(self._page)
        self.pid = self._process.pid
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):  # an old kernel; the end of the connection tells it as well, only not as surely
                self._descriptor = os.pidfd_open(self.pid)
        if self.killed:
            self.kill()

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Be listened to."""
        selector.register(self.wire.socket, selectors.EVENT_READ, self)
        if self._descriptor >= 0:
            selector.register(self._descriptor, selectors.EVENT_READ, self)

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        self.killed = True
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def bury(self, selector: selectors.BaseSelector) -> str:
        """Clean up after the process, and say how it ended."""
        selector.unregister(self.wire.socket)
        self.wire.socket.close()
        if self._descriptor >= 0:
            selector.unregister(self._descriptor)
            os.close(self._descriptor)
        self.kill()  # before it is waited for: until then nobody else can get its number
        assert self._process is not None
        code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit {code}"

    @property
    def unchanged(self) -> bool:
        """Whether all that it has imported is still as it was."""
        try:
            return all(_stamp(path) == stamp for path, stamp in self.files.items())
        except OSError:
            return False


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


class Children:
    """All children of this process."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._idle: list[tuple[Child, float]] = []  # with the time until which it is kept
        self._errands: deque[Callable[[], None]] = deque()
        self._bell, bell = socket.socketpair()
        bell.setblocking(False)
        self._bell.setblocking(False)
        self._selector.register(bell, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._listen, name="nbflow-children", daemon=True)
        self._thread.start()

    def lease(self, tenant: Tenant) -> Child:
        """A child for `tenant`: a warm one, or one that is being started; either takes messages at once."""
        with self._lock:
            while self._idle:
                child, _ = self._idle.pop()
                if child.unchanged:
                    child.tenant = tenant
                    return child
                child.kill()
        child = Child(tenant)
        self._later(lambda: self._start(child))
        return child

    def release(self, child: Child) -> None:
        """Take a child back that has nothing to do; it is kept warm for the next tenant."""
        child.tenant = None
        self.send(child, [wire.Release()])

    def dismiss(self, child: Child) -> None:
        """Let a child that has nothing to do end, with its exit handlers."""
        child.tenant = None
        with suppress(OSError):
            child.wire.socket.shutdown(socket.SHUT_WR)

    def send(self, child: Child, messages: list[Any]) -> None:
        """Send; never waits."""
        if not child.wire.send(messages):
            self._later(lambda: self._listen_to(child, writing=True))

    # --- the listening thread ------------------------------------------------------------------------------------

    def _later(self, errand: Callable[[], None]) -> None:
        self._errands.append(errand)
        with suppress(BlockingIOError):  # it has been rung often enough
            self._bell.send(b"!")

    def _listen(self) -> None:
        while True:
            for key, events in self._selector.select():
                try:
                    if isinstance(key.data, Child):
                        self._attend(key.data, key.fileobj, events)
                    else:
                        key.fileobj.recv(4096)  # type: ignore[union-attr]  # the bell
                        while self._errands:
                            self._errands.popleft()()
                except Exception:  # one tenant's mistake must not stop the others' children
                    _log.exception("A message of a child process could not be handled.")

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:  # no memory, no processes left
            tenant, child.tenant = child.tenant, None
            if tenant is not None:
                tenant.died(child, f"not started: {error}")
            return
        child.watch(self._selector)
        self._listen_to(child, writing=True)  # what was sent to it so far

    def _listen_to(self, child: Child, *, writing: bool) -> None:
        with suppress(KeyError, ValueError):  # it is not started yet, or it is dead
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._selector.modify(child.wire.socket, events, child)

    def _attend(self, child: Child, source: Any, events: int) -> None:
        if child.wire.socket.fileno() < 0:
            return  # buried by an earlier event of the same round
        if events & selectors.EVENT_WRITE and child.wire.flush():
            self._listen_to(child, writing=False)
        if not events & selectors.EVENT_READ:
            return
        # A dead child's last words are still in the socket.
        while messages := child.wire.receive():
            self._deliver(child, messages)
        if messages is None or source is not child.wire.socket:
            ended = child.bury(self._selector)
            with self._lock:
                self._idle = [entry for entry in self._idle if entry[0] is not child]
            if child.tenant is not None:
                child.tenant.died(child, ended)

    def _deliver(self, child: Child, messages: list[Any]) -> None:
        if isinstance(messages[-1], wire.Released):
            self._keep(child, messages.pop())
        if messages and child.tenant is not None:
            child.tenant.received(child, messages)

    def _keep(self, child: Child, released: wire.Released) -> None:
        if not released.current:
            child.kill()
            return
        child.files = released.files
        clock = SystemClock()
        with self._lock:
            self._idle.append((child, clock.time() + _WARM))
        clock.call_at(clock.time() + _WARM, lambda: self._later(self._expire))

    def _expire(self) -> None:
        now = SystemClock().time()
        with self._lock:
            expired = [child for child, until in self._idle if until <= now]
            self._idle = [entry for entry in self._idle if entry[1] > now]
        for child in expired:
            child.wire.socket.shutdown(socket.SHUT_WR)  # it leaves by itself, exit handlers included


_CHILDREN: Children | None = None
_LOCK = threading.Lock()


def children() -> Children:
    """The children of this process."""
    global _CHILDREN
    with _LOCK:
        if _CHILDREN is None:
            _CHILDREN = Children()
        return _CHILDREN


def _forget() -> None:
    """A forked process has no children yet; its parent's are none of its business."""
    global _CHILDREN, _LOCK
    _CHILDREN = None
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_forget)
