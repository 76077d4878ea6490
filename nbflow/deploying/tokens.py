"""Tokens and signatures of those who start deployments over HTTP.

A token is 256 random bits, so that a plain digest of it can be stored. The secret of a signature has to be known when
one is checked: it is derived from this deployment's signing key and a number that is stored, and so is not in the
database either. The form of signatures is the one that Stripe documents (docs.stripe.com/webhooks): a header
`t=SECONDS,v1=HEX`, in which HEX is the HMAC-SHA256 of "SECONDS.BODY".
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.values.signing import Signer

KINDS = ("webhook", "sender")
TOLERANCE = 300.0  # seconds by which a signature's time may be off
_PREFIX = "nbf_"  # by which people, and programs that look for secrets that leaked, know a token
_MOST_KEPT = 3  # old tokens that are good at a time
_MOST_SIGNATURES = 5  # in one header

Stored = list[Any]  # [digest of the token, or number of the secret; until when it is good, None: for ever]


def new(options: Mapping[str, Any], signer: Signer) -> tuple[str, list[Stored]]:
    """A new token, or a secret to sign with, and what is stored of it."""
    number = secrets.token_urlsafe(32)
    if options.get("signed"):
        return secret(number, signer), [[number, None]]
    token = _PREFIX + number
    return token, [[digest(token), None]]


def digest(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def secret(number: str, signer: Signer) -> str:
    """The secret of a number."""
    return _PREFIX + signer.mac(b"nbflow webhook " + number.encode()).hex()


def kept(stored: Sequence[Stored], now: float, until: float) -> list[Stored]:
    """The old ones that stay good for a while when there is a new one."""
    if until <= now:
        return []
    found = [[what, until if end is None else min(end, until)] for what, end in stored if end is None or end > now]
    return found[:_MOST_KEPT]


def is_token(given: str, stored: Sequence[Stored], now: float) -> bool:
    """Whether a token is one of those stored. Takes the same time for every wrong one."""
    asked, good = digest(given), False
    for what, until in stored:
        good |= hmac.compare_digest(asked, str(what)) and (until is None or until > now)
    return good


def is_signature(header: str, body: bytes, stored: Sequence[Stored], now: float, signer: Signer) -> bool:
    """Whether a header signs a body with one of the secrets stored, and not too long ago."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"][:_MOST_SIGNATURES]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 12:
        return False
    message, good = times[0].encode() + b"." + body, False
    for number, until in stored:
        wanted = sign(message, secret(str(number), signer))
        for each in signatures:
            same = hmac.compare_digest(wanted.encode(), each.encode("utf-8", "surrogatepass"))
            good |= same and (until is None or until > now)
    return good and abs(now - int(times[0])) <= TOLERANCE


def sign(message: bytes, key: str) -> str:
    """The signature of a message."""
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def signature_header(body: bytes, key: str, now: float) -> str:
    """The header that a sender puts on a request."""
    return f"t={int(now)},v1={sign(f'{int(now)}.'.encode() + body, key)}"
