"""Where large values lie: a local folder, or anything that fsspec has a URL for."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbflow.model import own_files
from nbflow.model.errors import DiskFullError, StorageError
from nbflow.model.patience import PATIENCE
from nbflow.model.ports import ArtifactStore
from nbflow.values.blobs import FRESH, TEMPORARY, is_ours, missing
from nbflow.values.mapped import map_private
from nbflow.values.remote import FsspecStore
from nbflow.values.remote_errors import FULL

__all__ = ["FsspecStore", "LocalStore", "open_store"]


def open_store(url: str, *, patience: float = PATIENCE) -> ArtifactStore:
    """Return the store at a path, a `file://` URL, or any other URL that fsspec knows (`s3://bucket/prefix`).

    `patience`: seconds for which one that does not answer is tried again.
    """
    if "://" not in url:
        return LocalStore(url)
    if url.startswith(("file://", "local://")):
        return LocalStore(url.split("://", 1)[1])
    return FsspecStore(url, patience=patience)


class LocalStore:
    """Blobs as files of a folder; reading maps them."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.url = self.shown = str(self.folder)
        own_files.add_folder(self.folder)

    def write(self, name: str, parts: list[Any]) -> bool:
        """Store the concatenated buffers under `name`, atomically, unless they are there; whether it did."""
        path = self.folder / name
        size = sum(memoryview(part).nbytes for part in parts)
        if _already(path, size):
            return False
        temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}")
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
            raise missing(name, self.url) from error
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

    def delete(self, name: str, before: float = math.inf) -> None:
        """Remove a blob, if it is there and was last written before a time (seconds since 1970)."""
        path = self.folder / name
        with _translated(path), contextlib.suppress(FileNotFoundError):
            if before == math.inf or path.stat().st_mtime < before:
                path.unlink()

    def names(self) -> list[tuple[str, int, float]]:
        """(name, bytes, modified) of every blob; also of files that a killed process left half written."""
        found = []
        for path in self.folder.glob("*/*"):
            name = path.relative_to(self.folder).as_posix()
            if is_ours(name):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    status = path.stat()
                    found.append((name, status.st_size, status.st_mtime))
        return found

    def check(self) -> None:
        """Raise StorageError if nothing can be written here."""
        folder = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        if not os.access(folder, os.W_OK):
            raise StorageError(
                f"{self.url} cannot be written to. Correct the rights of {folder}, or set NBFLOW_ARTIFACTS."
            )


def _already(path: Path, size: int) -> bool:
    """Whether a blob is complete; marks it as wanted."""
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != size:
        return False
    if time.time() - status.st_mtime > FRESH:
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
        if error.errno in FULL:
            raise DiskFullError(
                f"there is no space left to store {where}. Free some, or run `nbflow gc`; nothing half stays.",
            ) from error
        raise StorageError(f"the artifact store cannot use {where}: {error}. Check the path and its rights.") from error
