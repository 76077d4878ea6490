"""How a database is."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from nbflow.storage.database import Database
from nbflow.storage.schema import version_table


class Health(NamedTuple):
    """What `examine` found."""

    schema: str  # version of its tables
    size: int  # bytes
    damage: str | None  # what SQLite complains about; None: nothing


def examine(database: Database) -> Health:
    """Look through a database. Takes a second or so for each gigabyte of an SQLite file."""
    with database.read() as connection:
        schema = str(connection.execute(select(version_table.c.version_num)).scalar_one())
        if database.dialect != "sqlite":
            size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
            return Health(schema, int(size), None)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        size = pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    return Health(schema, int(size), None if found == "ok" else found)
