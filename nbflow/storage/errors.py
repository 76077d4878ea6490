"""Errors of the drivers as errors of nbflow, translated once, here."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from nbflow.model import errors

# By what SQLite's messages say (sqlite.org/rescode.html); the driver gives no codes for some of them.
_SQLITE = (
    (
        "database is locked",
        errors.DatabaseLockedError,
        "Another process holds {url} for too long. Try again, or end it.",
    ),
    ("table is locked", errors.DatabaseLockedError, "Another process holds {url} for too long. Try again, or end it."),
    ("disk is full", errors.DiskFullError, "No space is left for {url}. Free some, then go on with nbflow resume."),
    ("disk i/o error", errors.DiskFullError, "The disk under {url} fails or is full. Check it, then nbflow resume."),
    ("readonly database", errors.DatabaseReadOnlyError, "{url} cannot be written to. Check the file's permissions."),
    (
        "unable to open",
        errors.DatabaseReadOnlyError,
        "{url} cannot be opened. Check that its folder can be written to.",
    ),
    ("not a database", errors.DatabaseCorruptError, "{url} is not an SQLite database. Name another file with --db."),
    ("malformed", errors.DatabaseCorruptError, "{url} is damaged. Restore a copy, or start anew with another --db."),
)
_POSTGRES = {
    "53100": (errors.DiskFullError, "The server of {url} has no space left."),
    "25006": (errors.DatabaseReadOnlyError, "{url} is read-only."),
    "55P03": (errors.DatabaseLockedError, "Another session holds a lock in {url} for too long."),
    "42501": (errors.DatabaseReadOnlyError, "This user may not write to {url}."),
    "40001": (errors.DatabaseLockedError, "Another session changed the same in {url} at the same moment. Try again."),
    "40P01": (errors.DatabaseLockedError, "Two sessions of {url} waited for each other. Try again."),
}
_GIVEN_WAY = {"40001", "40P01"}  # surely rolled back, and the other session goes on
# Beginnings of the codes with which the server ends a session or takes none: connection exceptions, a session that was
# idle for too long, too many connections, shutdown, crash, start (postgresql.org/docs/current/errcodes-appendix.html).
_LOST = ("08", "25P03", "53300", "57P")
_SYSTEM = {
    errno.ENOSPC: (errors.DiskFullError, "No space is left for {url}. Free some."),
    errno.EDQUOT: (errors.DiskFullError, "No space is left to this user for {url}. Free some."),
    errno.EROFS: (errors.DatabaseReadOnlyError, "{url} lies where nothing can be written. Name another with --db."),
    errno.EACCES: (errors.DatabaseReadOnlyError, "{url} cannot be opened. Check the permissions."),
    errno.EPERM: (errors.DatabaseReadOnlyError, "{url} cannot be opened. Check the permissions."),
    errno.EISDIR: (errors.DatabaseCorruptError, "{url} is a folder. Name a file in it with --db."),
}


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise what goes wrong inside as a StorageError about the database at `url`."""
    try:
        yield
    except exc.DBAPIError as error:
        raise translate(error, url) from error


@contextmanager
def translated_os(url: str) -> Iterator[None]:
    """Raise what the file system refuses as a StorageError about the database at `url`."""
    try:
        yield
    except OSError as error:
        unknown = (errors.StorageError, "There can be no database at {url}. Name another with --db.")
        kind, message = _SYSTEM.get(error.errno or 0, unknown)
        raise kind(f"{message.format(url=url)} ({error})") from error


def translate(error: exc.DBAPIError, url: str) -> errors.StorageError:
    """The StorageError for a driver's error. Its detail `repeat` is true if the transaction can be run again."""
    text = str(error.orig).lower()
    code = getattr(error.orig, "sqlstate", None)
    kind, message = errors.StorageError, "The database at {url} refused a statement."
    repeat = False
    if code in _POSTGRES:
        kind, message = _POSTGRES[code]
        repeat = code in _GIVEN_WAY
    elif error.connection_invalidated or _is_lost(error, code, url):
        kind, message = errors.DatabaseUnreachableError, "No connection to {url}. Is the server up, and the URL right?"
        repeat = True
    elif not url.startswith("postgresql"):
        for part, its_kind, its_message in _SQLITE:
            if part in text:
                kind, message = its_kind, its_message
                break
    return kind(f"{message.format(url=url)} ({str(error.orig).strip()})", repeat=repeat)


def _is_lost(error: exc.DBAPIError, code: str | None, url: str) -> bool:
    if not (url.startswith("postgresql") and isinstance(error, exc.OperationalError)):
        return False
    return code is None or code.startswith(_LOST)  # the client library has no codes
