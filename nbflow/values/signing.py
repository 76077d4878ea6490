"""Signatures: nothing is unpickled that this deployment did not write itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from nbflow.model.errors import ConfigError, SignatureError

KEY_FILE = "signing.key"
KEY_VARIABLE = "NBFLOW_SIGNING_KEY"
KEY_SIZE = 32  # bytes
MAC_SIZE = 32
_BLOCK = 64  # bytes, of SHA-256  # bytes of HMAC-SHA256


class Signer:
    """Signs bytes with one key."""

    __slots__ = ("_inner", "_outer", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        # HMAC (RFC 2104) with the key's blocks hashed beforehand: a third of the time that hmac.digest takes.
        block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in block]))
        self._outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in block]))

    def mac(self, data: bytes | memoryview) -> bytes:
        """The signature of `data` alone."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()

    def sign(self, data: bytes) -> bytes:
        """Return `data` with its signature in front."""
        return self.mac(data) + data

    def open(self, blob: bytes) -> bytes:
        """Return the data of a signed blob; raises `SignatureError` if it was not signed with this key."""
        data = blob[MAC_SIZE:]
        if len(blob) < MAC_SIZE or not hmac.compare_digest(blob[:MAC_SIZE], self.mac(data)):
            raise SignatureError(
                "stored bytes do not carry this deployment's signature, so they are not read: they were changed, or "
                f"written with another key. Set {KEY_VARIABLE} to the key they were written with.",
            )
        return data


def load_key(home: Path) -> bytes:
    """Return the key of this deployment: from the environment, else from the file in `home`, made at first use."""
    text = os.environ.get(KEY_VARIABLE)
    if text:
        return _parse(text.strip(), f"environment variable {KEY_VARIABLE}")
    path = home / KEY_FILE
    try:
        return _parse(path.read_text(encoding="ascii").strip(), f"file {path}")
    except FileNotFoundError:
        return _create(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the signing key in {path} cannot be read: {error}. Set NBFLOW_HOME to another folder, or {KEY_VARIABLE}."
        ) from error


def _create(path: Path) -> bytes:
    """Make the key file, or read the one that another process made at the same time."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_SIZE).hex().encode() + b"\n")
            _publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return _parse(path.read_text(encoding="ascii").strip(), f"file {path}")
    except OSError as error:
        raise ConfigError(
            f"no signing key can be created in {path.parent}: {error}. Set NBFLOW_HOME to a folder that can be "
            f"written to, or {KEY_VARIABLE} to 64 hexadecimal digits.",
        ) from error


def _publish(temporary: Path, path: Path) -> None:
    """Give a complete key file its name unless there is one: a link fails then, a rename would replace it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # file systems without hard links; the first writer may then win twice within microseconds
        if not path.exists():
            os.replace(temporary, path)


def _parse(text: str, source: str) -> bytes:
    for parse in (bytes.fromhex, lambda digits: base64.b64decode(digits, validate=True)):
        try:
            key = parse(text)
        except (ValueError, binascii.Error):
            continue
        if len(key) >= KEY_SIZE:
            return key
    raise ConfigError(
        f"the signing key in {source} is not usable: it has to be at least {KEY_SIZE} bytes in hexadecimal digits or "
        "base64. `python -c 'import secrets; print(secrets.token_hex(32))'` prints one.",
    )
