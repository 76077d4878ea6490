"""What an incident is: it begins with the first failure, or the first time that is late, and ends with a success.

Pure: what happened and what is known goes in, what is new comes out. Told again what it was told before, it is silent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from nbflow.model.deployments import IncidentRecord
from nbflow.storage.alerts import EndedRun, FiredTime

_LONGEST_ID = 255  # characters, as the column of the database


class Happened(NamedTuple):
    """Something that begins an incident, or ends one."""

    at: float
    subject: str  # flow or deployment
    kind: str  # of incident: "failed" or "late"
    good: bool
    id: str  # of the incident that begins with it
    run: str | None
    details: dict[str, Any]


class Change(NamedTuple):
    """An incident that has changed."""

    incident: IncidentRecord
    moment: str  # "began", "ended", or "passed": both, before anybody looked


class Known:
    """The incidents of an alert that are on record."""

    def __init__(self, alert: str, created_at: float, records: Iterable[IncidentRecord]) -> None:
        self.alert = alert
        self._created_at = created_at
        self._over: dict[tuple[str, str], float] = {}
        self.open: dict[tuple[str, str], IncidentRecord] = {}
        for record in records:
            key = record.subject, record.kind
            if record.ended_at is None:
                self.open[key] = record
            else:
                self._over[key] = max(record.ended_at, self._over.get(key, 0.0))

    def since(self, subject: str, kind: str) -> float:
        """What happened up to then has been dealt with."""
        return max(self._created_at, self._over.get((subject, kind), 0.0))

    def changes(self, happened: Iterable[Happened]) -> list[Change]:
        """What becomes of the incidents, given all that has happened since those began that are open."""
        begun: dict[str, Change] = {}
        counts: dict[str, int] = {}
        for each in sorted(happened, key=lambda each: (each.at, each.id)):
            key = each.subject, each.kind
            incident = self.open.get(key)
            if incident is not None and each.at >= incident.began_at:
                counts[incident.id] = counts.get(incident.id, 0) + (not each.good)
                if each.good:
                    ended = _ended(incident, each, counts[incident.id])
                    moment = "passed" if incident.id in begun else "ended"
                    begun[incident.id] = Change(ended, moment)
                    self._over[key] = each.at
                    del self.open[key]
            elif incident is None and not each.good and each.at > self.since(*key):
                incident = self.open[key] = IncidentRecord(
                    self.alert, each.id[:_LONGEST_ID], each.subject, each.kind, each.at, each.run,
                    json.dumps(each.details), None, None,
                )  # fmt: skip
                counts[incident.id] = 1
                begun[incident.id] = Change(incident, "began")
        return list(begun.values())


def _ended(incident: IncidentRecord, by: Happened, failures: int) -> IncidentRecord:
    details = {**json.loads(incident.details), "failures": max(1, failures)}
    return incident._replace(ended_at=by.at, ended_by=by.run, details=json.dumps(details))


def of_runs(runs: Iterable[EndedRun], deployment: str | None) -> list[Happened]:
    """What runs mean to an alert; its subject is the deployment if it is for one, else the flow of each run."""
    return [
        Happened(
            at=run.finished_at,
            subject=deployment or run.flow,
            kind="failed",
            good=run.state == "succeeded",
            id=f"failed {run.id} {run.finished_at:.0f}",  # a run that is resumed may fail again
            run=run.id,
            details={"state": run.state, "error_type": run.error_type, "error": run.error_message},
        )
        for run in runs
    ]


class Limits(NamedTuple):
    """How late something may be, in seconds after its time; None: any."""

    start: float | None
    finish: float | None

    @property
    def longest(self) -> float:
        """The longer of both."""
        return max(self.start or 0.0, self.finish or 0.0)


def of_times(
    schedule: str, times: Sequence[FiredTime], limits: Limits, now: float, *, due: float | None = None
) -> list[Happened]:
    """What times of a schedule mean, up to now. `due`: one that should have been dealt with, and was not."""
    rows = [each for each in times if each.outcome != "skipped"]  # for an earlier one that still runs, as was asked
    if due is not None:
        rows.append(FiredTime(due, "waiting", None, None, None, None))
    found = []
    for row in rows:
        done = row.finished_at if row.state is not None and row.finished_at is not None else None
        for what, limit, reached in (("started", limits.start, row.started_at), ("finished", limits.finish, done)):
            if limit is None:
                continue
            deadline = row.logical_time + limit
            if deadline <= now and (reached is None or reached > deadline):
                details = {"due": row.logical_time, "what": what, "limit": limit, "outcome": row.outcome}
                name = f"late {schedule} {row.logical_time:.0f} {what}"
                found.append(Happened(deadline, schedule, "late", good=False, id=name, run=row.run, details=details))
        if row.state == "succeeded" and done is not None:
            found.append(Happened(done, schedule, "late", good=True, id="", run=row.run, details={}))
    return found
