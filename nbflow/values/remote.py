"""Artifacts behind any URL that fsspec knows, such as `s3://bucket/prefix`.

Keys and addresses are none of a store's business: fsspec and its packages take them from the environment (AWS_...,
FSSPEC_...) and from files in the user's home. Child processes get the environment of the process that runs the flow.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from nbflow.model.errors import ConfigError, NbflowError, StorageError
from nbflow.model.patience import PATIENCE, persist
from nbflow.values.blobs import FRESH, TEMPORARY, bytes_of, is_ours, missing
from nbflow.values.remote_errors import has_no_bucket, may_pass, translate, without_secrets

T = TypeVar("T")

# They publish a whole object at once and know no folders. Elsewhere a file shows while it is written.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})
_UPLOADS_IN_PARTS = frozenset({"s3", "s3a"})
_WHOLE = 2**25  # bytes up to which a blob is moved in one piece
_BLOCK = 2**24  # bytes of a part of a larger one that is uploaded
_RANGE = 2**23  # bytes of a part that is read
_MOST_PARTS = 9_000  # S3 takes 10,000
_AT_ONCE = 4  # parts that are read at a time
_SETTINGS = ("AWS_", "FSSPEC_", "GOOGLE_", "AZURE_")  # variables that tell fsspec's packages where and as whom
_TIMES = ("LastModified", "mtime", "last_modified", "modified", "updated", "created")  # what packages call it

_opened: dict[str, tuple[int, Any, str]] = {}  # URL -> what it was opened with, file system, path in it
_opening = threading.Lock()


class FsspecStore:
    """Blobs behind an fsspec URL."""

    def __init__(self, url: str, *, fresh: float = FRESH, patience: float = PATIENCE) -> None:
        """`fresh`: seconds after which a blob that is written again is uploaded again, to be as young as a new one.

        `patience`: seconds for which a store that does not answer is tried again. Raises ConfigError.
        """
        _check(url)
        self.url = url.rstrip("/")
        self.shown = without_secrets(self.url)
        self._fresh = fresh
        self._patience = patience

    def write(self, name: str, parts: list[Any]) -> bool:
        """Store the concatenated buffers under `name`, atomically, unless it is there; whether it did."""
        buffers = bytes_of(parts)
        size = sum(len(buffer) for buffer in buffers)

        def write(filesystem: Any, path: str) -> bool:
            found = _facts(filesystem, path)
            if found is not None and found["size"] == size and time.time() - _modified(found) <= self._fresh:
                return False
            if _kinds(filesystem) & _OBJECT_STORES:
                _put_object(filesystem, path, buffers, size)
            else:
                _put_file(filesystem, path, buffers)
            return True

        return self._do(write, name)

    def read(self, name: str) -> memoryview:
        """A private copy of the content; raises `ArtifactMissingError`."""

        def read(filesystem: Any, path: str) -> bytearray | None:
            found = _facts(filesystem, path)
            try:
                return _fetch(filesystem, path, found["size"]) if found is not None else None
            except FileNotFoundError:
                return None

        content = self._do(read, name)
        if content is None:
            raise missing(name, self.shown)
        return memoryview(content)

    def stamp(self, name: str) -> None:
        """Unknown: what comes over a network is checked each time."""
        return

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        return self._do(_facts, name) is not None

    def delete(self, name: str, before: float = math.inf) -> None:
        """Remove a blob, if it is there and was last written before a time (seconds since 1970)."""

        def delete(filesystem: Any, path: str) -> None:
            found = _facts(filesystem, path)
            if found is not None and (before == math.inf or _modified(found) < before):
                with contextlib.suppress(FileNotFoundError):
                    filesystem.rm_file(path)

        self._do(delete, name)

    def names(self) -> list[tuple[str, int, float]]:
        """(name, bytes, modified) of every blob; infinity where the file system does not tell when."""

        def find(filesystem: Any, path: str) -> list[tuple[str, int, float]]:
            root = path.rstrip("/")
            try:
                found = filesystem.find(root, detail=True)
            except FileNotFoundError as error:
                if has_no_bucket(error):
                    raise
                return []
            relative = ((path.removeprefix(root).lstrip("/"), facts) for path, facts in found.items())
            return [(name, int(facts.get("size") or 0), _modified(facts)) for name, facts in relative if is_ours(name)]

        return self._do(find, "")

    def check(self) -> None:
        """Write, list, read and remove a small blob; raises StorageError or ConfigError if that cannot be done."""
        name = f"00/{secrets.token_hex(19)}"
        self.write(name, [b"nbflow"])
        if bytes(self.read(name)) != b"nbflow" or name not in {found for found, _, _ in self.names()}:
            raise StorageError(f"{self.shown} does not give back what was stored. Check what stands between.")
        self.delete(name)

    def _do(self, action: Callable[[Any, str], T], name: str) -> T:
        """Run `action(file system, path)`, again while the store does not answer; its errors as nbflow's."""
        where = f"{self.shown}/{name}" if name else self.shown

        def attempt() -> T:
            try:
                filesystem, root = _open(self.url)
                return action(filesystem, f"{root}/{name}")
            except NbflowError:
                raise
            except Exception as error:
                if isinstance(error, PermissionError):
                    _opened.pop(self.url, None)  # the user may correct the file that the key comes from
                told = translate(error, where)
                told.details["passing"] = may_pass(error)
                # The cause would show what the message hides.
                raise told from (error if without_secrets(str(error)) == str(error) else None)

        return persist(
            attempt,
            passing=lambda error: isinstance(error, NbflowError) and bool(error.details.get("passing")),
            patience=self._patience,
        )


