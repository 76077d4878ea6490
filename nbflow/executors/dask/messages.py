"""What an executor and its slots tell each other, besides `running.wire` and reports: pickled lists of these."""

from __future__ import annotations

import pickle
import sys
import zlib
from importlib import metadata
from typing import Any, NamedTuple, TypedDict

from nbflow.model.records import StoredValue
from nbflow.running import wire

TELL, LISTEN = "nbflow_tell", "nbflow_listen"  # what a Dask worker is asked to do once it has had a slot
PATIENCE = 30.0  # seconds without a word from the executor after which a slot takes it for dead
_LARGE = 2**20  # bytes
LISTEN_FOR = 5.0  # seconds that a worker keeps a listener waiting if there is nothing to tell


class Offer(TypedDict):
    """The argument of the Dask task that is a slot: nothing but what every version of nbflow can read."""

    topic: str  # where Dask delivers the word that the slot is there
    link: str  # name of the executor
    slot: int
    nbflow: str  # version
    python: str
    own: bool  # whether nbflow has started the worker, and can replace it


class Hello(NamedTuple):
    """To a worker, first of all."""

    values: Any  # StoreConfig
    probe: StoredValue  # can be read where the artifact store is the same
    place: wire.Lease | None  # surroundings to take over; None: those of a cluster are left alone


class Run(NamedTuple):
    """To a slot: one attempt."""

    slot: int
    task: wire.Task


class End(NamedTuple):
    """To a slot: end after what runs, and give the rest back."""

    slot: int


class Bye(NamedTuple):
    """To a worker: end all slots of this executor at once, and forget it."""


class Sent(NamedTuple):
    """To a worker: an artifact that it wanted lies in the cluster's memory."""

    name: str
    key: str | None  # of Dask's future; None: it cannot be had
    error: str = ""


class Ended(NamedTuple):
    """From a slot: it is none any more."""

    slot: int
    why: str  # "" if it was told to


class Wanted(NamedTuple):
    """From a worker that does not share the artifact store: it needs an artifact."""

    name: str


class Artifact(NamedTuple):
    """From a worker that does not share the artifact store: part of a result."""

    name: str
    content: bytes


class Word(TypedDict):
    """What a slot has Dask deliver when it begins: plain enough for msgpack."""

    link: str
    slot: int
    worker: str  # address
    pid: int
    refused: str  # why the worker cannot be used; "" if it can
    changed: str  # file that it has imported and that has changed since; "" if there is none


def encode(messages: list[Any]) -> bytes:
    """Messages as bytes."""
    return pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)


def decode(data: bytes) -> list[Any]:
    """The messages of `encode`."""
    found: list[Any] = pickle.loads(data)  # noqa: S301 - whoever speaks to a Dask worker can run code there anyway
    return found


def wrapped(data: bytes) -> Any:
    """`data` for Dask's wire, which copies what is large unless it is wrapped."""
    if len(data) < _LARGE:
        return data
    from distributed.protocol import to_serialize

    return to_serialize(data)


def mark(link: str, ticket: int) -> int:
    """What a process notes when an attempt of an executor begins: see `running.marks`."""
    return zlib.crc32(link.encode()) << 31 | ticket


def begun(mark_: int | None, link: str, tickets: list[int]) -> int:
    """How many of `tickets`, in the order that they begin in, may have begun where `mark_` was noted last."""
    if mark_ == 0:  # nothing ever did
        return 0
    if mark_ is None or mark_ >> 31 != mark(link, 0) >> 31:
        return len(tickets)
    ticket = mark_ & (1 << 31) - 1
    return tickets.index(ticket) + 1 if ticket in tickets else 0


def versions() -> tuple[str, str]:
    """Of nbflow and of Python: what has to be the same on both sides."""
    return metadata.version("nbflow"), f"{sys.version_info.major}.{sys.version_info.minor}"


def refusal(theirs: tuple[str | None, str], ours: tuple[str, str]) -> str:
    """Why a worker with the versions `theirs` of nbflow and Python cannot be used; "" if it can."""
    if theirs[0] is None:
        return f"has no nbflow, where {ours[0]} is needed"
    if theirs[0] != ours[0]:
        return f"has nbflow {theirs[0]}, where {ours[0]} is needed"
    if theirs[1] != ours[1]:
        return f"has Python {theirs[1]}, where {ours[1]} is needed"
    return ""
