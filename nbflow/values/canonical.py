"""A canonical pickle stream of a value, and its digest.

A value is pickled without pickle's memo, so that it makes no difference whether two equal parts are one object. Sets
are sorted. What digest stands for a function or class is handed in.
Two arrays that are equal but lie differently in memory (row by row, column by column) differ.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import xxhash

from nbflow.values.blame import unpicklable
from nbflow.values.codec import ATOMS, PROTOCOL, Substitute, reference
from nbflow.values.frame import buffer_digest
from nbflow.values.origin import is_installed, spec_of

_SORTABLE: frozenset[type] = frozenset({int, str, bytes})
_FEW_VISITS = 1_000_000  # objects that are visited before sharing is looked into
_VISITS_PER_BYTE = 8
_LONGEST_FLAT = 1000

CodeDigest = Callable[[Any], str]
Known = Mapping[tuple[int, int] | None, bytes]
"""Digests of buffers by address and size, so that a large array is read once only."""


def canonical_digest(
    value: object, code_digest: CodeDigest, *, substitute: Substitute | None = None, known: Known | None = None
) -> str:
    """Return the digest of a value; `substitute` is as in `codec.encode`."""
    if type(value) in ATOMS:
        return xxhash.xxh3_128_hexdigest(pickle.dumps(value, PROTOCOL))
    buffers: list[pickle.PickleBuffer] = []
    stream = _stream(value, _Rules(code_digest, substitute), buffers)
    if not buffers:
        return xxhash.xxh3_128_hexdigest(stream)
    hasher = xxhash.xxh3_128(stream)
    for buffer in buffers:
        memory = buffer.raw()
        digest = known.get(address(memory)) if known else None
        hasher.update(digest or buffer_digest(memory))
    return hasher.hexdigest()


def is_flat(value: tuple[Any, ...]) -> bool:
    """Whether plain pickle writes a tuple canonically: it holds atoms only, and none twice, as one object or two."""
    return ATOMS.issuperset(map(type, value)) and len(value) < _LONGEST_FLAT and len(set(value)) == len(value)


def address(memory: memoryview) -> tuple[int, int] | None:
    """Where a buffer lies, if its owner (an array) tells."""
    interface = getattr(memory.obj, "__array_interface__", None)
    return (interface["data"][0], memory.nbytes) if interface is not None else None


class _Rules(NamedTuple):
    """How objects that are not plain data are written."""

    code_digest: CodeDigest
    substitute: Substitute | None


class _TooSharedError(Exception):
    """Without the memo this value would be visited many times over."""


class _Code:
    """Marks code in a pickle stream; never called."""


class _Canonical(pickle.Pickler):
    """Pickles for the digest: the stream cannot be read back."""

    rules: _Rules
    visits: int

    def persistent_id(self, obj: Any) -> Any:
        self.visits -= 1
        if self.visits < 0:
            raise _TooSharedError
        kind = type(obj)
        if kind is set or kind is frozenset:
            return kind.__name__, _sorted(obj, self.rules)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if self.rules.substitute is not None:
            number = self.rules.substitute(obj)
            if number is not None:
                return reference, (number,)
        kind = type(obj)  # obj.__class__ would wake up lazy proxies
        if kind is FunctionType or issubclass(kind, type):
            # Code that is installed goes by its name: its version does not change what a value is.
            by_name = is_installed(obj.__module__) and "<" not in obj.__qualname__
            return NotImplemented if by_name else (_Code, (self.rules.code_digest(obj),))
        if kind is ModuleType:
            return _Code, (obj.__name__,)
        if spec_of(obj) is not None:
            return _Code, (self.rules.code_digest(obj),)
        return NotImplemented


def _stream(value: Any, rules: _Rules, buffers: list[pickle.PickleBuffer]) -> bytes:
    kind = type(value)
    if kind is tuple and is_flat(value):
        return pickle.dumps(value, PROTOCOL)
    if (kind is list or kind is tuple) and ATOMS.issuperset(map(type, value)):
        return _flat_stream(value)
    if kind is dict and ATOMS.issuperset(map(type, value)) and ATOMS.issuperset(map(type, value.values())):
        return _flat_stream(value)
    try:
        return _canonical_stream(value, rules, buffers, fast=True, visits=_FEW_VISITS)
    except (_TooSharedError, ValueError, RecursionError) as error:  # ValueError: it contains itself
        buffers.clear()
        size = len(_canonical_stream(value, rules, buffers, fast=False))
        if type(error) is _TooSharedError and size * _VISITS_PER_BYTE > _FEW_VISITS:
            buffers.clear()
            try:
                return _canonical_stream(value, rules, buffers, fast=True, visits=size * _VISITS_PER_BYTE)
            except _TooSharedError:
                pass
        buffers.clear()
        return _canonical_stream(value, rules, buffers, fast=False)


def _flat_stream(value: Any) -> bytes:
    file = io.BytesIO()
    pickler = pickle.Pickler(file, PROTOCOL)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()


def _canonical_stream(
    value: object,
    rules: _Rules,
    buffers: list[pickle.PickleBuffer],
    *,
    fast: bool,
    visits: int = 2**62,
) -> bytes:
    """Pickle with the standard library's reducers, or with cloudpickle's if they do not do."""
    for attempt in ("plain", "cloud"):
        file = io.BytesIO()
        pickler = _Canonical(file, PROTOCOL, buffer_callback=buffers.append)
        pickler.rules, pickler.fast, pickler.visits = rules, fast, visits
        if attempt == "cloud":
            import cloudpickle

            pickler.dispatch_table = cloudpickle.Pickler.dispatch_table
        try:
            pickler.dump(value)
            return file.getvalue()
        except Exception as error:
            if fast and isinstance(error, _TooSharedError | ValueError | RecursionError):
                raise  # to be tried again with the memo
            if attempt == "cloud":
                raise unpicklable(value, "a value", error, lambda part: _part_digest(part, rules)) from error
            buffers.clear()
    raise AssertionError("unreachable")


def _sorted(items: Any, rules: _Rules) -> list[Any]:
    kinds = set(map(type, items))
    if len(kinds) == 1 and kinds <= _SORTABLE:
        return sorted(items)
    return sorted(_part_digest(item, rules) for item in items)


def _part_digest(part: object, rules: _Rules) -> str:
    return canonical_digest(part, rules.code_digest, substitute=rules.substitute)
