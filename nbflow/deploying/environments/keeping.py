"""The environments that there are, and sweeping those that nobody uses any more."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbflow.deploying.environments.making import READY, folder, open_lock, size_of


@dataclass(frozen=True, slots=True)
class Kept:
    """One environment on disk."""

    path: Path
    requirements: tuple[str, ...]
    python: str
    bytes: int
    used_at: float  # when it was asked for last, in seconds since 1970
    ready: bool  # False: making it was interrupted, or is going on
    busy: bool  # whether something runs in it, or makes it


def listed() -> list[Kept]:
    """All environments, the one that was used last first."""
    return sorted(_found(), key=lambda kept: -kept.used_at)


def _found() -> Iterator[Kept]:
    base = folder()
    for path in base.iterdir() if base.is_dir() else ():
        if not path.is_dir():
            continue
        busy = _busy(path)
        try:
            told = json.loads((path / READY).read_text(encoding="utf-8"))
            used = (path / READY).stat().st_mtime
            yield Kept(path, tuple(told["requirements"]), told["python"], int(told["bytes"]), used, True, busy)
        except (OSError, ValueError, KeyError):
            try:
                used = path.stat().st_mtime
            except OSError:
                continue  # it was swept just now
            yield Kept(path, (), "", size_of(path), used, False, busy)


def prune(*, before: float | None = None, most: int | None = None, dry_run: bool = False) -> list[Kept]:
    """Remove environments and return them: half-made ones, those last used `before` (seconds since 1970).

    `most`: bytes that may be kept; of the rest those go first that were not used for longest. What something runs in
    stays in any case.
    """
    removed, size = [], 0
    for kept in listed():
        too_old = before is not None and kept.used_at < before
        size += kept.bytes
        if kept.busy or not (too_old or not kept.ready or (most is not None and size > most)):
            continue
        if dry_run or _remove(kept.path):
            removed.append(kept)
            size -= kept.bytes
    return removed


def total(environments: Sequence[Kept]) -> int:
    """Their bytes."""
    return sum(kept.bytes for kept in environments)


def _busy(path: Path) -> bool:
    lock = open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _remove(path: Path) -> bool:
    """Remove an environment unless it is in use; whether it is gone."""
    lock = open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (path / READY).unlink(missing_ok=True)  # first, so that nobody takes what is left for an environment
        shutil.rmtree(path)
    except (BlockingIOError, OSError):
        return False
    finally:
        os.close(lock)
    return True
