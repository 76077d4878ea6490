"""Files that nbflow itself writes to in this process, so that they can be told from those of the user's code."""

from __future__ import annotations

import os

_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite puts beside a database
_folders: set[str] = set()
_databases: set[str] = set()


def add_folder(path: str | os.PathLike[str]) -> None:
    """Count all in a folder as nbflow's own."""
    _folders.add(os.path.abspath(path))


def add_database(path: str | os.PathLike[str]) -> None:
    """Count an SQLite file as nbflow's own, with what lies beside it."""
    file = os.path.abspath(path)
    _databases.update((file, *(file + suffix for suffix in _BESIDE)))
    add_folder(f"{file}.bells")


def is_own(path: str) -> bool:
    """Whether an absolute path is one of these."""
    return path in _databases or any(path == folder or path.startswith(folder + os.sep) for folder in tuple(_folders))
