"""Runs in a process of their own: the code of their version comes first there, whatever a worker has imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow import settings as settings_module
from nbflow.deploying import snapshot, versions
from nbflow.model.errors import NbflowError, WorkerLostError
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.engine.session import Origin
    from nbflow.model.deployments import DeploymentVersionRecord
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_TOLD = 2_000  # characters of what a process said last that go into an error
_CODE = "from nbflow.deploying.launch import main; main()"


class Order(NamedTuple):
    """What a process of its own is to run."""

    run: str
    version: DeploymentVersionRecord
    origin: Origin | None  # None: a check
    parameters: Mapping[str, Any] | None  # None: the run is there, and goes on
    tags: tuple[str, ...] = ()  # beside those of the version


def run(order: Order, database: Database, values: ValueStore) -> None:
    """Run a version in a process of its own, and return when the run has ended, however.

    Raises WorkerLostError if the process ended before its run.
    """
    settings = settings_module.current()
    folder = snapshot.unpacked(versions.files_of(order.version, values), settings.home)
    options = json.loads(order.version.options)
    origin = order.origin
    text = json.dumps(
        {
            "run": order.run,
            "flow_version": order.version.flow_version,
            "options": {**options, "tags": [*options["tags"], *order.tags]},
            "parameters": order.parameters,
            "origin": [origin.deployment, origin.version, origin.logical_time] if origin is not None else None,
        }
    )
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "NBFLOW_DB": database.full_url,
        "NBFLOW_HOME": str(settings.home),
        "NBFLOW_ARTIFACTS": settings.artifacts_of(database.url),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CODE], input=text, cwd=order.version.root, env=variables, text=True,
        stdout=sys.stdout.fileno() if _is_file(sys.stdout) else None, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    if done.returncode != 0 and not _ended(order.run, database):
        raise WorkerLostError(
            f"The process of run {order.run} ended before its run (exit status {done.returncode}): "
            f"{done.stderr[-_TOLD:].strip() or 'it said nothing'}"
        )


def _is_file(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _ended(run: str, database: Database) -> bool:
    from nbflow.storage import runs

    try:
        record = database.retrying(lambda connection: runs.get(connection, run), write=False)
    except NbflowError:
        return False
    return State(record.state).finished
