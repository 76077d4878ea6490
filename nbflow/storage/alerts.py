"""Statements about alerts, their incidents, and what incidents are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from nbflow.model.deployments import AlertRecord, IncidentRecord
from nbflow.model.jobs import ScheduleRecord
from nbflow.storage import raw
from nbflow.storage.schema import alerts, deployments, incidents, runs, schedules
from nbflow.storage.upserts import storable

_AT_ONCE = 500  # values in one statement


class EndedRun(NamedTuple):
    """What an alert has to know of a run."""

    id: str
    flow: str
    deployment: str | None
    parent: str | None  # the run whose task started it
    state: str
    finished_at: float
    error_type: str | None
    error_message: str | None


class FiredTime(NamedTuple):
    """A logical time of a schedule, and what came of it so far."""

    logical_time: float
    outcome: str  # as in FiringRecord
    run: str | None
    started_at: float | None
    finished_at: float | None
    state: str | None  # of the run, or of the job where there is none


def put(connection: Connection, record: AlertRecord) -> bool:
    """Store an alert, in the place of the one of its name; whether it is a new one."""
    values = {name: storable(value) for name, value in record._asdict().items()}
    changed = {name: value for name, value in values.items() if name not in ("name", "created_at")}
    if connection.execute(update(alerts).where(alerts.c.name == record.name).values(changed)).rowcount == 1:
        return False
    connection.execute(alerts.insert().values(values))
    return True


def listed(connection: Connection) -> list[AlertRecord]:
    """All alerts, by name."""
    return [AlertRecord._make(row) for row in connection.execute(select(alerts).order_by(alerts.c.name))]


def get(connection: Connection, name: str) -> AlertRecord | None:
    """The alert of this name."""
    row = connection.execute(select(alerts).where(alerts.c.name == name)).first()
    return AlertRecord._make(row) if row is not None else None


def remove(connection: Connection, name: str) -> bool:
    """Remove an alert and its incidents; whether there was one."""
    found = connection.execute(delete(alerts).where(alerts.c.name == name)).rowcount == 1
    connection.execute(delete(incidents).where(incidents.c.alert == name))
    return found


# --- incidents ---------------------------------------------------------------------------------------------------


def begin(connection: Connection, record: IncidentRecord) -> bool:
    """Store an incident; False if it is there already."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {name: storable(value) for name, value in record._asdict().items()}
    # RETURNING, since PostgreSQL's driver does not tell how many rows an INSERT wrote.
    statement = insert(incidents).values(values).on_conflict_do_nothing().returning(incidents.c.id)
    return connection.execute(statement).first() is not None


def end(connection: Connection, record: IncidentRecord) -> bool:
    """Store that an incident is over, as `record` tells; False if it was already."""
    wanted = and_(incidents.c.alert == record.alert, incidents.c.id == record.id, incidents.c.ended_at.is_(None))
    values = {"ended_at": record.ended_at, "ended_by": record.ended_by, "details": record.details}
    return connection.execute(update(incidents).where(wanted).values(values)).rowcount == 1


def incident(connection: Connection, alert: str, identity: str) -> IncidentRecord | None:
    """One incident."""
    wanted = and_(incidents.c.alert == alert, incidents.c.id == identity)
    row = connection.execute(select(incidents).where(wanted)).first()
    return IncidentRecord._make(row) if row is not None else None


def latest_incidents(connection: Connection, alert: str) -> list[IncidentRecord]:
    """Of each subject and kind the incidents that are not over, and the last that is."""
    over = select(
        incidents.c.subject, incidents.c.kind, func.max(incidents.c.ended_at).label("at")
    ).where(incidents.c.alert == alert).group_by(incidents.c.subject, incidents.c.kind).subquery()  # fmt: skip
    last = and_(
        over.c.subject == incidents.c.subject, over.c.kind == incidents.c.kind, over.c.at == incidents.c.ended_at
    )
    wanted = incidents.c.ended_at.is_(None) | select(over.c.at).where(last).exists()
    statement = select(incidents).where(and_(incidents.c.alert == alert, wanted)).order_by(incidents.c.began_at)
    return [IncidentRecord._make(row) for row in connection.execute(statement)]


