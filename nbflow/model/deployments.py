"""What is stored of deployments: flows that are scheduled or triggered. As in `nbflow.model.records`, row by row.

Times are seconds since 1970 in UTC; None means that it has not happened, or does not apply.
"""

from __future__ import annotations

from typing import NamedTuple


class DeploymentRecord(NamedTuple):
    """A flow that is scheduled or triggered. Its schedule, if it has one, is that of the same name."""

    name: str
    flow: str
    version: int  # number of the version that new runs use
    created_at: float
    changed_at: float
    paused: int = 0  # 1: neither its schedule nor a trigger starts it
    keep: str | None = None  # JSON {"runs": number, "days": number}: which of its runs are kept; None: all


class DeploymentVersionRecord(NamedTuple):
    """One version of a deployment: all that its runs need. It is never changed, but for what came of its check."""

    deployment: str
    number: int  # from 1
    digest: str  # of what it runs: flow version, files, parameters, environment, options
    flow_version: str  # FlowVersionRecord.id
    files: str  # JSON {path: digest} of the user's code, the paths as they are imported
    snapshot: bytes  # signed stored value {path: content} of these files
    parameters: str  # JSON {name: value}: what its runs are given
    environment: str  # JSON: Python, packages with versions, and whether its runs have an environment of their own
    options: str  # JSON: executor, workers, queue and the like
    root: str  # folder that its runs work in
    verdict: str  # of its check: "passed", "failed", "overridden" or "none"
    report: str | None  # JSON: what the check found, step by step
    reason: str | None  # why it may be scheduled although its check did not pass
    note: str | None  # what its author says of it
    created_at: float


class TriggerRecord(NamedTuple):
    """What starts a deployment from outside, or who may tell of it."""

    deployment: str  # "" for a sender
    name: str
    kind: str  # "event", "flow", "file", "table" or "webhook"; "sender": who may tell an event over HTTP
    topic: str  # the event, or the flow or deployment whose runs it follows; "" for the other kinds
    options: str  # JSON: what it listens to, and what it gives to the runs
    seen: str | None  # JSON: what a sensor saw when it last looked
    next_at: float | None  # when a sensor is to look next; None: it is none
    error: str | None  # what kept it from looking, or from starting, the last time
    revision: int  # counts its changes: what a sensor saw counts only if it knew of the latest one
    created_at: float


class TriggerFiringRecord(NamedTuple):
    """One event that reached a deployment. There is one at most for each key."""

    deployment: str
    key: str  # with the source of the event in front, such as "event/sales/42"
    trigger: str
    job: str  # that is its run
    parameters: str  # JSON, as they were checked
    waits: int  # 1: its start may not have begun yet
    at: float


class MailingRecord(NamedTuple):
    """A report or an alert that is to be sent once."""

    key: str  # of the report and its period, or of the incident
    kind: str  # "report" or "alert"
    state: str  # "pending", "sending", "sent", "failed", "doubtful" (see nbflow.deploying.reports.outbox) or "held"
    recipients: str  # JSON list of addresses or URLs
    subject: str
    message_id: str
    attempts: int
    created_at: float
    sent_at: float | None
    error: str | None  # while it is "sending": JSON, who sends it


class AlertRecord(NamedTuple):
    """Who is told when something fails or is late."""

    name: str
    flow: str | None  # only of this flow
    deployment: str | None  # only of this deployment; if both are None: of any flow
    options: str  # JSON: who is told, and of what
    created_at: float


class IncidentRecord(NamedTuple):
    """Something that went wrong: from its first failure until the next success."""

    alert: str
    id: str  # what it began with: "failed RUN TIME" or "late SCHEDULE TIME started"
    subject: str  # the flow or deployment
    kind: str  # "failed" or "late"
    began_at: float
    run: str | None  # that it began with
    details: str  # JSON: what is told of it
    ended_at: float | None
    ended_by: str | None  # the run that succeeded
