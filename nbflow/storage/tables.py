"""Reading what is new in a table of any SQLite or PostgreSQL database. Nothing is ever written there."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, exc, make_url

from nbflow.model.errors import ConfigError, DatabaseMissingError
from nbflow.settings import resolve_db
from nbflow.storage import engines
from nbflow.storage.errors import translate

_TIMEOUT = 30.0  # seconds that a statement may take, and that a lock is waited for
_STEPS = 10_000  # instructions of SQLite between two looks at the clock
_READS = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)


class News(NamedTuple):
    """What is new in a table."""

    high: Any  # the largest value of its column; None: there are no rows
    rows: int  # how many are above the value that was asked about


def checked_url(url: str) -> str:
    """The URL of a database that sensors can read. Raises ConfigError."""
    found = resolve_db(url)
    if make_url(found).password is not None:
        raise ConfigError(
            "The URL of the database holds a password, which would be stored as it is. Leave it out, and give it to "
            "the scheduler's process: PGPASSWORD, a file .pgpass, or --in secret:NAME for the whole URL."
        )
    return found


def checked_query(query: str) -> str:
    """A statement that reads. Raises ConfigError for anything else; what it hides, the database itself refuses."""
    text = query.strip().removesuffix(";").strip()
    if _READS.match(text) is None:
        raise ConfigError(f"A sensor only reads: write a SELECT, not {text[:60]!r}.")
    return text


def news(url: str, query: str, column: str, since: Any, *, timeout: float = _TIMEOUT) -> News:
    """How many rows of a query have a `column` above `since` (None: all), and the largest value of it.

    The connection can only read. Raises ConfigError for a statement that is wrong or that writes, and StorageError if
    the database cannot be used.
    """
    engine = _open(resolve_db(url), timeout)
    try:
        with engine.connect() as connection:
            _limit(connection, timeout)
            return _read(connection, query, column, since)
    except exc.DBAPIError as error:
        raise _explained(error, engine, query) from error
    finally:
        engine.dispose()


def _open(url: str, timeout: float) -> Engine:
    file = engines.sqlite_file(url)
    if file is None:
        return engines.postgresql(url, read_only=True, timeout=timeout)
    if not file.is_file():
        raise DatabaseMissingError(f"There is no database {file}, which a sensor is to read.")
    return engines.sqlite(file, url, create=False, read_only=True, timeout=timeout)


def _limit(connection: Connection, timeout: float) -> None:
    """Have a statement that takes too long end."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET statement_timeout = {int(timeout * 1000)}")
        return
    import time

    until = time.monotonic() + timeout
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: int(time.monotonic() > until), _STEPS)


def _read(connection: Connection, query: str, column: str, since: Any) -> News:
    # With the name in front: SQLite takes a quoted name that no table has for a text.
    name = f"nbflow_rows.{connection.dialect.identifier_preparer.quote_identifier(column)}"
    # On lines of its own: the query may end with a comment. As a part of another one it cannot be a statement that
    # writes, nor two statements.
    statement = f"SELECT max({name}), count({name}) FROM (\n{query}\n) AS nbflow_rows WHERE "
    mark = "?"
    if connection.dialect.name == "postgresql":
        statement, mark = statement.replace("%", "%%"), "%s"
    condition = f"1 = {mark}" if since is None else f"{name} > {mark}"
    row = connection.exec_driver_sql(statement + condition, (1 if since is None else since,)).one()
    return News(row[0], int(row[1]))


def _explained(error: exc.DBAPIError, engine: Engine, query: str) -> Exception:
    url = engine.url.render_as_string(hide_password=True)
    if isinstance(error, exc.OperationalError) and engine.dialect.name == "postgresql":
        return translate(error, url)
    why = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    return ConfigError(f"{url} cannot answer the sensor's question ({why}): {query[:200]}")


def quoted(table: str) -> str:
    """A query for all rows of a table, which may be written with its schema. Raises ConfigError."""
    parts = table.split(".")
    if not all(parts) or '"' in table or len(parts) > 2:
        raise ConfigError(f"{table!r} is no name of a table; write orders, or schema.orders.")
    return "SELECT * FROM " + ".".join(f'"{part}"' for part in parts)
