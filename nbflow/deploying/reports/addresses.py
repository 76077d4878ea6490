"""Whom to tell, and by which server: addresses and URLs, checked before anything is sent or stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formataddr, parseaddr
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from nbflow.deploying.references import opened_reference
from nbflow.model.errors import ConfigError
from nbflow.settings import Settings

# An address as mail servers everywhere take it; what else RFC 5322 allows is a mistake more often than an address.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,188}[A-Za-z0-9])?\Z")
_NAMED = re.compile(r"\s*(?:(?P<name>[^<>]*?)\s*<(?P<named>[^<>\s]+)>|(?P<alone>\S+))\s*\Z")
_PORTS = {"smtp": 25, "smtps": 465}
_SUBMISSION = 587  # where people who log in hand over mail
_SECURITY: dict[str, Security] = {"required": "required", "true": "required", "1": "required", "yes": "required",
                                  "offered": "offered", "auto": "offered",
                                  "never": "never", "false": "never", "0": "never", "no": "never"}  # fmt: skip
SECRET = "secret:"  # noqa: S105 - a prefix, and no password

Security = Literal["tls", "required", "offered", "never"]


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server."""

    host: str
    port: int
    user: str | None
    security: Security  # "tls" from the beginning, or STARTTLS: "required", used if it is "offered", or "never"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def server_of(url: str) -> Server:
    """The server that a URL names: smtp://user@host:port, smtps://..., ?starttls=required, offered or never.

    Raises ConfigError, which does not repeat the URL, as there may be a password in it.
    """
    example = "Write smtp://user@host:587, or smtps://user@host; ?starttls=required, offered or never."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"The URL of the mail server is wrong: {error}. {example}") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
        raise ConfigError(f"The URL of the mail server is no such URL. {example}")
    if parts.password is not None:
        raise ConfigError(
            "The URL of the mail server has a password in it, which everybody sees who sees the settings. Put it into "
            "the environment variable NBFLOW_SMTP_PASSWORD, or name a secret there: secret:NAME."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    security: Security = "tls" if parts.scheme == "smtps" else "offered"
    if "starttls" in options and parts.scheme == "smtp":
        asked = options.pop("starttls").lower()
        if asked not in _SECURITY:
            raise ConfigError(f"starttls of the mail server is required, offered or never, not {asked!r}.")
        security = _SECURITY[asked]
    if options:
        raise ConfigError(f"The URL of the mail server has an option {sorted(options)[0]!r}. {example}")
    user = unquote(parts.username) if parts.username else None
    usual = _SUBMISSION if user is not None and parts.scheme == "smtp" else _PORTS[parts.scheme]
    return Server(parts.hostname, port or usual, user, security)


def addresses(given: str | Iterable[str]) -> list[str]:
    """Addresses, "ann@example.org" or "Ann <ann@example.org>", each once. Raises ConfigError for what is none."""
    texts = [given] if isinstance(given, str) else list(given)
    found = {address(text).lower(): address(text) for text in texts}
    if not found:
        raise ConfigError("There is nobody to send it to; give an address: --to ann@example.org.")
    return list(found.values())


def address(given: object) -> str:
    """An address with its name, if it has one, as it stands in a mail. Raises ConfigError."""
    text = given if isinstance(given, str) else ""
    found = _NAMED.match(text)
    spec = (found["named"] or found["alone"]) if found is not None else ""
    if found is None or not _ADDRESS.match(spec) or ".." in spec or not text.isprintable():
        raise ConfigError(f"{given!r} is no mail address; write ann@example.org, or 'Ann <ann@example.org>'.")
    name = (found["name"] or "").strip().removeprefix('"').removesuffix('"')
    return formataddr((name, spec)) if name else spec


def bare(given: str) -> str:
    """An address without a name."""
    return parseaddr(given)[1]


def web_url(given: str) -> str:
    """A URL that can be told something. Raises ConfigError."""
    try:
        parts = urlsplit(given)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong or re.search(r"\s", given):
        raise ConfigError(f"{given!r} is no URL that can be told; write https://host/path.")
    return given


def sender_of(settings: Settings, server: Server) -> str:
    """Whom mails are from. Raises ConfigError if nothing says it."""
    if settings.mail_from is not None:
        return address(settings.mail_from)
    if server.user is not None and _ADDRESS.match(server.user):
        return server.user
    raise ConfigError(
        "Nothing says whom mails are from; set mail_from, such as NBFLOW_MAIL_FROM='nbflow <nbflow@example.org>'."
    )


def revealed(given: str | None) -> str | None:
    """A password as it is, or, of a reference "secret:NAME", what that stands for. Raises SecretMissingError."""
    return opened_reference(given) if given is not None else None
