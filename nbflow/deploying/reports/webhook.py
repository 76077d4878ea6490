"""Telling a URL: a POST with JSON, signed as standardwebhooks.com describes, so that receivers need no code of ours.

A receiver may get a message more than once, always with the same `webhook-id`: unlike mail, that is what it is for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from nbflow.deploying.reports.smtp import MailError, MailRefusedError
from nbflow.model.errors import ConfigError

_TIMEOUT = 30.0  # seconds
_GONE = 410  # the receiver wants nothing more, ever
_PREFIX = "whsec_"  # of secrets in base64


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without what was to be told."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def post(url: str, identity: str, body: Mapping[str, Any], secret: str | None, now: float) -> None:
    """Tell a URL. `identity`: the same for each try; `secret`: None for no signature.

    Raises MailError if it can be tried again, MailRefusedError if the receiver is gone, ConfigError for the secret.
    """
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "nbflow", "webhook-id": identity,
               "webhook-timestamp": str(int(now))}  # fmt: skip
    if secret is not None:
        headers["webhook-signature"] = signature(secret, identity, int(now), data)
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - http or https, as it was checked
    try:
        with _OPENER.open(request, timeout=_TIMEOUT):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        kind = MailRefusedError if error.code == _GONE else MailError
        raise kind(f"{url} answers {error.code} {error.reason}.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise MailError(f"{url} cannot be told: {getattr(error, 'reason', None) or error}.") from error


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: HMAC-SHA256 of "id.timestamp.body". Raises ConfigError for a broken secret."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()}"


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ConfigError(f"The secret of the webhook begins with {_PREFIX} and is no base64 after that.") from None
