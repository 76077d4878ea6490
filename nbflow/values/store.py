"""One way in for values: `ValueStore` puts them into rows and files, and gets them back."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import xxhash

from nbflow.model.errors import ArtifactMissingError, SignatureError, UnpicklableError, ValueTooLargeError
from nbflow.model.ports import ArtifactStore
from nbflow.model.records import StoredValue
from nbflow.values import frame
from nbflow.values.artifacts import open_store
from nbflow.values.blame import type_name
from nbflow.values.canonical import is_flat
from nbflow.values.codec import ATOMS, PROTOCOL, Payload, Substitute, decode, encode
from nbflow.values.digest import digest_payload
from nbflow.values.secrets import traces
from nbflow.values.signing import Signer

_dumps, _loads, _digest = pickle.dumps, pickle.loads, xxhash.xxh3_128_hexdigest


class StoreConfig(NamedTuple):
    """All that another process needs to read and write the same values."""

    artifacts: str  # path or URL
    key: bytes
    inline_limit: int  # bytes
    max_size: int | None  # bytes
    max_inputs_size: int | None  # bytes


class _Limit(NamedTuple):
    """How large something may be."""

    setting: str  # its name
    bytes: int | None
    what: str  # it is about

    def check(self, size: int) -> None:
        if self.bytes is not None and size > self.bytes:
            raise ValueTooLargeError(
                f"{self.what} cannot be stored: too large, {size:,} bytes where {self.setting} allows {self.bytes:,}. "
                f"Keep the data in a file of your own and pass its path, or raise the setting "
                f"(NBFLOW_{self.setting.upper()}).",
                size=size,
                limit=self.bytes,
            )


@dataclass(eq=False)
class ValueStore:
    """Stores values, small ones in their record and large ones as artifacts."""

    artifacts: ArtifactStore
    signer: Signer
    inline_limit: int = 8192  # bytes of a stored form that stays in its record
    max_size: int | None = None  # bytes of the largest value; None: no limit
    max_inputs_size: int | None = None  # bytes of one call's arguments; None: no limit
    _verified: dict[str, object] = field(default_factory=dict, init=False)  # name of artifact -> stamp of checked file

    def put(self, value: Any, what: str) -> StoredValue:
        """Store a value; `what` names it in errors, for example "the result of step 'train'"."""
        kind = type(value)
        # Strings that are one object would make the stream differ: hence no equal elements.
        if kind in ATOMS or (kind is tuple and is_flat(value)):
            stream = _dumps(value, PROTOCOL)
            if len(stream) < self.inline_limit and (self.max_size is None or len(stream) <= self.max_size):
                if traces.known():
                    traces.check_stored(stream, (), what)
                return StoredValue(_digest(stream), len(stream) + 1, kind.__name__, frame.PLAIN + stream, None)
        return self.pack(value, what)

    def get(self, stored: StoredValue) -> Any:
        """Return a fresh copy of a stored value; changes to it stay with the caller."""
        data = stored.data
        if data is not None and data[0] == 1:  # frame.is_plain, without the call
            try:
                return _loads(data[1:])
            except Exception:  # noqa: S110 - decode() below tells what is wrong
                pass
        return self.unpack(stored)

    def pack(self, value: object, what: str, substitute: Substitute | None = None) -> StoredValue:
        """Store a value in which every object that `substitute` gives a number stands as a reference."""
        payload = encode(value, substitute=substitute, what=what)
        return self._store(value, payload, substitute, _Limit("max_value_size", self.max_size, what))

    def pack_inputs(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], what: str, substitute: Substitute | None = None
    ) -> StoredValue:
        """Store the pair of a call's arguments like `pack`; `what` is called, for example "step 'train'"."""
        try:
            payload = encode((args, kwargs), substitute=substitute, what=f"the arguments of {what}")
        except UnpicklableError:
            named = [(str(number), value) for number, value in enumerate(args, 1)]
            named += [(repr(name), value) for name, value in kwargs.items()]
            for name, value in named:  # the culprit raises again, by its own name
                encode(value, substitute=substitute, what=f"argument {name} of {what}")
            raise
        limit = _Limit("max_inputs_size", self.max_inputs_size, f"the arguments of {what}")
        return self._store((args, kwargs), payload, substitute, limit)

    def unpack(self, stored: StoredValue, references: Sequence[object] = ()) -> Any:
        """Return a fresh copy of a stored value, with `references[n]` in the place of reference n."""
        if stored.data is None:
            content = self._read(stored)
        elif frame.is_plain(stored.data):
            return decode(stored.data[1:], (), references)
        else:
            content = frame.split(memoryview(bytearray(stored.data)))
        return decode(content.stream, content.buffers, references)

    def exists(self, uri: str) -> bool:
        """Whether the artifact of a stored value is still there."""
        return self.artifacts.exists(uri)

    def seal(self, data: bytes) -> bytes:
        """Sign what goes to a database."""
        return self.signer.sign(data)

    def unseal(self, blob: bytes) -> bytes:
        """Check what comes from a database; raises `SignatureError`."""
        return self.signer.open(blob)

    def seal_stored(self, stored: StoredValue) -> bytes:
        """A whole stored value as signed bytes."""
        return self.signer.sign(_dumps(tuple(stored), PROTOCOL))

    def unseal_stored(self, blob: bytes) -> StoredValue:
        """The stored value of `seal_stored`; raises `SignatureError`."""
        return StoredValue(*_loads(self.signer.open(blob)))

    def config(self) -> StoreConfig:
        """What another process needs to build an equal store."""
        return StoreConfig(self.artifacts.url, self.signer.key, self.inline_limit, self.max_size, self.max_inputs_size)

    @classmethod
    def from_config(cls, config: StoreConfig) -> ValueStore:
        """Build the store of another process again."""
        return cls(
            open_store(config.artifacts),
            Signer(config.key),
            config.inline_limit,
            config.max_size,
            config.max_inputs_size,
        )

    def _store(self, value: object, payload: Payload, substitute: Substitute | None, limit: _Limit) -> StoredValue:
        size = len(payload.stream) + sum([buffer.nbytes for buffer in payload.buffers])
        limit.check(size)
        digests = [frame.buffer_digest(buffer) for buffer in payload.buffers]
        digest = digest_payload(payload, value, digests, substitute=substitute)
        if size <= self.inline_limit:
            data = _inline(payload, digests)
            return StoredValue(digest, len(data), type_name(value), data, None)
        name, written = self._write(payload, digests)
        return StoredValue(digest, written, type_name(value), None, name)

    def _write(self, payload: Payload, digests: list[bytes]) -> tuple[str, int]:
        """Write an artifact, unless there is one of the same content; returns its name and size.

        The name is taken from the signature, so that no signed file can stand in for another, and stores that are
        shared by deployments with different keys do not mix them up.
        """
        head = frame.head(len(payload.stream), payload.buffers, digests)
        mac = self.signer.mac(head + payload.stream)
        name = _name(mac)
        parts = [frame.preamble(mac), *frame.parts(head, payload.stream, payload.buffers)]
        if self.artifacts.write(name, parts):
            self._remember(name)
        return name, sum([len(part) if type(part) is bytes else part.nbytes for part in parts])

    def _read(self, stored: StoredValue) -> frame.Frame:
        name = stored.uri or ""
        stamp = self.artifacts.stamp(name)
        try:
            memory = self.artifacts.read(name)
        except ArtifactMissingError as error:
            raise ArtifactMissingError(f"{error} (It is a {stored.type}.)", name=name) from error
        known = stamp is not None and self._verified.get(name) == stamp
        try:
            mac = frame.file_mac(memory)
            content = frame.split(memory[frame.PREAMBLE_SIZE :])
            if not known:
                self._verify(name, mac, content)
        except SignatureError as error:
            raise SignatureError(
                f"artifact {name} ({stored.type}) is not what was stored, so it is not read: {error} Remove the file "
                "and resume the run to compute it again.",
                name=name,
            ) from error
        if stamp is not None:
            self._verified[name] = stamp
        return content

    def _remember(self, name: str) -> None:
        stamp = self.artifacts.stamp(name)
        if stamp is not None:
            self._verified[name] = stamp

    def _verify(self, name: str, mac: bytes, content: frame.Frame) -> None:
        if _name(mac) != name or self.signer.mac(content.signed) != mac:
            raise SignatureError("its signature is not that of this deployment's key.")
        for buffer, digest in zip(content.buffers, content.digests, strict=True):
            if frame.buffer_digest(buffer) != digest:
                raise SignatureError("its content was changed.")


def _name(mac: bytes) -> str:
    text = mac[:20].hex()
    return f"{text[:2]}/{text[2:]}"


def _inline(payload: Payload, digests: list[bytes]) -> bytes:
    if not payload.buffers:
        return frame.PLAIN + payload.stream
    head = frame.head(len(payload.stream), payload.buffers, digests)
    return b"".join(frame.parts(head, payload.stream, payload.buffers))
