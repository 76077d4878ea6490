"""A Dask cluster that is there before nbflow: a scheduler and workers, each a process started by the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[1]


class DaskCluster:
    """Processes that are started one by one; the context ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._clients: list[Any] = []

    def __enter__(self) -> DaskCluster:
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2])
        self.client()  # waits until it answers
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close(timeout=1)
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def worker(self, *options: str, path: tuple[Path, ...] = (), threads: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it has joined; `path` comes first where it looks for modules."""
        before = len(self.workers())
        started = self._start("worker", self.address, "--nthreads", str(threads), "--no-nanny", *options, path=path)
        wait_until(lambda: len(self.workers()) > before)
        return started

    def workers(self) -> dict[str, Any]:
        """What the scheduler knows of its workers, by address."""
        found: dict[str, Any] = self.client().scheduler_info(n_workers=-1)["workers"]
        return found

    def client(self, **options: Any) -> Any:
        """A client that is not the current one; the same for the same options."""
        from distributed import Client

        if options or not self._clients:
            self._clients.append(Client(self.address, **({"set_as_default": False} | options)))
        return self._clients[-1] if options else self._clients[0]

    def _start(self, what: str, *options: str, path: tuple[Path, ...] = ()) -> subprocess.Popen[bytes]:
        inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        search = os.pathsep.join(map(str, [*path, *inherited, ROOT]))
        environment = os.environ | {"PYTHONPATH": search, "DASK_LOGGING__DISTRIBUTED": "error"}
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--no-dashboard"]
        with open(self.folder / "dask.log", "ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self._processes.append(process)
        return process
