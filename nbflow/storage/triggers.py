"""Statements about triggers and what they fired, and about the ends of runs that others follow.

Whoever starts a deployment locks its row first, and there can be one firing for each of its keys: so no event starts it
twice, whoever tells of it at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from nbflow.model.deployments import DeploymentRecord, TriggerFiringRecord, TriggerRecord
from nbflow.storage import raw
from nbflow.storage.schema import deployment_versions, deployments, flow_versions, trigger_firings, triggers
from nbflow.storage.upserts import storable

_AT_ONCE = 500  # values in one statement
_LOOKS = "AND NOT EXISTS (SELECT 1 FROM deployments AS d WHERE d.name = triggers.deployment AND d.paused = 1)"


class Declared(NamedTuple):
    """The parameters of a deployment, as its current version has them."""

    parameters: str  # FlowVersionRecord.parameters
    given: str  # DeploymentVersionRecord.parameters


class RunEnd(NamedTuple):
    """A run that has ended, as far as those who follow it want to know."""

    id: str
    flow: str
    state: str
    deployment: str | None
    logical_time: float | None
    finished_at: float


# --- deployments -----------------------------------------------------------------------------------------------------


def lock(connection: Connection, names: Sequence[str]) -> dict[str, DeploymentRecord]:
    """Some deployments by name; nobody else starts or changes them until the transaction ends."""
    found: dict[str, DeploymentRecord] = {}
    for part in _parts(sorted(set(names))):
        statement = select(deployments).where(deployments.c.name.in_(part)).order_by(deployments.c.name)
        rows = connection.execute(statement.with_for_update())
        found.update({row.name: DeploymentRecord._make(row) for row in rows})
    return found


def declared(connection: Connection, deployment: DeploymentRecord) -> Declared | None:
    """The parameters of a deployment's current version; None if that is not there."""
    versions = deployment_versions
    statement = (
        select(flow_versions.c.parameters, versions.c.parameters)
        .join(flow_versions, flow_versions.c.id == versions.c.flow_version)
        .where(versions.c.deployment == deployment.name, versions.c.number == deployment.version)
    )
    row = connection.execute(statement).first()
    return Declared(*row) if row is not None else None


# --- triggers --------------------------------------------------------------------------------------------------------


def get(connection: Connection, deployment: str, name: str, *, lock: bool = False) -> TriggerRecord | None:
    """A trigger; with `lock` nobody else changes it until the transaction ends."""
    statement = select(triggers).where(triggers.c.deployment == deployment, triggers.c.name == name)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return TriggerRecord._make(row) if row is not None else None


def listed(connection: Connection, deployment: str | None = None) -> list[TriggerRecord]:
    """All triggers, or those of a deployment."""
    statement = select(triggers).order_by(triggers.c.deployment, triggers.c.name)
    if deployment is not None:
        statement = statement.where(triggers.c.deployment == deployment)
    return [TriggerRecord._make(row) for row in connection.execute(statement)]


def of_kind(connection: Connection, kind: str, topics: Sequence[str] | None = None) -> list[TriggerRecord]:
    """Triggers of a kind, or those of them that listen to some topics; by deployment and name."""
    statement = select(triggers).where(triggers.c.kind == kind).order_by(triggers.c.deployment, triggers.c.name)
    if topics is not None:
        statement = statement.where(triggers.c.topic.in_(topics))
    return [TriggerRecord._make(row) for row in connection.execute(statement)]


def add(connection: Connection, record: TriggerRecord) -> bool:
    """Store a trigger, unless its deployment has one of this name; whether it did."""
    if get(connection, record.deployment, record.name) is not None:
        return False
    connection.execute(insert(triggers).values({name: storable(value) for name, value in record._asdict().items()}))
    return True


def change(connection: Connection, record: TriggerRecord, **values: Any) -> bool:
    """Change columns of a trigger, if it is still of this revision; whether it did."""
    mine = (triggers.c.deployment == record.deployment) & (triggers.c.name == record.name)
    statement = update(triggers).where(mine, triggers.c.revision == record.revision)
    values = {column: storable(value) for column, value in values.items()}
    return connection.execute(statement.values(**values, revision=triggers.c.revision + 1)).rowcount == 1


def remove(connection: Connection, deployment: str, name: str) -> bool:
    """Remove a trigger; whether there was one. What it fired stays on record, so that nothing of it fires again."""
    mine = (triggers.c.deployment == deployment) & (triggers.c.name == name)
    return connection.execute(delete(triggers).where(mine)).rowcount == 1


def due(connection: Connection, now: float, most: int) -> list[TriggerRecord]:
    """Sensors that are to look, the longest overdue first; those of paused deployments are not."""
    statement = f"SELECT * FROM triggers WHERE next_at IS NOT NULL AND next_at <= ? {_LOOKS} ORDER BY next_at LIMIT ?"
    return [TriggerRecord._make(row) for row in raw.one(connection, statement, (now, most))]


def next_look(connection: Connection) -> float | None:
    """When the next of all sensors is to look."""
    found = raw.one(connection, f"SELECT min(next_at) FROM triggers WHERE next_at IS NOT NULL {_LOOKS}").scalar()
    return float(found) if found is not None else None


# --- what they fired -------------------------------------------------------------------------------------------------


