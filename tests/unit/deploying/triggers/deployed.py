"""Deployments for tests of triggers, as rows: their runs are put on the queue, and nobody works there."""

from __future__ import annotations

import json

from nbflow.model.deployments import DeploymentRecord, DeploymentVersionRecord
from nbflow.model.records import FlowVersionRecord
from nbflow.storage import jobs
from nbflow.storage.schema import deployment_versions, deployments, flow_versions

NOW = 2_000_000_000.0


def parameter(name, annotation="", default="None", *, required=False):
    return {"name": name, "annotation": annotation, "default": default, "required": required, "comment": ""}


def deploy(database, name, *parameters, flow=None, given=None):
    """Store a deployment whose flow has these parameters."""
    flow_version = f"version of {name}"
    filled = dict.fromkeys(DeploymentVersionRecord._fields, "{}") | {
        "deployment": name, "number": 1, "flow_version": flow_version, "parameters": json.dumps(given or {}),
        "verdict": "none", "created_at": NOW, "snapshot": b"", "options": '{"queue": null}',
    }  # fmt: skip
    version = FlowVersionRecord(
        flow_version, flow or name, "function", None, None, "c", json.dumps(list(parameters)), None, NOW
    )
    with database.write() as connection:
        connection.execute(flow_versions.insert().values(version._asdict()))
        connection.execute(deployment_versions.insert().values(filled))
        record = DeploymentRecord(name, flow or name, 1, NOW, NOW)
        connection.execute(deployments.insert().values(record._asdict()))


def started(database):
    """[(trigger, parameters)] of the starts that there are jobs of, in order."""
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT deployment, parameters, job, trigger_firings.key FROM trigger_firings ORDER BY at, key"
        ).all()
        there = jobs.states(connection, [row[2] for row in rows])
    return [(row[0], json.loads(row[1])) for row in rows if row[2] in there]


def job_count(database):
    with database.read() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar()