def _check(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme in _OBJECT_STORES and "@" in rest.partition("/")[0] and scheme not in ("abfs", "abfss", "az"):
        raise ConfigError(
            f"The URL of an artifact store in {scheme}:// may not hold a key: it would be shown. Give the key by the "
            "environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if scheme in _OBJECT_STORES and not rest.strip("/"):
        raise ConfigError(f"The artifact store {url!r} names no bucket. Give {scheme}://bucket/prefix.")


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it; opened anew when the environment has changed."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}
    current = hash((os.getpid(), frozenset(settings.items())))
    with _opening:
        found = _opened.get(url)
        if found is None or found[0] != current:
            filesystem, root = _open_anew(url, settings)
            found = _opened[url] = (current, filesystem, root.rstrip("/"))
        return found[1], found[2]


def _open_anew(url: str, settings: dict[str, str]) -> tuple[Any, str]:
    import fsspec
    from fsspec.config import set_conf_env

    options: dict[str, Any] = {}
    if "::" not in url:  # of a chain of file systems the first would get them
        scheme = urlsplit(url).scheme
        prefix = f"FSSPEC_{scheme.upper()}"
        own = {name: settings[name] for name in settings if name == prefix or name.startswith(f"{prefix}_")}
        configured: dict[str, dict[str, Any]] = {}
        set_conf_env(configured, own)  # fsspec did so when it was imported, which may have been in other surroundings
        # A listing that is remembered would hide what other processes write; an instance, that the key was changed.
        options = {**configured.get(scheme, {}), "use_listings_cache": False, "skip_instance_cache": True}
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        way_out = " (pip install 'nbflow[s3]')" if url.startswith("s3") else ""
        shown = without_secrets(url)
        raise ConfigError(f"the artifact store {shown} cannot be opened: {error}{way_out}.") from error
    return filesystem, str(root)


def _kinds(filesystem: Any) -> set[str]:
    kinds = filesystem.protocol
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _facts(filesystem: Any, path: str) -> dict[str, Any] | None:
    """What is known about a file; None if there is none."""
    try:
        found: dict[str, Any] = filesystem.info(path)
    except FileNotFoundError as error:
        if has_no_bucket(error):
            raise
        return None
    return found if found["type"] == "file" else None


def _put_object(filesystem: Any, path: str, buffers: list[memoryview], size: int) -> None:
    """Publish an object. A large one goes up in parts, so that it need not be in memory twice."""
    if size <= _WHOLE or not _kinds(filesystem) & _UPLOADS_IN_PARTS:
        filesystem.pipe_file(path, b"".join(buffers))
        return
    block = max(_BLOCK, -(-size // _MOST_PARTS))
    file = filesystem.open(path, "wb", block_size=block, autocommit=False)
    try:
        for part in _blocks(buffers, block):
            file.write(part)
        file.close()
        file.commit()
    except BaseException:
        file.closed = True  # it would else upload its rest when it is collected
        with contextlib.suppress(Exception):  # what went wrong before is what counts
            file.discard()
        raise


def _blocks(buffers: list[memoryview], size: int) -> Iterator[bytes]:
    """The buffers in blocks of one size, but for the last: not every server takes parts of different sizes."""
    block = bytearray()
    for buffer in buffers:
        while buffer:
            taken = min(size - len(block), len(buffer))
            block += buffer[:taken]
            buffer = buffer[taken:]
            if len(block) == size:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)


def _put_file(filesystem: Any, path: str, buffers: list[memoryview]) -> None:
    temporary = f"{path}{TEMPORARY}{secrets.token_hex(6)}"
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    try:
        with filesystem.open(temporary, "wb") as file:
            for buffer in buffers:
                file.write(buffer)
        filesystem.mv(temporary, path)
    except BaseException:
        with contextlib.suppress(Exception):
            filesystem.rm(temporary)
        raise


def _fetch(filesystem: Any, path: str, size: int) -> bytearray:
    """The content of a file; a large one part by part, so that it is not in memory twice.

    What went up in one piece comes in one piece: there are servers that send the checksum of the whole with any part.
    """
    content = bytearray(size)
    length = _RANGE if size > _WHOLE else _WHOLE
    starts = list(range(0, size, length))
    for at in range(0, len(starts), _AT_ONCE):
        some = starts[at : at + _AT_ONCE]
        ends = [min(start + length, size) for start in some]
        if len(some) == 1:
            parts = [filesystem.cat_file(path, start=some[0], end=ends[0])]
        else:
            parts = filesystem.cat_ranges([path] * len(some), some, ends, on_error="raise")
        for start, end, part in zip(some, ends, parts, strict=True):
            if isinstance(part, Exception):  # older packages hand errors over like content
                raise part
            if len(part) != end - start:
                raise TimeoutError(f"{len(part)} bytes came where {end - start} were asked for")
            content[start:end] = part
    return content


def _modified(facts: dict[str, Any]) -> float:
    """When a file was written last, in seconds since 1970; infinity if that is not told, so that it is never old."""
    for name in _TIMES:
        value = facts.get(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return math.inf
