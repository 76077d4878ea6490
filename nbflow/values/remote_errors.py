"""What fsspec's packages raise, as errors of nbflow that name the way out and no secret.

The packages are not imported for that, as they need not be installed: their errors are known by name.
"""

from __future__ import annotations

import errno
import os
import re

from nbflow.model.errors import DiskFullError, StorageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO)}  # s3fs: 503, unknown answers, 500
_LOST = {
    ("botocore", "ConnectionError"),
    ("botocore", "HTTPClientError"),
    ("aiohttp", "ClientError"),
    ("urllib3", "HTTPError"),
}
_NO_KEY = re.compile(r"Credential|Token|ProfileNotFound")  # in names of botocore's errors
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "FSSPEC_S3_SECRET", "FSSPEC_S3_TOKEN")
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")  # in a URL


def may_pass(error: Exception) -> bool:
    """Whether the same may go well a moment later."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return (isinstance(error, OSError) and error.errno in _PASSING) or bool(_origins(error) & _LOST)


def has_no_bucket(error: FileNotFoundError) -> bool:
    """Whether not only a file, but all that it would lie in is missing."""
    response = getattr(error.__cause__, "response", None) or {}
    return bool(response.get("Error", {}).get("Code") == "NoSuchBucket")


def without_secrets(text: str) -> str:
    """A text without passwords in URLs, and without secrets of the environment."""
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return _PASSWORD.sub(r"\1:***@", text)


def translate(error: Exception, where: str) -> StorageError:
    """The StorageError for what went wrong at `where`."""
    told = without_secrets(f"{error}") or type(error).__name__
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskFullError(f"there is no space left to store {where}. Free some, or run `nbflow gc`.")
    if isinstance(error, FileNotFoundError) and has_no_bucket(error):
        return StorageError(
            f"the bucket of {where} does not exist ({told}). Create it, or set the artifact store (NBFLOW_ARTIFACTS) "
            "to one that does; a server that is not Amazon's is named by AWS_ENDPOINT_URL."
        )
    if isinstance(error, PermissionError) or any(
        package == "botocore" and _NO_KEY.search(name) for package, name in _origins(error)
    ):
        return StorageError(
            f"{where} may not be used: {told}. Check the key (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
            "AWS_ENDPOINT_URL if the server is not Amazon's), and that it may list, read, write and delete there."
        )
    if may_pass(error):
        return StorageError(
            f"{where} does not answer: {told}. Is the server up, and its address right (for S3: AWS_ENDPOINT_URL)? "
            "When it answers, nbflow resume goes on."
        )
    return StorageError(f"the artifact store cannot use {where}: {type(error).__name__}: {told}. Check its URL.")


def _origins(error: Exception) -> set[tuple[str, str]]:
    """(package, name) of the classes of an error."""
    return {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
