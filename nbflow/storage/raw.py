"""Statements that are executed thousands of times a second: written out once, and given to the driver as they are.

SQLAlchemy's own way to a row takes several times as long as the row. Parameters are marked "?" here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, exc


class Rows(list[Any]):
    """The rows of a result."""

    def scalar(self) -> Any:
        """The first column of the first row; None if there is none."""
        return self[0][0] if self else None

    def first(self) -> Any:
        """The first row; None if there is none."""
        return self[0] if self else None


def one(connection: Connection, statement: str, values: Sequence[Any] = ()) -> Rows:
    """Execute a statement, and return the rows that it gives."""
    marked = _marked(statement, connection.dialect.name)
    try:
        cursor = _driver(connection).execute(marked, tuple(values))
        return Rows(cursor.fetchall() if cursor.description is not None else ())
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(connection, marked, error) from error


def many(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute a statement once for each of `rows`."""
    if not rows:
        return
    marked = _marked(statement, connection.dialect.name)
    try:
        _driver(connection).cursor().executemany(marked, rows)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(connection, marked, error) from error


def marks(count: int) -> str:
    """So many parameters, for a list in parentheses."""
    return ", ".join("?" * count)


def for_update(connection: Connection, *, skip_locked: bool = False) -> str:
    """The end of a SELECT that locks its rows; SQLite has one writer at a time and knows no such clause."""
    if connection.dialect.name != "postgresql":
        return ""
    return " FOR UPDATE SKIP LOCKED" if skip_locked else " FOR UPDATE"


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _wrapped(connection: Connection, statement: str, error: Exception) -> BaseException:
    """The driver's error as SQLAlchemy would raise it, so that it is translated like all others."""
    base = connection.dialect.loaded_dbapi.Error
    return exc.DBAPIError.instance(statement, None, error, base, dialect=connection.dialect)


@functools.cache
def _marked(statement: str, dialect: str) -> str:
    return statement if dialect == "sqlite" else statement.replace("?", "%s")
