"""Servers that tests need, started by the tests: on loopback, on free ports, in folders of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_DEADLINE = 30.0  # seconds for a server to answer
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class NoServerError(Exception):
    """The programs of a server are not installed."""


class PostgresServer:
    """A PostgreSQL server with trust for everyone on this machine."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable`: what it said to have committed survives its crash (though not one of the machine)."""
        self._programs = _postgres_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="nbflow-postgres-"))
        self._user = _unprivileged_user()
        self.port = free_port()
        self._settings = (*_FAST, "synchronous_commit=on") if durable else _FAST
        self._count = 0

    def start(self) -> PostgresServer:
        """Make the server's files and wait until it answers."""
        data = self._folder / "data"
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", str(data), "-U", "nbflow", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.revive()
        return self

    def stop(self) -> None:
        """End the server and remove its files."""
        self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)

    def crash(self) -> None:
        """End the server at once, as if it were killed."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def revive(self) -> None:
        """Start the server on its files and wait until it answers."""
        options = " ".join(f"-c {setting}" for setting in self._settings)
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"),
            "-w", "-t", str(int(_DEADLINE)),
            "-o", f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} {options}", "start",
        )  # fmt: skip

    def end_sessions(self) -> int:
        """Have the server end all sessions but this one; how many it were."""
        import psycopg

        with psycopg.connect(self._url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            return len(connection.execute(f"{statement} AND backend_type = 'client backend'").fetchall())

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        with psycopg.connect(self._url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://nbflow@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if self._user is not None:  # the server refuses to run as root
            command = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: object, seconds: float = _DEADLINE) -> None:
    """Return as soon as `condition()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} did not come true in {seconds:g} seconds")
        time.sleep(0.01)


def _postgres_programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    if found is None:
        raise NoServerError("no initdb: install the package postgresql")
    return Path(found).parent


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoServerError("no unprivileged user to run PostgreSQL as")
