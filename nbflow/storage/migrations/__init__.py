"""Steps from each version of the schema to the next, run by Alembic when an older database is opened.

What the newest schema looks like is written in `nbflow.storage.schema`; a step here is never edited after a release.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection


def upgrade(connection: Connection, target: str = "head") -> None:
    """Bring the tables that `connection` sees to version `target`."""
    from alembic import command  # takes 0.25 s to import
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
