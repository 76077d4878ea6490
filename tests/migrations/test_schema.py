from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, inspect

from nbflow.storage import migrations, schema
from nbflow.storage.database import open_database


def _tables(engine: Engine) -> dict[str, Any]:
    found = inspect(engine)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            sorted((index["name"], tuple(index["column_names"])) for index in found.get_indexes(name)),
        )
        for name in sorted(found.get_table_names())
    }


def test_the_schema_at_once_equals_the_schema_by_migrations(empty_db_url: str, request: Any) -> None:
    at_once = open_database(_driver(empty_db_url))
    tables = _tables(at_once.engine)
    schema.metadata.drop_all(at_once.engine)
    engine = create_engine(_driver(empty_db_url))
    with engine.begin() as connection:
        migrations.upgrade(connection)
    assert _tables(engine) == tables
    with engine.connect() as connection:
        assert connection.execute(schema.version_table.select()).scalar() == schema.VERSION
    engine.dispose()
    at_once.close()


def _driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")