def fired(connection: Connection, deployment: str, key: str) -> TriggerFiringRecord | None:
    """What an event with this key started."""
    row = raw.one(connection, "SELECT * FROM trigger_firings WHERE deployment = ? AND key = ?", (deployment, key))
    return TriggerFiringRecord._make(row[0]) if row else None


def record(connection: Connection, firing: TriggerFiringRecord) -> None:
    """Store a firing. Fails, and the transaction with it, if there is one of its key already."""
    names = ", ".join(f'"{name}"' for name in TriggerFiringRecord._fields)  # "trigger" is a word of SQL
    values = tuple([storable(value) for value in firing])
    raw.one(connection, f"INSERT INTO trigger_firings ({names}) VALUES ({raw.marks(len(values))})", values)


def of_job(connection: Connection, job: str) -> TriggerFiringRecord | None:
    """The event that started a job; the first, if others were joined to it."""
    table = trigger_firings
    row = connection.execute(select(table).where(table.c.job == job).order_by(table.c.at, table.c.key).limit(1)).first()
    return TriggerFiringRecord._make(row) if row is not None else None


def waiting(connection: Connection, deployment: str, most: int) -> int:
    """How many starts of a deployment have not begun; exact where it is `most` or more. The deployment is locked.

    Rows are asked after only once so many wait that it matters, and each that has begun is never asked after again.
    """
    statement = "SELECT count(*) FROM trigger_firings WHERE deployment = ? AND waits = 1"
    count = int(raw.one(connection, statement, (deployment,)).scalar())
    if count < most:
        return count
    raw.one(
        connection,
        "UPDATE trigger_firings SET waits = 0 WHERE deployment = ? AND waits = 1 AND NOT EXISTS "
        "(SELECT 1 FROM jobs WHERE jobs.id = trigger_firings.job AND jobs.state IN ('pending', 'ready'))",
        (deployment,),
    )
    return int(raw.one(connection, statement, (deployment,)).scalar())


def waiting_with(connection: Connection, deployment: str, parameters: str) -> str | None:
    """The job of a start of a deployment with these parameters that surely begins later than this transaction ends."""
    rows = raw.one(
        connection,
        "SELECT jobs.id FROM jobs WHERE jobs.state IN ('pending', 'ready') AND jobs.id IN "
        "(SELECT job FROM trigger_firings WHERE deployment = ? AND waits = 1 AND parameters = ?) "
        f"ORDER BY jobs.id LIMIT 1{raw.for_update(connection, skip_locked=True)}",
        (deployment, storable(parameters)),
    )
    return rows[0][0] if rows else None


def history(
    connection: Connection, deployment: str | None, limit: int, trigger: str | None = None
) -> list[TriggerFiringRecord]:
    """What was fired, the latest first."""
    table = trigger_firings
    statement = select(table).order_by(table.c.at.desc(), table.c.key).limit(limit)
    if deployment is not None:
        statement = statement.where(table.c.deployment == deployment)
    if trigger is not None:
        statement = statement.where(table.c.trigger == trigger)
    return [TriggerFiringRecord._make(row) for row in connection.execute(statement)]


def forget_before(connection: Connection, time: float, most: int) -> int:
    """Remove up to `most` firings from before a time; returns how many."""
    table = trigger_firings
    statement = select(table.c.deployment, table.c.key).where(table.c.at < time).order_by(table.c.at).limit(most)
    rows = [(row[0], row[1]) for row in connection.execute(statement)]
    raw.many(connection, "DELETE FROM trigger_firings WHERE deployment = ? AND key = ?", rows)
    return len(rows)


# --- ends of runs ----------------------------------------------------------------------------------------------------


def untold(connection: Connection, since: float, after: tuple[float, str], most: int) -> list[RunEnd]:
    """Runs that ended at `since` or later and that nobody was told of, in order; nobody else deals with them meanwhile.

    `after`: (time of its end, id) of the run that they come behind.
    """
    statement = (
        f"SELECT {', '.join(RunEnd._fields)} FROM runs WHERE told IS NULL AND finished_at IS NOT NULL "
        "AND finished_at >= ? AND (finished_at > ? OR (finished_at = ? AND id > ?)) "
        f"ORDER BY finished_at, id LIMIT ?{raw.for_update(connection, skip_locked=True)}"
    )
    values = (max(since, after[0]), after[0], after[0], after[1], most)
    return [RunEnd._make(row) for row in raw.one(connection, statement, values)]


def any_untold(connection: Connection) -> float | None:
    """Since when the oldest trigger follows runs, if one has ended since that nobody was told of; else None."""
    since = raw.one(connection, "SELECT min(created_at) FROM triggers WHERE kind = 'flow'").scalar()
    if since is None:
        return None
    statement = "SELECT 1 FROM runs WHERE told IS NULL AND finished_at IS NOT NULL AND finished_at >= ? LIMIT 1"
    return float(since) if raw.one(connection, statement, (since,)) else None


def tell(connection: Connection, runs: Sequence[str], now: float) -> None:
    """Note that those who follow some runs were told of their ends."""
    raw.many(connection, "UPDATE runs SET told = ? WHERE id = ?", [(now, run) for run in runs])


def _parts(rows: Sequence[Any]) -> Sequence[Sequence[Any]]:
    return [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
