"""Many rows in few statements.

A statement takes many rows because SQLite's driver hands the interpreter's lock over once for each statement; with a
statement for each row, a busy Python thread would hold up every one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, exc

from nbflow.storage.schema import BY_RECORD

_SIZES = (256, 32, 4, 1)  # rows of a statement: few different ones, so that they stay prepared
_MOST_VALUES = {"sqlite": 32_766, "postgresql": 65_535}  # limits of the two


class Upsert:
    """Inserts records, or replaces those of the same key."""

    def __init__(self, dialect: str) -> None:
        self._numbered = dialect == "postgresql"
        self._options = {"nbflow_numbered": self._numbered}  # see engines.postgresql
        self._most = _MOST_VALUES.get(dialect, 32_766)

    def __call__(self, connection: Connection, kind: type, rows: Sequence[Any]) -> None:
        """Write `rows`, all records of type `kind` and of different keys."""
        width = len(BY_RECORD[kind].columns)
        position = 0
        while position < len(rows):
            left = len(rows) - position
            size = next(size for size in _SIZES if size <= left and size * width <= self._most)
            values = tuple(chain.from_iterable(rows[position : position + size]))
            statement = _statement(kind, size, self._numbered)
            try:
                connection.exec_driver_sql(statement, values, self._options)
            except (UnicodeEncodeError, exc.DataError):  # refused by the driver, before the database sees it
                escaped = tuple([storable(value) for value in values])
                connection.exec_driver_sql(statement, escaped, self._options)
            position += size


def storable(value: Any) -> Any:
    """`value`, with what no database takes written as an escape: halves of surrogate pairs, and NUL in texts."""
    if type(value) is not str:
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


@functools.cache
def _statement(kind: type, size: int, numbered: bool) -> str:
    table = BY_RECORD[kind]
    names = [f'"{column.name}"' for column in table.columns]
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    marks = [f"${number}" if numbered else "?" for number in range(1, size * len(names) + 1)]
    width = len(names)
    rows = ", ".join(f"({', '.join(marks[at : at + width])})" for at in range(0, len(marks), width))
    return f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES {rows} ON CONFLICT ({key}) DO UPDATE SET {changes}'
