"""What the process of a run of its own does: `apart` starts it, and tells it on standard input what to run."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from nbflow import settings as settings_module
from nbflow.deploying import starting, versions
from nbflow.engine import new_runs, session, stores
from nbflow.engine.session import Origin, RunOptions
from nbflow.running import surroundings

_QUEUE = "queue"


def main() -> None:
    """Run what standard input says."""
    surroundings.die_with(os.getppid())
    order = json.load(sys.stdin)
    origin = Origin(*order["origin"]) if order["origin"] is not None else None
    logical = origin.logical_time if origin is not None else None
    options = order["options"]
    chosen = options["executor"] if options["executor"] != _QUEUE else None
    if order["parameters"] is None or new_runs.exists(order["run"], None):
        live, args, kwargs = session.resume(order["run"], RunOptions(echo=False))
        live.execute(args, kwargs)
        return
    spec = _spec(order["flow_version"])
    meant = datetime.fromtimestamp(logical, UTC) if logical is not None else None
    parameters: dict[str, Any] = starting.with_time(spec, order["parameters"], meant)
    settings = settings_module.current()
    executor = chosen or spec.executor or (settings.executor if settings.executor != _QUEUE else "processes")
    run_options = RunOptions(
        id=order["run"], executor=executor, workers=options["workers"], tags=tuple(options["tags"]), echo=False,
        origin=origin,
    )  # fmt: skip
    session.begin(spec, (), parameters, run_options).execute((), parameters)


def _spec(flow_version: str) -> Any:
    from nbflow.storage import versions as flow_versions

    database = stores.database(None, create=False)
    values = stores.value_store(settings_module.current(), database.url)
    found = database.retrying(lambda connection: flow_versions.get(connection, flow_version), write=False)
    assert found is not None  # its deployment's version names it
    return versions.stored_spec(found, values)
