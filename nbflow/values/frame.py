"""The stored form of a value, version by version.

The first byte tells the form:

    1   a pickle stream follows, to the end
    2   a head, the pickle stream, and buffers, each at a multiple of 64 bytes from the first byte:

        offset  bytes
        0       1       2
        1       3       zero
        4       4       number of buffers
        8       8       bytes of the stream
        16      24 each bytes of a buffer (8) and its XXH3-128 (16)
        ...             the stream

Numbers are unsigned and little-endian. Form 2 alone lies in files, behind 64 bytes: `MAGIC`, the HMAC-SHA256 of head
and stream, zeros. Since the head holds the buffers' digests, that signature covers the whole file.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import xxhash

from nbflow.model.errors import SignatureError

PLAIN = b"\x01"
_FRAMED = 2
_HEAD = struct.Struct("<BxxxIQ")
_BUFFER = struct.Struct("<Q16s")
_ALIGNMENT = 64

MAGIC = b"nbflow\x00\x02"
PREAMBLE_SIZE = 64
_PREAMBLE = struct.Struct("<8s32s24x")


class Frame(NamedTuple):
    """A frame of form 2, taken apart without copying."""

    signed: memoryview  # head and stream
    stream: memoryview
    buffers: list[memoryview]
    digests: list[bytes]  # of the buffers, as the head tells them


def head(stream_size: int, buffers: Sequence[memoryview], digests: Sequence[bytes]) -> bytes:
    """The head of a frame of form 2."""
    parts = [_HEAD.pack(_FRAMED, len(buffers), stream_size)]
    parts += [_BUFFER.pack(buffer.nbytes, digest) for buffer, digest in zip(buffers, digests, strict=True)]
    return b"".join(parts)


def parts(head: bytes, stream: bytes, buffers: Sequence[memoryview]) -> list[Any]:
    """Everything that a frame of form 2 consists of, in order."""
    result: list[Any] = [head, stream]
    position = len(head) + len(stream)
    for buffer in buffers:
        padding = -position % _ALIGNMENT
        result += [bytes(padding), buffer]
        position += padding + buffer.nbytes
    return result


def is_plain(data: bytes) -> bool:
    """Whether a frame is of form 1."""
    return data[:1] == PLAIN


def split(memory: memoryview) -> Frame:
    """Take a frame of form 2 apart; raises `SignatureError` if it is damaged."""
    try:
        form, count, stream_size = _HEAD.unpack_from(memory)
        if form != _FRAMED:
            raise ValueError(f"form {form} is unknown; it was written by a newer nbflow, or is damaged")
        start = _HEAD.size + count * _BUFFER.size
        table = list(_BUFFER.iter_unpack(memory[_HEAD.size : start]))
        position = start + stream_size
        buffers = []
        for size, _ in table:
            position += -position % _ALIGNMENT
            buffers.append(memory[position : position + size])
            position += size
        if len(table) != count or position != len(memory):
            raise ValueError(f"it has {len(memory)} bytes instead of {position}")
    except (struct.error, ValueError) as error:
        raise SignatureError(f"a stored value is damaged: {error}. Run its task again.") from error
    stream_end = start + stream_size
    return Frame(memory[:stream_end], memory[start:stream_end], buffers, [digest for _, digest in table])


def buffer_digest(buffer: memoryview) -> bytes:
    """The digest of one buffer."""
    return xxhash.xxh3_128_digest(buffer)


def preamble(mac: bytes) -> bytes:
    """The first bytes of a file."""
    return _PREAMBLE.pack(MAGIC, mac)


def file_mac(memory: memoryview) -> bytes:
    """The signature in the first bytes of a file; raises `SignatureError` if it is no file of ours."""
    if len(memory) >= PREAMBLE_SIZE:
        magic, mac = _PREAMBLE.unpack_from(memory)
        if magic == MAGIC:
            return bytes(mac)
    raise SignatureError("it is not a file that this version of nbflow writes, or is damaged.")
