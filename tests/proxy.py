"""A TCP proxy on loopback that cuts connections when a test says so."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.servers import wait_until

_BLOCK = 65_536


class CuttingProxy:
    """Stands in front of a server. Everything passes, until the test has it cut, or refuse what comes."""

    def __init__(self, target: int) -> None:
        """`target`: the server's port."""
        self._target = target
        self._listener = _listening(0)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._refuses = False
        self._unanswered: bytes | None = None
        self._mute: set[socket.socket] = set()  # servers' ends whose next answer gets lost
        self._bytes_left: int | None = None
        self._then_refuse = False
        self.cuts = 0  # connections that it has ended

    def __enter__(self) -> CuttingProxy:
        self._accept_on(self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        self._refuses = True
        _close(self._listener)
        self.cut()

    def cut(self) -> None:
        """End all connections, at once and without a word."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self.cuts += len(pairs)
        for pair in pairs:
            for end in pair:
                _close(end)

    def refuse(self) -> None:
        """End all connections, and take no new ones until `accept`."""
        self._refuses = True
        _close(self._listener)
        self.cut()

    def accept(self) -> None:
        """Take connections again."""
        self._refuses = False
        self._listener = _listening(self.port)
        self._accept_on(self._listener)

    def lose_answer_to(self, message: bytes) -> None:
        """Pass the next message that contains these bytes on, and end its connection instead of passing the answer."""
        self._unanswered = message

    def cut_after(self, count: int, *, refuse: bool = False) -> None:
        """End the connections when clients have sent so many more bytes; once, or with `refuse` for good."""
        self._then_refuse = refuse
        self._bytes_left = count

    def wait_for_cut(self) -> None:
        """Return when what `lose_answer_to` or `cut_after` asked for has happened."""
        wait_until(lambda: self._unanswered is None and self._bytes_left is None)

    def _accept_on(self, listener: socket.socket) -> None:
        threading.Thread(target=self._take, args=(listener,), daemon=True).start()

    def _take(self, listener: socket.socket) -> None:
        while not self._refuses:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                if listener.fileno() < 0:
                    return
                with suppress(OSError, UnboundLocalError):
                    _close(client)  # the server is away, which is what the client is to see
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._upwards, args=(client, server), daemon=True).start()
            threading.Thread(target=self._downwards, args=(server, client), daemon=True).start()

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while block := client.recv(_BLOCK):
                if self._unanswered is not None and self._unanswered in block:
                    self._mute.add(server)
                if self._bytes_left is not None and len(block) >= self._bytes_left:
                    server.sendall(block[: self._bytes_left])
                    if self._then_refuse:
                        self.refuse()
                    self.cut()
                    self._bytes_left = None
                else:
                    if self._bytes_left is not None:
                        self._bytes_left -= len(block)
                    server.sendall(block)
        _close(server)

    def _downwards(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while block := server.recv(_BLOCK):
                if server in self._mute:  # what was asked is done; nobody gets to know
                    self.cuts += 1
                    self._unanswered = None
                    _close(server)
                    break
                client.sendall(block)
        _close(client)


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it, which closing alone does not
    end.close()