def history(connection: Connection, limit: int) -> list[IncidentRecord]:
    """Incidents of all alerts, the newest first."""
    statement = select(incidents).order_by(incidents.c.began_at.desc(), incidents.c.id).limit(limit)
    return [IncidentRecord._make(row) for row in connection.execute(statement)]


def forget_before(connection: Connection, time: float) -> int:
    """Remove incidents that were over before a time; returns how many."""
    return connection.execute(delete(incidents).where(incidents.c.ended_at < time)).rowcount


# --- what they are made of ---------------------------------------------------------------------------------------


def ended_runs(connection: Connection, since: float, flows: Sequence[str]) -> list[EndedRun]:
    """The runs that failed since a time; and those of the same flows, and of `flows`, that succeeded since.

    Most flows never fail, and of these nothing has to be read. In the order in which they ended.
    """
    bad = _ended(connection, "state IN ('failed', 'timed_out') AND finished_at >= ?", (since,))
    concerned = sorted({*flows, *(run.flow for run in bad)})
    good: list[EndedRun] = []
    for start in range(0, len(concerned), _AT_ONCE):
        part = concerned[start : start + _AT_ONCE]
        condition = f"state = 'succeeded' AND finished_at >= ? AND flow IN ({raw.marks(len(part))})"
        good += _ended(connection, condition, (since, *part))
    return sorted([*bad, *good], key=lambda run: (run.finished_at, run.id))


def ended_runs_of(connection: Connection, deployment: str, since: float) -> list[EndedRun]:
    """The runs of a deployment that succeeded or failed since a time, in the order in which they ended."""
    condition = "deployment = ? AND state IN ('succeeded', 'failed', 'timed_out') AND finished_at >= ?"
    return _ended(connection, condition, (deployment, since))


def _ended(connection: Connection, condition: str, values: tuple[str | float, ...]) -> list[EndedRun]:
    columns = "id, flow, deployment, parent_run, state, finished_at, error_type, error_message"
    statement = f"SELECT {columns} FROM runs WHERE {condition} ORDER BY finished_at, id"
    return [EndedRun._make(row) for row in raw.one(connection, statement, values)]


def watched_schedules(connection: Connection, flow: str | None, deployment: str | None) -> list[ScheduleRecord]:
    """The schedules of a deployment, or of all deployments of a flow, or that call the flow itself; None: of any."""
    statement = select(schedules).order_by(schedules.c.name)
    if deployment is not None:
        statement = statement.where(schedules.c.name == deployment)
    elif flow is not None:
        named = select(deployments.c.name).where(deployments.c.flow == flow)
        statement = statement.where(schedules.c.name.in_(named) | (schedules.c.target == flow))
    return [ScheduleRecord._make(row) for row in connection.execute(statement)]


def fired_times(connection: Connection, schedule: str, since: float, until: float) -> list[FiredTime]:
    """The times of a schedule after `since`, up to `until`, and what came of each; the earliest first."""
    statement = (
        "SELECT f.logical_time, f.outcome, r.id, coalesce(r.started_at, j.started_at), "
        "CASE WHEN r.id IS NULL THEN j.finished_at ELSE r.finished_at END, coalesce(r.state, j.state) "
        "FROM firings AS f LEFT JOIN jobs AS j ON j.id = f.job "
        "LEFT JOIN runs AS r ON r.deployment = f.schedule AND r.logical_time = f.logical_time "
        "WHERE f.schedule = ? AND f.logical_time > ? AND f.logical_time <= ? ORDER BY f.logical_time, r.created_at"
    )
    return [FiredTime._make(row) for row in raw.one(connection, statement, (schedule, since, until))]


def names(connection: Connection, what: str) -> Sequence[str]:
    """The names of "flow" (that ran or is deployed) or "deployment"."""
    own = select(deployments.c.flow if what == "flow" else deployments.c.name)
    found = set(connection.execute(own).scalars())
    if what == "flow":
        found |= set(connection.execute(select(runs.c.flow).distinct()).scalars())
    return sorted(found)
