"""Statements about deployments and their versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from nbflow.model.deployments import DeploymentRecord, DeploymentVersionRecord
from nbflow.model.records import RunRecord
from nbflow.storage import raw
from nbflow.storage.schema import deployment_versions, deployments, runs, trigger_firings, triggers


def get(connection: Connection, name: str, *, lock: bool = False) -> DeploymentRecord | None:
    """The deployment of this name; with `lock` nobody else changes it until the transaction ends."""
    statement = select(deployments).where(deployments.c.name == name)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return DeploymentRecord._make(row) if row is not None else None


def listed(connection: Connection) -> list[DeploymentRecord]:
    """All deployments, by name."""
    return [DeploymentRecord._make(row) for row in connection.execute(select(deployments).order_by(deployments.c.name))]


def version(connection: Connection, deployment: str, number: int | None = None) -> DeploymentVersionRecord | None:
    """A version by its number; None: the one that new runs use."""
    current = "(SELECT version FROM deployments WHERE name = ?)"
    statement = f"SELECT * FROM deployment_versions WHERE deployment = ? AND number = {'?' if number else current}"
    row = raw.one(connection, statement, (deployment, number or deployment)).first()
    return DeploymentVersionRecord._make(row) if row is not None else None


def versions(connection: Connection, deployment: str) -> list[DeploymentVersionRecord]:
    """All versions of a deployment, the oldest first."""
    table = deployment_versions
    rows = connection.execute(select(table).where(table.c.deployment == deployment).order_by(table.c.number))
    return [DeploymentVersionRecord._make(row) for row in rows]


def add_version(connection: Connection, record: DeploymentVersionRecord) -> int:
    """Store a version under the next number of its deployment, which is returned. The deployment has to be locked."""
    table = deployment_versions
    last = connection.execute(select(func.max(table.c.number)).where(table.c.deployment == record.deployment)).scalar()
    number = (last or 0) + 1
    connection.execute(table.insert().values(record._replace(number=number)._asdict()))
    return number


def put(connection: Connection, record: DeploymentRecord) -> None:
    """Store a deployment. Of one that is there the flow and the version change, and nothing else."""
    changed = {"flow": record.flow, "version": record.version, "changed_at": record.changed_at}
    done = connection.execute(update(deployments).where(deployments.c.name == record.name).values(changed))
    if done.rowcount == 0:
        connection.execute(deployments.insert().values(record._asdict()))


def change(connection: Connection, name: str, **values: Any) -> bool:
    """Change columns of a deployment; whether there is one."""
    return connection.execute(update(deployments).where(deployments.c.name == name).values(values)).rowcount > 0


def change_version(connection: Connection, deployment: str, number: int, **values: Any) -> None:
    """Write down what came of a version's check."""
    table = deployment_versions
    where = (table.c.deployment == deployment) & (table.c.number == number)
    connection.execute(update(table).where(where).values(values))


def remove(connection: Connection, name: str) -> bool:
    """Forget a deployment with its versions and triggers; whether there was one. Its runs stay."""
    for table in (deployment_versions, triggers, trigger_firings):
        connection.execute(delete(table).where(table.c.deployment == name))
    return connection.execute(delete(deployments).where(deployments.c.name == name)).rowcount > 0


def runs_of(connection: Connection, name: str, limit: int | None = None) -> list[RunRecord]:
    """Runs that a deployment started, newest first."""
    statement = select(runs).where(runs.c.deployment == name).order_by(runs.c.created_at.desc(), runs.c.id.desc())
    return [RunRecord._make(row) for row in connection.execute(statement.limit(limit))]
