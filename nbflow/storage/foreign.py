"""Statements of users on databases of their own, which have nothing to do with nbflow's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import create_engine, exc, make_url, text
from sqlalchemy.pool import NullPool

from nbflow.model.errors import StorageError


def execute(
    url: str, statements: Sequence[str], parameters: Mapping[str, Any]
) -> tuple[list[dict[str, Any]] | None, int]:
    """Execute statements with `:name` parameters in one transaction.

    Returns the rows of the last one as dicts (None if it gives no rows), and how many rows it changed (-1 if unknown).
    Raises StorageError, in which the URL has no password.
    """
    try:
        shown = make_url(url).render_as_string(hide_password=True)
        engine = create_engine(url, poolclass=NullPool)  # a step is over soon, and so is its connection
    except (exc.ArgumentError, exc.NoSuchModuleError) as error:
        raise StorageError(f"{_without_password(url)!r} is no URL of a database: {error}") from error
    except ModuleNotFoundError as error:
        raise StorageError(f"{shown} needs the package {error.name}; install it.") from error
    rows: list[dict[str, Any]] | None = None
    changed = -1
    try:
        with engine.begin() as connection:
            for statement in statements:
                asked = text(statement)
                known = {name: value for name, value in parameters.items() if name in asked._bindparams}
                result = connection.execute(asked, known)
                rows = [dict(row) for row in result.mappings()] if result.returns_rows else None
                changed = result.rowcount
    except exc.SQLAlchemyError as error:
        told = getattr(error, "orig", None) or error
        raise StorageError(f"{shown} refused: {told}") from error
    finally:
        engine.dispose()
    return rows, changed


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}…" if separator and "@" in rest else url
