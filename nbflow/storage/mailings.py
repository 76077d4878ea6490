"""Statements about mailings: what is to be sent once, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.deployments import MailingRecord
from nbflow.storage.schema import mailings
from nbflow.storage.upserts import storable

_OPEN = ("pending", "sending", "doubtful")


def add(connection: Connection, records: Sequence[MailingRecord]) -> None:
    """Store mailings; those that are there already stay as they are."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = [{name: storable(value) for name, value in record._asdict().items()} for record in records]
    if rows:
        connection.execute(insert(mailings).on_conflict_do_nothing(), rows)


def get(connection: Connection, key: str) -> MailingRecord | None:
    """The mailing of this key."""
    row = connection.execute(select(mailings).where(mailings.c.key == key)).first()
    return MailingRecord._make(row) if row is not None else None


def listed(connection: Connection, *, kind: str | None = None, limit: int | None = None) -> list[MailingRecord]:
    """Mailings, the newest first."""
    statement = select(mailings).order_by(mailings.c.created_at.desc(), mailings.c.key).limit(limit)
    if kind is not None:
        statement = statement.where(mailings.c.kind == kind)
    return [MailingRecord._make(row) for row in connection.execute(statement)]


def troubled(connection: Connection, since: float, until: float) -> list[MailingRecord]:
    """Mailings that were made in a stretch of time and did not arrive, or nobody knows whether they did."""
    bad = mailings.c.state.in_(("failed", "doubtful", "held"))
    between = and_(mailings.c.created_at >= since, mailings.c.created_at < until)
    rows = connection.execute(
        select(mailings).where(and_(bad, between)).order_by(mailings.c.created_at, mailings.c.key)
    )
    return [MailingRecord._make(row) for row in rows]


def count(connection: Connection, prefix: str, since: float) -> int:
    """How many mailings whose key begins with `prefix` were made since a time, and not held back."""
    begins = func.substr(mailings.c.key, 1, len(prefix)) == prefix
    wanted = and_(begins, mailings.c.created_at >= since, mailings.c.state != "held")
    return connection.execute(select(func.count()).where(wanted)).scalar_one()


def take(connection: Connection, key: str, claim: str) -> bool:
    """Make `claim` the one who sends a mailing that waits; whether it is. Only one ever is, unless it is put back."""
    own = and_(mailings.c.state == "sending", mailings.c.error == claim)
    free = or_(mailings.c.state == "pending", own)
    statement = update(mailings).where(and_(mailings.c.key == key, free)).values(state="sending", error=claim)
    return connection.execute(statement).rowcount == 1


def settle(connection: Connection, key: str, claim: str, state: str, **values: object) -> bool:
    """Store what became of a mailing that `claim` is sending; whether it was."""
    return _change(connection, key, and_(mailings.c.state == "sending", mailings.c.error == claim), state, values)


def settle_waiting(connection: Connection, key: str, state: str, **values: object) -> bool:
    """Store what became of a mailing that nobody is sending, and nobody has sent; whether it was so."""
    return _change(connection, key, mailings.c.state == "pending", state, values)


def send_again(connection: Connection, key: str) -> bool:
    """Have a mailing that is settled wait once more; False if it is being sent."""
    again: dict[str, object] = {"attempts": 0, "error": None, "sent_at": None}
    return _change(connection, key, mailings.c.state != "sending", "pending", again)


def _change(connection: Connection, key: str, if_: Any, state: str, values: dict[str, object]) -> bool:
    stored = {name: storable(value) for name, value in values.items()}
    statement = update(mailings).where(and_(mailings.c.key == key, if_)).values(state=state, **stored)
    return connection.execute(statement).rowcount == 1


def forget_before(connection: Connection, time: float) -> int:
    """Remove mailings that were made before a time and are settled; returns how many."""
    old = and_(mailings.c.created_at < time, mailings.c.state.not_in(_OPEN))
    return connection.execute(delete(mailings).where(old)).rowcount
