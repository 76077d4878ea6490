"""Runs in a process of their own: the code of their version comes first there, whatever a worker has imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nbflow import settings as settings_module
from nbflow.deploying import snapshot, versions
from nbflow.deploying.environments.capturing import Captured
from nbflow.deploying.environments.making import make
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

    Raises WorkerLostError if the process ended before its run, EnvironmentFailedError if that cannot be made.
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
    process = _start(order.version, variables)
    _, told = process.communicate(text)
    if process.returncode != 0 and not _ended(order.run, database):
        raise WorkerLostError(
            f"The process of run {order.run} ended before its run (exit status {process.returncode}): "
            f"{told[-_TOLD:].strip() or 'it said nothing'}"
        )


def _start(version: DeploymentVersionRecord, variables: dict[str, str]) -> subprocess.Popen[Any]:
    """The process, in the version's environment if it has one of its own. Raises EnvironmentFailedError."""
    options: dict[str, Any] = {
        "cwd": version.root, "env": variables, "text": True, "stdin": subprocess.PIPE, "stderr": subprocess.PIPE,
        "stdout": sys.stdout.fileno() if _is_file(sys.stdout) else None,
    }  # fmt: skip
    chosen = json.loads(version.options)
    if chosen["isolated"]:
        captured = Captured.from_json(version.environment)
        return make(_requirements(captured, chosen["requirements"]), captured.python).start(
            "-P", "-c", _CODE, **options
        )
    return subprocess.Popen([sys.executable, "-P", "-c", _CODE], **options)


def _requirements(captured: Captured, asked: Sequence[str]) -> list[str]:
    """What the environment of a version is made of: what was asked for counts more than what was there."""
    names = {canonicalize_name(Requirement(each).name) for each in asked}
    kept = (each for each in captured.packages if each.name != "nbflow" and canonicalize_name(each.name) not in names)
    return [*(each.requirement for each in kept), *asked]


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
