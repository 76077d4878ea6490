"""Where large values lie: a local folder, or anything that fsspec has a URL for."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbflow.model.errors import ArtifactMissingError, ConfigError, DiskFullError, StorageError
from nbflow.model.ports import ArtifactStore
from nbflow.values.mapped import map_private

_TEMPORARY = ".tmp-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FRESH = 3600  # seconds; a blob that is written again is touched when older, so that no sweeper takes it for unused


def open_store(url: str) -> ArtifactStore:
    """Return the store at a path, a `file://` URL, or any other URL that fsspec knows (`s3://bucket/prefix`)."""
    if "://" not in url:
        return LocalStore(url)
    if url.startswith(("file://", "local://")):
        return LocalStore(url.split("://", 1)[1])
    return FsspecStore(url)


class LocalStore:
    """Blobs as files of a folder; reading maps them."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.url = str(self.folder)

    def write(self, name: str, parts: list[Any]) -> bool:
        """Store the concatenated buffers under `name`, atomically, unless they are there; whether it did."""
        path = self.folder / name
        size = sum(memoryview(part).nbytes for part in parts)
        if _already(path, size):
            return False
        temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
        with _translated(path):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(temporary, "wb", buffering=0) as file:
                    for part in parts:
                        _write_all(file.fileno(), part)
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return True

    def read(self, name: str) -> memoryview:
        """A writable private mapping of the content; raises `ArtifactMissingError`."""
        try:
            return map_private(self.folder / name)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(name, self.url) from error
        except OSError as error:
            raise StorageError(f"artifact {name} in {self.url} cannot be read: {error}. Check its rights.") from error

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """What changes whenever the file does."""
        try:
            status = os.stat(self.folder / name)
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        return (self.folder / name).is_file()

    def delete(self, name: str) -> None:
        """Remove a blob, if it is there."""
        with _translated(self.folder / name):
            (self.folder / name).unlink(missing_ok=True)

    def names(self) -> list[tuple[str, int, float]]:
        """(name, bytes, modified) of every blob; also of files that a killed process left half written."""
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                status = path.stat()
                found.append((path.relative_to(self.folder).as_posix(), status.st_size, status.st_mtime))
        return found


class FsspecStore:
    """Blobs behind an fsspec URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._filesystem: Any = None
        self._root = ""

    def write(self, name: str, parts: list[Any]) -> bool:
        """Store the concatenated buffers under `name`, atomically, unless it is there; whether it did."""
        filesystem = self._open()
        path = f"{self._root}/{name}"
        temporary = f"{path}{_TEMPORARY}{secrets.token_hex(6)}"
        with _translated(f"{self.url}/{name}"):
            if filesystem.exists(path):
                return False
            try:
                filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                # Object stores publish on close, but others (ssh, memory) show what is half written.
                with filesystem.open(temporary, "wb") as file:
                    for part in parts:
                        file.write(part)
                filesystem.mv(temporary, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    filesystem.rm(temporary)
                raise
        return True

    def read(self, name: str) -> memoryview:
        """A private copy of the content; raises `ArtifactMissingError`."""
        filesystem = self._open()
        with _translated(f"{self.url}/{name}"):
            try:
                return memoryview(bytearray(filesystem.cat_file(f"{self._root}/{name}")))
            except FileNotFoundError as error:
                raise _missing(name, self.url) from error

    def stamp(self, name: str) -> None:
        """Unknown: what comes over a network is checked each time."""
        return

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        filesystem = self._open()
        with _translated(f"{self.url}/{name}"):
            return bool(filesystem.exists(f"{self._root}/{name}"))

    def delete(self, name: str) -> None:
        """Remove a blob, if it is there."""
        filesystem = self._open()
        with _translated(f"{self.url}/{name}"), contextlib.suppress(FileNotFoundError):
            filesystem.rm_file(f"{self._root}/{name}")

    def names(self) -> list[tuple[str, int, float]]:
        """(name, bytes, modified) of every blob; the time is 0 where the file system does not tell it."""
        filesystem = self._open()
        with _translated(self.url):
            found = filesystem.find(self._root, detail=True)
        return [
            (path.removeprefix(self._root).lstrip("/"), int(facts.get("size") or 0), _modified(facts))
            for path, facts in found.items()
        ]

    def _open(self) -> Any:
        if self._filesystem is None:
            import fsspec

            try:
                self._filesystem, root = fsspec.core.url_to_fs(self.url)
            except (ImportError, ValueError) as error:
                way_out = " (pip install 'nbflow[s3]')" if self.url.startswith("s3") else ""
                raise ConfigError(f"the artifact store {self.url} cannot be opened: {error}{way_out}.") from error
            self._root = root.rstrip("/")
        return self._filesystem


def _already(path: Path, size: int) -> bool:
    """Whether a blob is complete; marks it as wanted."""
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != size:
        return False
    if time.time() - status.st_mtime > _FRESH:
        with contextlib.suppress(OSError):
            os.utime(path)
    return True


def _write_all(descriptor: int, part: Any) -> None:
    memory = memoryview(part).cast("B")
    while memory:
        memory = memory[os.write(descriptor, memory) :]  # one write takes 2 GB at most


@contextlib.contextmanager
def _translated(where: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"there is no space left to store {where}. Free some, or run `nbflow gc`; nothing half stays.",
            ) from error
        raise StorageError(f"the artifact store cannot use {where}: {error}. Check the path and its rights.") from error


def _missing(name: str, where: str) -> ArtifactMissingError:
    return ArtifactMissingError(
        f"artifact {name} is not in {where} any more. Resume the run to compute it again, or set the artifact store "
        "(NBFLOW_ARTIFACTS) to where it was written.",
        name=name,
    )


def _modified(facts: dict[str, Any]) -> float:
    time = facts.get("LastModified") or facts.get("mtime") or facts.get("created") or 0.0
    return float(time.timestamp() if hasattr(time, "timestamp") else time)
