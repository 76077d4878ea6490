"""The `nbflow` command, or another module, in a process of its own that has nothing left to import.

A process that has imported what commands need waits for them, and forks one for each: most tests of the command line
would spend nearly all of their time on imports. How it starts afresh is shown by tests that start it by themselves.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PRELOADED = (
    "nbflow.authoring.flow", "nbflow.authoring.notebook", "nbflow.client.queue_client", "nbflow.executors.serial",
    "nbflow.executors.processes", "nbflow.executors.threads", "nbflow.queue.worker", "nbflow.storage.opened",
    "nbflow.storage.writer", "IPython.core.interactiveshell",
)  # fmt: skip


class CommandProcess:
    """`python -m module` with some arguments, nothing on its standard input, and a session of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: str | Path,
        environment: Mapping[str, str],
        *,
        out: int | None = None,
        err: int | None = None,
        module: str = "nbflow",
    ) -> None:
        """`out`, `err`: descriptors; what is written goes nowhere without them."""
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(_server())
        wanted = {"module": module, "arguments": arguments, "cwd": str(cwd), "environment": dict(environment)}
        asked = json.dumps(wanted).encode()
        with open(os.devnull, "r+b") as nothing:
            descriptors = [nothing.fileno() if given is None else given for given in (out, err)]
            socket.send_fds(self._line, [len(asked).to_bytes(8, "big")], descriptors)
        self._line.sendall(asked)
        self._told = self._line.makefile("r")
        self.pid = int(self._told.readline())
        self._status: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status, negative for the signal that ended it. Raises TimeoutError."""
        if self._status is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise TimeoutError(f"process {self.pid} still runs after {timeout} seconds")
            self._status = int(self._told.read())
            self._told.close()
            self._line.close()
        return self._status

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run_command(
    arguments: Sequence[str], cwd: str | Path, environment: Mapping[str, str], *, module: str = "nbflow"
) -> subprocess.CompletedProcess[str]:
    """Run a command, or another module, to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = CommandProcess(arguments, cwd, environment, out=out.fileno(), err=err.fileno(), module=module).wait()
        told = []
        for file in (out, err):
            file.seek(0)
            told.append(file.read().decode().replace("\r\n", "\n"))
    return subprocess.CompletedProcess([module, *arguments], status, *told)


@cache
def _server() -> str:
    """The address of the process that forks commands, which ends with this one."""
    from tests.servers import wait_until  # imports pytest, which commands are to do without

    folder = tempfile.TemporaryDirectory(prefix="nbflow-commands-")
    address = f"{folder.name}/socket"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.commands", address], cwd=ROOT, env=environment, stdin=subprocess.PIPE
    )

    def end() -> None:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        folder.cleanup()

    atexit.register(end)
    wait_until(lambda: os.path.exists(f"{address}.ready") or process.poll() is not None)
    assert process.poll() is None, "the process that forks commands has failed"
    return address


def _serve(address: str) -> list[str] | None:
    """Fork a process for each command; returns module and arguments there, and nothing here when nobody asks more."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    Path(f"{address}.ready").touch()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait for commands
    while True:
        heard, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in heard:
            return None
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _forked(line)
        line.close()


def _forked(line: socket.socket) -> list[str]:
    """Fork once more: one process waits and tells how it went, the other one is the command."""
    head, descriptors, _, _ = socket.recv_fds(line, 8, 2)
    size, pieces = int.from_bytes(head, "big"), b""
    while len(pieces) < size:
        pieces += line.recv(size - len(pieces))
    child = os.fork()
    if child:
        for descriptor in descriptors:
            os.close(descriptor)
        line.sendall(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    line.close()
    os.setsid()
    asked = json.loads(pieces)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, descriptor in enumerate([nothing, *descriptors]):
        os.dup2(descriptor, target)
        os.close(descriptor)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")
    if "PYTHONUNBUFFERED" in asked["environment"]:
        sys.stdout.reconfigure(write_through=True)
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    os.chdir(asked["cwd"])
    sys.path[0] = asked["cwd"]
    return [asked["module"], *asked["arguments"]]


if __name__ == "__main__":
    from nbflow.cli.commands import MODULES, commands_of

    for name in _PRELOADED:
        import_module(name)
    for name in set(MODULES.values()):
        commands_of(name)
    gc.freeze()
    if asked := _serve(sys.argv[1]):
        sys.argv = asked
        runpy.run_module(asked[0], run_name="__main__", alter_sys=True)
