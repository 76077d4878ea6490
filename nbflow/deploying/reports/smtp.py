"""Handing mails over to an SMTP server, with a moment before which nothing has been sent.

A server takes a mail when it has read the dot that ends it, and not before (RFC 5321, 4.1.1.4). So everything but the
dot is sent first; then `commit` may put on record that the mail goes out; then follows the dot. Whoever is killed
before the record has sent nothing. Whoever is killed after it may have.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from nbflow.deploying.reports.addresses import Server
from nbflow.model.errors import ConfigError, NbflowError

_CONNECT = 30.0  # seconds
_REPLY = 600.0  # for the answer to the dot: RFC 5321, 4.5.3.2.6
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class MailError(NbflowError):
    """A mail, or what else is told, could not be handed over; it can be tried again."""


class MailRefusedError(MailError):
    """The server will never take it."""


class MailInDoubtError(MailError):
    """It was handed over, and nobody knows whether the server took it: it is not sent again by itself."""


class Channel:
    """A connection to a server, for one mail after the other. Opened with the first one."""

    def __init__(self, server: Server, password: str | None) -> None:
        self._server = server
        self._password = password
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
        self._drop()

    def deliver(self, sender: str, recipient: str, mail: bytes, commit: Callable[[], bool]) -> None:
        """Hand over a mail, both addresses without names. `commit` says whether to go on, just before the dot.

        Raises MailError if it can be tried again, MailRefusedError, MailInDoubtError; ConfigError for a server that
        cannot be used as it is set.
        """
        try:
            smtp = self._opened()
            self._prepare(smtp, sender, recipient, mail)
        except (smtplib.SMTPException, OSError) as error:  # SSL's errors are OSErrors
            self._drop()
            raise _translated(self._server, error) from error
        try:
            mine = commit()
        except BaseException:  # the server waits for the rest of the mail, and would take farewells for that
            self._drop()
            raise
        if not mine:
            self._drop()
            raise MailError("Another process is sending this mail.")
        try:
            code, text = _ended(smtp)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise MailInDoubtError(
                f"{self._server} did not answer when it had got the mail ({_words(error)}): it may have arrived."
            ) from error
        if code != 250:
            self._drop()
            raise _refused(self._server, code, text)

    def _opened(self) -> smtplib.SMTP:
        if self._smtp is not None:
            self._smtp.rset()
            return self._smtp
        server = self._server
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=_CONNECT, context=ssl.create_default_context()
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=_CONNECT)
        self._smtp = smtp
        smtp.ehlo_or_helo_if_needed()
        if server.security == "required" or (server.security == "offered" and smtp.has_extn("starttls")):
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
        self._log_in(smtp)
        return smtp

    def _log_in(self, smtp: smtplib.SMTP) -> None:
        if self._server.user is None or self._password is None:
            return
        hidden = hasattr(smtp.sock, "cipher")
        if not hidden and self._server.security != "never" and self._server.host not in _LOOPBACK:
            self._drop()
            raise ConfigError(
                f"{self._server} offers no encryption, and the password would be read on the way. Use smtps://, or say "
                "that it may be: ?starttls=never."
            )
        smtp.login(self._server.user, self._password)

    def _prepare(self, smtp: smtplib.SMTP, sender: str, recipient: str, mail: bytes) -> None:
        """Everything up to the dot."""
        for code, text in (smtp.mail(sender), smtp.rcpt(recipient)):
            if code not in (250, 251):
                raise _refused(self._server, code, text)
        code, text = smtp.docmd("DATA")
        if code != 354:
            raise _refused(self._server, code, text)
        lines = re.sub(rb"\r\n|\r|\n", b"\r\n", mail)
        lines = re.sub(rb"(?m)^\.", b"..", lines)
        smtp.send(lines if lines.endswith(b"\r\n") else lines + b"\r\n")

    def _drop(self) -> None:
        """Hang up. What a server has of a mail without a dot, it has to forget."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()


def _ended(smtp: smtplib.SMTP) -> tuple[int, bytes]:
    if smtp.sock is not None:
        smtp.sock.settimeout(_REPLY)
    smtp.send(b".\r\n")
    code, text = smtp.getreply()
    if smtp.sock is not None:
        smtp.sock.settimeout(_CONNECT)
    return code, text


def _refused(server: Server, code: int, text: bytes) -> MailError:
    said = f"{server} says {code} {text.decode(errors='replace')}"
    if code == 421:
        return MailError(f"{said}.")
    return MailRefusedError(f"{said}.") if 500 <= code < 600 else MailError(f"{said}.")


def _translated(server: Server, error: Exception) -> MailError:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        said = f"{error.smtp_code} {_text(error.smtp_error)}"
        return MailError(f"{server} does not take the password: {said}. Set NBFLOW_SMTP_PASSWORD.")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return MailError(f"{server}: {error} Write smtps://, or another ?starttls=.")
    if isinstance(error, smtplib.SMTPResponseException):
        return MailError(f"{server} says {error.smtp_code} {_text(error.smtp_error)}.")
    return MailError(f"{server} cannot be reached: {_words(error)}. See the setting smtp.")


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
