"""The same rows for each kind of database."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.bench.table import Row
from tests.servers import NoServerError, PostgresServer


def on_each(rows_of: Callable[[str, Callable[[], str]], list[Row]]) -> list[Row]:
    """What `rows_of(name, new)` gives for SQLite and PostgreSQL; `new()` makes a database, "" is the default one."""
    found = rows_of("SQLite", lambda: "")
    try:
        server = PostgresServer()
    except NoServerError:
        print("no PostgreSQL server can be started here; its rows are left out", file=sys.stderr)
        return found
    server.start()
    try:
        return found + rows_of("PostgreSQL", server.new_database)
    finally:
        server.stop()
