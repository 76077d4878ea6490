"""Digests of values: equal values give equal digests, in any process.

Code inside a value counts by what it says (`identity.code_digest`), not by its bytecode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from nbflow.model.errors import UnpicklableError
from nbflow.values.canonical import address, canonical_digest
from nbflow.values.codec import ATOMS, Payload, Substitute
from nbflow.values.identity import code_digest

_CONTAINERS: frozenset[type] = frozenset({list, tuple, dict, set, frozenset})


def digest(value: object, *, substitute: Substitute | None = None) -> str:
    """Return 32 hexadecimal digits that name the content of `value`.

    `substitute` is as in `codec.encode`: a reference counts by its number.
    """
    return canonical_digest(value, code_digest, substitute=substitute)


def digest_payload(
    payload: Payload, value: object, digests: Sequence[bytes], *, substitute: Substitute | None = None
) -> str:
    """`digest(value)` where its payload is there already, with the `buffer_digest` of each of the payload's buffers."""
    known = {address(buffer): one for buffer, one in zip(payload.buffers, digests, strict=True)}
    known.pop(None, None)
    try:
        return canonical_digest(value, code_digest, substitute=substitute, known=known)
    except UnpicklableError:  # cloudpickle knows more ways; its stream is the best there is then
        return xxhash.xxh3_128_hexdigest(b"".join([payload.stream, *digests]))


def find_cycle(value: object) -> str | None:
    """How a list, tuple or dict inside `value` contains itself, such as "list → dict → list"; None if none does.

    Looks into exact builtin containers only, and never touches anything else.
    """
    done: set[int] = set()
    path: list[tuple[Any, Iterator[Any]]] = [(value, _members(value))]
    open_ids = {id(value): None}  # ordered: the containers from the outermost to the present one
    while path:
        container, members = path[-1]
        for member in members:
            if type(member) not in _CONTAINERS or id(member) in done:
                continue
            if id(member) in open_ids:
                start = list(open_ids).index(id(member))
                return " → ".join(type(one).__name__ for one in [*(one for one, _ in path[start:]), member])
            open_ids[id(member)] = None
            path.append((member, _members(member)))
            break
        else:
            path.pop()
            del open_ids[id(container)]
            done.add(id(container))
    return None


def _members(value: Any) -> Iterator[Any]:
    kind = type(value)
    if kind is dict:
        value = value.values()
    elif kind not in _CONTAINERS:
        return iter(())
    return iter(()) if ATOMS.issuperset(map(type, value)) else iter(value)
