"""Statements that are executed thousands of times a second: written out once, and given to the driver as they are.

SQLAlchemy's own way to a row takes several times as long as the row. Parameters are marked "?" here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection


def one(connection: Connection, statement: str, values: Sequence[Any] = ()) -> Any:
    """Execute a statement; returns SQLAlchemy's result, whose rows have as many columns as the statement says."""
    return connection.exec_driver_sql(_marked(statement, connection.dialect.name), tuple(values))


def many(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute a statement once for each of `rows`."""
    if rows:
        connection.exec_driver_sql(_marked(statement, connection.dialect.name), list(rows))


def marks(count: int) -> str:
    """So many parameters, for a list in parentheses."""
    return ", ".join("?" * count)


def for_update(connection: Connection, *, skip_locked: bool = False) -> str:
    """The end of a SELECT that locks its rows; SQLite has one writer at a time and knows no such clause."""
    if connection.dialect.name != "postgresql":
        return ""
    return " FOR UPDATE SKIP LOCKED" if skip_locked else " FOR UPDATE"


@functools.cache
def _marked(statement: str, dialect: str) -> str:
    return statement if dialect == "sqlite" else statement.replace("?", "%s")
