"""Secrets in what pictures and documents say beside their pixels: comments, titles, sources.

PNG: https://www.w3.org/TR/png-3/#5Chunk-layout. What is compressed elsewhere, and what is drawn, is not looked into.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator, Sequence

_BINARY = ("image/", "audio/", "video/", "font/")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")
_MOST = 2**20  # bytes of a text that is unpacked


def is_picture(mime: str) -> bool:
    """Whether a part of a mime bundle holds bytes in base64."""
    return (mime.startswith(_BINARY) and not mime.endswith("xml")) or mime in (
        "application/pdf",
        "application/octet-stream",
    )


def cleaned(mime: str, text: str, values: Sequence[bytes]) -> str:
    """Bytes in base64 without the values: texts of a PNG that hold one are left out, elsewhere `*` stands instead."""
    try:
        data = base64.b64decode(text)
    except (binascii.Error, ValueError):
        return text if not any(value.decode("utf-8", "replace") in text for value in values) else ""
    result = data
    if data.startswith(_SIGNATURE):
        result = _SIGNATURE + b"".join(chunk for kind, chunk in _chunks(data) if not _tells(kind, chunk, values))
    for value in values:
        result = result.replace(value, b"*" * len(value))
    return text if result == data else base64.b64encode(result).decode("ascii")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, whole chunk) of a PNG; a broken end is a chunk of no kind."""
    at = len(_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            yield b"", data[at:]
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at : at + 12 + length]
        at += 12 + length


def _tells(kind: bytes, chunk: bytes, values: Sequence[bytes]) -> bool:
    if kind not in _TEXTS:
        return False
    content = chunk[8:-4]
    texts = [content]
    for start in range(len(content)) if kind in (b"zTXt", b"iTXt") else ():
        if content[start] == 0x78:  # where a zlib stream may begin
            unpacked = _unpacked(content[start:])
            if unpacked:
                texts.append(unpacked)
                break
    return any(value in text for value in values for text in texts)


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MOST)
    except zlib.error:
        return b""
