"""Trying again when the connection to the database was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from nbflow.model.errors import StorageError
from nbflow.model.patience import PATIENCE, persist

__all__ = ["PATIENCE", "may_be_repeated", "retry"]

T = TypeVar("T")


def retry(
    action: Callable[[], T],
    *,
    patience: float = PATIENCE,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Run `action` until it does not fail for want of a connection; returns its result.

    `patience`: seconds, from the first failure, after which the error is raised. `wait`: see `persist`.
    """
    return persist(action, passing=may_be_repeated, patience=patience, wait=wait)


def may_be_repeated(error: Exception) -> bool:
    """Whether what failed with `error` can be run again as it was.

    So it is if the connection was lost, or if the server made this transaction give way to another one.
    """
    return isinstance(error, StorageError) and bool(error.details.get("repeat", False))
