"""Steps that tell a secret in every way that a step can tell anything."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import struct
import subprocess
import sys
import threading
import urllib.parse
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import nbflow
from nbflow import flow, step

_log = logging.getLogger("secret_flows")


@dataclass
class Account:
    """An object of the user's with a secret in it."""

    user: str
    password: Any


class RefusedError(Exception):
    """An error with state of its own, which pickle cannot rebuild by itself."""

    def __init__(self, told: str, request: dict[str, Any], *, header: str) -> None:
        super().__init__(told, request)
        self.header = header


def encodings(value: str) -> dict[str, str]:
    """A secret as programs write it."""
    return {
        "plain": value,
        "json": json.dumps(value),
        "repr": repr(value),
        "bytes": repr(value.encode()),
        "html": html.escape(value),
        "url": urllib.parse.quote(value, safe=""),
        "query": urllib.parse.urlencode({"token": value}),
        "base64": base64.b64encode(value.encode()).decode(),
        "basic": base64.b64encode(b"user:" + value.encode()).decode(),
        "hex": value.encode().hex(),
    }


def picture(value: str) -> bytes:
    """A PNG of one pixel with a comment."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"tEXt", b"Comment\0" + value.encode()),
        (b"zTXt", b"Comment\0\0" + zlib.compress(value.encode())),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    ]
    chunks = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_everywhere(value: str, log: str, *, below: bool = True) -> None:
    """Write a secret to all streams, as Python and threads do; `below` it also C code and other programs."""
    for kind, text in encodings(value).items():
        print(kind, text)
        print(kind, text, file=sys.stderr)
    middle = len(value) // 2
    print("in two parts:", value[:middle], end="")
    print(value[middle:])
    sys.stderr.write(f"{value}\n")
    if below:
        os.write(1, f"by descriptor {value}\n".encode())
        subprocess.run(
            [sys.executable, "-S", "-c", "import sys; print('by a program', sys.argv[1])", value], check=True
        )
    thread = threading.Thread(target=print, args=("by a thread", value))
    thread.start()
    thread.join()
    warnings.warn(f"a warning about {value}", stacklevel=1)
    handlers = [logging.StreamHandler(), logging.FileHandler(log)]
    for handler in handlers:
        _log.addHandler(handler)
    _log.warning("a record about %s", value)
    try:
        raise ValueError(value)
    except ValueError:
        _log.exception("with a traceback")
    for handler in handlers:
        _log.removeHandler(handler)
        handler.close()
    sys.stdout.write("ends with " + value)


def show_everywhere(value: str) -> None:
    """Display a secret in every kind of output."""
    from IPython.display import display

    told = encodings(value)
    bundle = {
        "text/plain": repr(told), "text/html": f"<b title='{html.escape(value)}'>{told}</b>",
        "text/markdown": f"**{value}**", "text/latex": f"${value}$",
        "image/svg+xml": f"<svg><text>{value}</text></svg>",
        "application/json": {"deep": [told, {value: 1}]}, "application/javascript": f"let a = {json.dumps(value)};",
        "image/png": base64.b64encode(picture(value)).decode(), "image/jpeg": base64.b64encode(value.encode()).decode(),
        "application/pdf": base64.b64encode(f"%PDF {value}".encode()).decode(),
    }  # fmt: skip
    display(bundle, raw=True, metadata={"image/png": {"comment": value}})
    display(Account("me", str(value)))


@step
def tell(account: Account, log: str, below: bool) -> dict[str, Any]:
    """Tell it everywhere, and return the reference, as a secret that is passed on is one."""
    value = str(account.password)
    write_everywhere(value, log, below=below)
    show_everywhere(value)
    nbflow.heartbeat(0.5, f"working with {value}")
    context = nbflow.current()
    assert context is not None
    context.meta({"token": value})
    return {"account": account, "length": len(value)}


@step
def compare(found: dict[str, Any], length: int) -> bool:
    """Whether the secret arrived as its value."""
    return found["length"] == length == len(found["account"].password) and nbflow.secret("TOKEN").startswith("tok/")


@step
def refuse(token: str) -> None:
    """Fail with a secret in every part of an error."""
    try:
        raise KeyError(token)
    except KeyError as cause:
        error = RefusedError(
            f"refused {token}", {"url": f"https://x/?{encodings(token)['query']}"}, header=f"B {token}"
        )
        error.add_note(f"the token was {token}")
        raise error from cause


@step
def leak(token: str) -> dict[str, str]:
    """Return a text that holds it."""
    return {"Authorization": f"Bearer {token}"}


@step
async def size(token: str, deep: dict[str, list[str]]) -> int:
    """A coroutine is a step like any other."""
    return len(token) + len(deep["tokens"][0])


@flow
def sizes(token: Any) -> int:
    """A flow function holds references only, whoever runs it."""
    assert repr(token) == "secret:TOKEN"
    assert repr(nbflow.secret("TOKEN")) == "secret:TOKEN"
    return size("secret:TOKEN", {"tokens": [nbflow.secret("TOKEN")]}) + len([token])


@flow
def telling(token: Any, length: int, log: str, below: bool) -> bool:
    """So does one with a sub-flow."""
    assert repr(token) == "secret:TOKEN"
    assert sizes(token) == 2 * length + 1
    return compare(tell(Account("me", token), log, below), length)


@flow
def refusing(token: Any) -> None:
    """A flow that fails."""
    return refuse(token)


@flow
def leaking(token: Any) -> Any:
    """A flow whose step returns what it must not."""
    return leak(token)
