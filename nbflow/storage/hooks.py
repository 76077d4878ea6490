"""What is to happen when a transaction of the user's own is committed."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, event


def after_commit(connection: Connection, action: Callable[[], None]) -> None:
    """Run `action` once, after the transaction that `connection` is in was committed."""

    def committed(_: Connection) -> None:
        event.remove(connection.engine, "commit", committed)
        # The event comes just before the commit itself; whoever is told too early looks again soon.
        action()

    event.listen(connection.engine, "commit", committed)
