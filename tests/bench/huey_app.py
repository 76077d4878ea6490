"""The same job on Huey (huey.readthedocs.io), for comparison where it is installed."""

from __future__ import annotations

from huey import SqliteHuey

huey = SqliteHuey(filename="huey.db", fsync=True)


@huey.task()
def nothing() -> None:
    """A job that does nothing."""
