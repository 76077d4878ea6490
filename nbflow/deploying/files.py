"""Looking for files that appear or change: in a folder, or anywhere that fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nbflow.model.errors import ConfigError, TriggerError

_MOST = 10_000  # files that a sensor watches
_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "version", "created")
_MAGIC = "*?["


class Seen(NamedTuple):
    """What a sensor knows of a file."""

    stamp: str  # changes whenever the file does
    since: float  # when this stamp was seen first
    done: bool  # whether a run was started for it, or it was there before the sensor


class NewFile(NamedTuple):
    """A file that is to start a run."""

    path: str  # as a run opens it: a path, or a URL
    stamp: str


class Files(NamedTuple):
    """What a look found."""

    ready: list[NewFile]
    seen: dict[str, Seen]
    unsettled: bool  # whether some file is to be looked at again soon, as it may still be written


def checked_pattern(pattern: str) -> str:
    """A pattern as it is stored: a path becomes absolute. Raises ConfigError for what cannot be looked through."""
    if not pattern or "\0" in pattern:
        raise ConfigError("a file sensor looks for a path or a pattern, such as 'in/*.csv' or 's3://bucket/in/*.csv'.")
    if "://" not in pattern:
        return os.path.abspath(os.path.expanduser(pattern))
    if urlsplit(pattern).password is not None:
        raise ConfigError(
            "The URL of the files holds a password, which would be stored as it is. Leave it out, and give it to the "
            "scheduler's process by the environment, as the file system's own documentation says."
        )
    return pattern


def look(pattern: str, known: Mapping[str, Seen] | None, now: float, *, settle: float, changes: bool) -> Files:
    """Look for files that match a pattern; see `compared`.

    Raises TriggerError if the folder is not there, or there are too many files.
    """
    return compared(listed(pattern), known, now, settle=settle, changes=changes)


def compared(
    found: Mapping[str, str], known: Mapping[str, Seen] | None, now: float, *, settle: float, changes: bool
) -> Files:
    """Which of the files that were found ({path: stamp}) are new.

    A file is ready once it has had the same size and time of change for `settle` seconds, so that none is taken that is
    still being written; with `changes` again whenever it has changed. `known`: what the look before saw; None: this is
    the first one, and what is there is not new.
    """
    seen: dict[str, Seen] = {}
    ready: list[NewFile] = []
    unsettled = False
    for path, stamp in found.items():
        before = known.get(path) if known is not None else Seen(stamp, now, True)
        if before is None or (before.stamp != stamp and (changes or not before.done)):
            before = Seen(stamp, now, False)
        seen[path] = before
        if before.done:
            continue
        if now - before.since >= settle:
            ready.append(NewFile(path, before.stamp))
        else:
            unsettled = True
    return Files(ready, seen, unsettled)


def packed(seen: Mapping[str, Seen]) -> dict[str, list[Any]]:
    """What was seen, for JSON."""
    return {path: [each.stamp, round(each.since, 3), int(each.done)] for path, each in seen.items()}


def unpacked(found: Mapping[str, list[Any]]) -> dict[str, Seen]:
    """What `packed` packed."""
    return {path: Seen(str(each[0]), float(each[1]), bool(each[2])) for path, each in found.items()}


def listed(pattern: str, most: int = _MOST) -> dict[str, str]:
    """Path and stamp of each file that matches. Raises TriggerError."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(pattern)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{pattern} cannot be looked through: {error}") from error
    local = "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)
    root = _root(path)
    if local and not os.path.isdir(root):
        raise TriggerError(f"There is no folder {root}, in which files are to appear. Make it, or correct the pattern.")
    system.invalidate_cache()  # it may remember what was there the last time
    try:
        found = system.glob(path, detail=True)
    except FileNotFoundError:
        found = {}
    except Exception as error:  # whatever the file system of somebody else may raise
        raise TriggerError(f"{pattern} cannot be looked through ({type(error).__name__}: {error}).") from error
    files = {name: each for name, each in found.items() if each.get("type") != "directory"}
    if len(files) > most:
        raise TriggerError(
            f"{pattern} matches {len(files):,} files, and a sensor watches {most:,} at most. Narrow the pattern, or "
            "move away what is done."
        )
    return {(name if local else system.unstrip_protocol(name)): _stamp(each) for name, each in sorted(files.items())}


def _root(path: str) -> str:
    """The folder that a pattern begins with, up to its first wildcard."""
    parts = path.split("/")
    fixed = next((number for number, part in enumerate(parts) if any(each in part for each in _MAGIC)), len(parts) - 1)
    return "/".join(parts[:fixed]) or "/"


def _stamp(info: Mapping[str, Any]) -> str:
    when = next((info[name] for name in _STAMPS if info.get(name) is not None), "")
    return f"{info.get('size')}:{when}"
