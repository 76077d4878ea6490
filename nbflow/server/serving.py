"""The endpoint in a thread of a process that does other things too."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import ConfigError

if TYPE_CHECKING:
    from nbflow.deploying.triggers import Triggers
    from nbflow.server.readiness import Checks

_log = logging.getLogger("nbflow")
_CONNECTIONS = 100  # at a time; more are told to come again
_GRACE = 5  # seconds for requests that are under way when it is to end
_BACKLOG = 128


class Endpoint:
    """Listens from the moment it is made; answers from `start` until `stop`."""

    def __init__(self, address: str, triggers: Triggers, alive: Checks) -> None:
        """`address`: "127.0.0.1:8765", "[::1]:8765"; port 0 is any that is free. Raises ConfigError."""
        host, port = check(address)
        import uvicorn

        from nbflow.server.app import application

        self._socket = _listening(address, host, port)
        bound = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        if not _is_here_alone(host):
            _log.warning(
                "%s can be reached from other machines, and speaks HTTP without TLS: put a proxy in front of it that "
                "does, or else tokens can be read on the way.",
                self.url,
            )
        config = uvicorn.Config(
            application(triggers, alive), loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None,
            log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=_CONNECTIONS, timeout_graceful_shutdown=_GRACE,
        )  # fmt: skip
        self._server: Any = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def start(self, ended: Callable[[BaseException | None], None] = lambda _: None) -> None:
        """Answer from now on, in a thread. `ended` is called there when it ceases to, with the error if it was one."""

        def work() -> None:
            problem: BaseException | None = None
            try:
                self._server.run(sockets=[self._socket])
            except BaseException as error:  # uvicorn's way to give up is SystemExit
                problem = error
            ended(problem)

        self._thread = threading.Thread(target=work, name="nbflow-endpoint", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and end after those that are under way."""
        self._server.should_exit = True

    def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._thread is not None:
            self._thread.join(_GRACE + 5)
        self._socket.close()


def check(address: str) -> tuple[str, int]:
    """Host and port of an address that can be listened on, as far as that can be said. Raises ConfigError."""
    try:
        for name in ("starlette", "uvicorn"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"Listening needs the package {error.name}: pip install 'nbflow[web]'.") from error
    return parsed(address)


def parsed(address: str) -> tuple[str, int]:
    """Host and port of an address. Raises ConfigError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"--listen takes HOST:PORT, such as 127.0.0.1:8765, not {address!r}.")
    return host, int(port)


def _listening(address: str, host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"{address} cannot be listened on: {error.strerror or error}. Is something else there already? "
            "Give another one with --listen."
        ) from error


def _is_here_alone(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
