"""Declared flows in the database: each change is a new version, all of it or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from nbflow import settings as settings_module
from nbflow.authoring.declarative.pipeline import Pipeline
from nbflow.authoring.declarative.reading import read
from nbflow.engine import stores
from nbflow.engine.versions import version_record
from nbflow.model.errors import FlowNotFoundError, UnpicklableError
from nbflow.model.records import FlowVersionRecord
from nbflow.storage import versions
from nbflow.storage.connection import Connection

_KIND = "pipeline"


def register_task_pipeline(
    flow_name: str,
    pipeline: Mapping[str, Mapping[str, Any]],
    *,
    clear_existing_flow_in_db: bool = True,
    db: str | None = None,
    **sections: Any,
) -> Pipeline:
    """Check a flow that is written as a dict, store it as a version of that name, and return it.

    pipeline: {name: {"function": f, "depends_on": [names], "nested_tasks": {...}}}; a step may have all that it has in
    YAML. A function gets the results of the steps that it depends on by the names of its parameters, or the one
    result there is. clear_existing_flow_in_db: whether the stored flow is replaced, so that tasks which are not listed
    are gone (True, the default), or the listed tasks are put into it. sections: what else a flow has: parameters,
    description, output, schedule, ... Older versions are kept, and runs keep theirs.

    Raises PipelineError, which lists all mistakes, or CycleError; then nothing is stored. Raises UnpicklableError if
    the code of a function cannot be stored.
    """
    database = stores.database(db)
    values = stores.value_store(settings_module.current(), database.url)
    data: dict[str, Any] = {"name": flow_name, **sections, "steps": dict(pipeline)}
    if not clear_existing_flow_in_db:
        with database.read() as connection:
            stored = versions.latest(connection, flow_name, _KIND)
        data = _merged(_loaded(stored, values), data) if stored is not None else data
    flow = Pipeline.of(read(data, f"flow {flow_name!r}"))
    record = version_record(flow.spec, values, time.time())
    if record.code is None:
        values.put(flow.spec, f"the code of flow {flow_name!r}")  # raises what keeps it from being stored
        raise UnpicklableError(f"The code of flow {flow_name!r} cannot be stored.")

    def act(connection: Connection) -> None:
        versions.register(connection, record)

    database.retrying(act)
    return flow


def registered(flow_name: str, *, db: str | None = None) -> Pipeline:
    """The flow that was stored last under a name. Raises FlowNotFoundError if there is none."""
    database = stores.database(db, create=False)
    values = stores.value_store(settings_module.current(), database.url)
    with database.read() as connection:
        found = versions.latest(connection, flow_name, _KIND)
    if found is None:
        raise FlowNotFoundError(
            f"No flow {flow_name!r} is registered in {database.url}. Store one with "
            f"register_task_pipeline({flow_name!r}, ...)."
        )
    return _loaded(found, values)


def history(flow_name: str, *, db: str | None = None) -> list[FlowVersionRecord]:
    """The versions that were stored under a name, the latest first."""
    with stores.database(db, create=False).read() as connection:
        return versions.history(connection, flow_name, _KIND)


def _loaded(record: FlowVersionRecord, values: Any) -> Pipeline:
    spec = values.get(values.unseal_stored(record.code))
    return Pipeline.of(spec.function.definition, source=spec.function.source)


def _merged(old: Pipeline, new: Mapping[str, Any]) -> dict[str, Any]:
    """The stored flow with the new steps and sections in it."""
    before = json.loads(json.dumps(old.definition.data()))
    for name, step in old.definition.steps.items():
        operator = step.operator
        if operator.bound is not None:  # the object itself: its name need not be importable
            setting = str(operator.target_setting)
            whole = {**operator.settings, setting: operator.bound}
            before["steps"][name][operator.kind] = operator.bound if setting == operator.kind else whole
    return {**before, **new, "steps": {**before["steps"], **new["steps"]}}
