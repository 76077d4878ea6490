"""A mail server that tests start: it takes mail, keeps it, and does what it is told at each point of a conversation."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import psutil
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.servers import free_port

Answer = Callable[[Any], str | None]  # what it says instead of yes; given the session


class MailServer:
    """What arrived, and what is answered to whom wants to hand over mail."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.forget()

    def forget(self) -> None:
        """Be as new."""
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []  # of each of them
        self.raw: list[bytes] = []
        self.at_recipient: Answer = lambda session: None
        self.at_end: Answer = lambda session: None  # when it has the whole mail, and has not said so
        self.passwords: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """Its address as a setting."""
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        answer = self.at_recipient(session)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.raw.append(envelope.original_content)
        self.mails.append(message_from_bytes(envelope.original_content, policy=policy.default))
        self.recipients.append(envelope.rcpt_tos)
        answer = self.at_end(session)
        if answer is not None:  # refused
            del self.mails[-1], self.raw[-1], self.recipients[-1]
        return answer or "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Take "right" for the password of everybody."""
        self.passwords.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"right", handled=False)


@contextmanager
def mail_server(host: str = "127.0.0.1", **options: Any) -> Iterator[MailServer]:
    """A server on loopback. `options`: of aiosmtpd's `SMTP`."""
    found = MailServer(free_port())
    controller = Controller(found, hostname=host, port=found.port, authenticator=found.authenticate, **options)
    controller.start()
    try:
        yield found
    finally:
        controller.stop()


def kill_client(session: Any) -> None:
    """End the process at the other end of a conversation at once."""
    port = session.peer[1]
    for connection in psutil.net_connections("tcp4"):
        if connection.laddr and connection.laddr.port == port and connection.pid not in (None, os.getpid()):
            os.kill(connection.pid, signal.SIGKILL)
            psutil.wait_procs([psutil.Process(connection.pid)] if psutil.pid_exists(connection.pid) else [], 5)
            return
    raise LookupError(f"no process has port {port}")
