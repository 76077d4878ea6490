"""Steps that ask or change a database with SQL. References in a statement become bound parameters, never its text."""

from __future__ import annotations

from typing import Any

from nbflow.authoring.declarative.operators.base import Lookup, Operator, OperatorError
from nbflow.authoring.declarative.references import Reference, fill, replace
from nbflow.model.errors import StorageError


class Sql(Operator, kind="sql", main="statement"):
    """One statement, or several that succeed or fail as a whole; the value is what the last one gives.

    Settings: url (of SQLAlchemy's form: sqlite:///shop.db, postgresql+psycopg://...), statement (or a list), parameters
    ({name: value} for :name), and fetch: "all" (a list of dicts, the default), "one", "value", "frame" (of pandas) or
    "none". Without rows the value is how many rows were changed.
    """

    def fill(self, lookup: Lookup) -> dict[str, Any]:
        """References in statements become parameters, others are filled in."""
        rest: dict[str, Any] = fill({name: each for name, each in self.settings.items() if name != "statement"}, lookup)
        names: dict[Reference, str] = {}
        given = self.settings["statement"]

        def parameter(reference: Reference) -> str:
            return f":{names.setdefault(reference, f'nbflow_{len(names) + 1}')}"

        statements = [replace(each, parameter) for each in ([given] if isinstance(given, str) else given)]
        values = {name: lookup(reference) for reference, name in names.items()}
        return {**rest, "statement": statements, "parameters": {**rest.get("parameters", {}), **values}}

    def run(self, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Execute it. Raises OperatorError if the database refuses."""
        from nbflow.storage.foreign import execute

        try:
            rows, changed = execute(settings["url"], settings["statement"], {**settings["parameters"], **inputs})
        except StorageError as error:
            raise OperatorError(str(error)) from error
        if rows is None:
            return changed
        return _value(rows, settings.get("fetch", "all"))


def _value(rows: list[dict[str, Any]], form: str) -> Any:
    if form == "none":
        return None
    if form == "all":
        return rows
    if form == "frame":
        import pandas

        return pandas.DataFrame(rows)
    if not rows:
        return None
    return rows[0] if form == "one" else next(iter(rows[0].values()), None)
