"""A Dask cluster of processes of this machine, started when it is first needed and kept warm until this one ends.

`LocalCluster` of distributed starts its workers through multiprocessing, which runs the user's script again in each of
them; these are started like the children of `running.children`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import Any

from nbflow.executors.dask import worker
from nbflow.running import losses, surroundings
from nbflow.running.clock import SystemClock
from nbflow.running.marks import Mark, new_page

_START = "import sys; sys.path[:] = {path!r}; from nbflow.executors.dask.local import main; main({arguments!r})"
_HOPELESS = 10  # processes in a row that died before they were workers
_END = 2.0  # seconds that processes have to end


class LocalProcesses:
    """A scheduler in this process, and workers of one thread each in others."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None  # why there are no workers, if they do not even start
        self._wanted = 0
        self._lock = threading.Lock()
        self._cluster: Any = None
        self._folder = ""
        self._processes: dict[int, subprocess.Popen[bytes]] = {}  # by pid
        self._marks: dict[int, Mark] = {}  # by pid
        self._starting = 0
        self._exits: dict[int, str] = {}  # by pid, of those that have died
        self._joined: set[int] = set()  # pids that have been workers
        self._hopeless = 0

    def start(self, workers: int) -> Any:
        """See to it that there are so many workers, or will be soon; returns the cluster, for a client of Dask."""
        from distributed import LocalCluster

        with self._lock:
            if self._cluster is None:
                self._cluster = LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR)
                self._folder = tempfile.mkdtemp(prefix="nbflow-dask-")
            self._wanted = max(self._wanted, workers)
            self._hopeless, self.trouble = 0, None
        self.look()
        return self._cluster

    def look(self) -> None:
        """Replace processes that have died."""
        with self._lock:
            for pid in list(self._processes):
                self._bury(pid)
            missing = self._wanted - len(self._processes) - self._starting
            if self.trouble is not None or missing <= 0 or self._cluster is None:
                return
            self._starting += missing
            # On a thread that lives as long as the process: Linux kills a child together with the thread that started
            # it (PR_SET_PDEATHSIG).
            self._cluster.loop.add_callback(self._spawn, missing)

    def joined(self, pid: int) -> None:
        """Take note that a process is a worker of the cluster."""
        with self._lock:
            self._joined.add(pid)
            self._hopeless = 0

    def end(self, pid: int) -> None:
        """End a worker; another one comes in its place."""
        with self._lock:
            if pid in self._processes:
                _kill(self._processes[pid])
        self.exit_of(pid)
        self.look()

    def mark_of(self, pid: int) -> int | None:
        """What a process noted last: see `messages.mark`."""
        mark = self._marks.get(pid)
        return mark.read() if mark is not None else None

    def exit_of(self, pid: int) -> str | None:
        """How a process that is about to be gone ended: "signal 9", "exit 3"; None if it goes on."""
        with self._lock:
            process = self._processes.get(pid)
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END)
        with self._lock:
            self._bury(pid)
            return self._exits.get(pid)

    def close(self) -> None:
        """End the cluster."""
        with self._lock:
            cluster, self._cluster, self._wanted = self._cluster, None, 0
            processes = list(self._processes.values())
        if cluster is None:
            return
        with suppress(Exception):  # the process ends, whatever became of the scheduler
            cluster.close(timeout=_END)
        clock = SystemClock()
        deadline = clock.time() + _END
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - clock.time()))
            _kill(process)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _bury(self, pid: int) -> None:
        process = self._processes.get(pid)
        code = process.poll() if process is not None else None
        if process is None or code is None:
            return
        del self._processes[pid]
        self._exits[pid] = f"signal {-code}" if code < 0 else f"exit {code}"
        if pid not in self._joined:
            self._hopeless += 1
            if self._hopeless >= _HOPELESS:
                self.trouble = losses.no_start(self._exits[pid])

    def _spawn(self, count: int) -> None:
        for _ in range(count):
            page = new_page()
            arguments = (self._cluster.scheduler_address, self._folder, os.getpid(), page)
            code = _START.format(path=sys.path, arguments=arguments)
            flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # -X, -W
            process = subprocess.Popen(
                [sys.executable, *flags, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[page],
                start_new_session=True,
            )
            with self._lock:
                self._starting -= 1
                self._processes[process.pid] = process
                self._marks[process.pid] = Mark(page)
            os.close(page)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # until it is waited for nobody else can get its number
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def main(arguments: tuple[str, str, int, int]) -> None:
    """Be a worker of a cluster as long as the process lives that has started this one for it."""
    address, folder, parent, page = arguments
    worker.MARKS.append(Mark(page))
    os.close(page)
    # Not SIG_IGN, which programs that a step starts would inherit. Ctrl-C is the parent's to decide on.
    signal.signal(signal.SIGINT, lambda *_: None)
    surroundings.die_with(parent)
    asyncio.run(_work(address, folder))


async def _work(address: str, folder: str) -> None:
    from distributed import Worker

    logging.getLogger("distributed").setLevel(logging.ERROR)  # what is to be told, the executor tells
    # No limit of memory: values lie in nbflow's store, and what a step needs is for the system to decide.
    options = {"nthreads": 1, "memory_limit": 0, "local_directory": folder, "death_timeout": 60}
    async with Worker(address, **options) as server:
        await server.finished()
