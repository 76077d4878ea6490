"""What is to happen when a transaction of the user's own is committed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event

_WAITING, _COMMITTED = "nbflow_waiting", "nbflow_committed"  # actions, in what SQLAlchemy keeps beside a connection
_LOCK = threading.Lock()
_heard: WeakSet[Engine] = WeakSet()


def after_commit(connection: Connection, action: Callable[[], None]) -> None:
    """Run `action` once after the transaction that `connection` is in was committed.

    SQLAlchemy tells of a commit just before it. So the action waits until the connection is given back or its next
    transaction begins, whichever comes first.
    """
    with _LOCK:
        if connection.engine not in _heard:
            _heard.add(connection.engine)
            event.listen(connection.engine, "commit", _on_commit)
            event.listen(connection.engine, "rollback", _on_rollback)
            event.listen(connection.engine, "begin", _on_begin)
            event.listen(connection.engine.pool, "checkin", _on_checkin)
    connection.info.setdefault(_WAITING, []).append(action)


def _on_commit(connection: Connection) -> None:
    actions = connection.info.pop(_WAITING, [])
    if actions:
        connection.info.setdefault(_COMMITTED, []).extend(actions)


def _on_rollback(connection: Connection) -> None:
    connection.info.pop(_WAITING, None)


def _on_begin(connection: Connection) -> None:
    _run(connection.info)


def _on_checkin(_connection: Any, record: Any) -> None:
    record.info.pop(_WAITING, None)
    _run(record.info)


def _run(info: dict[Any, Any]) -> None:
    for action in info.pop(_COMMITTED, []):
        action()
