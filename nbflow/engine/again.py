"""A new run of the flow of another one, with the arguments of that one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbflow import settings
from nbflow.engine import loader, session, stores
from nbflow.model.errors import FlowNotFoundError, RunFailedError

if TYPE_CHECKING:
    from nbflow.engine.session import RunOptions, Session
    from nbflow.model.records import RunRecord


def begin(record: RunRecord, options: RunOptions) -> tuple[Session, tuple[Any, ...], dict[str, Any]]:
    """The session of a new run, and the arguments to execute it with. It has the tags of the other one as well.

    Raises FlowNotFoundError if its code is lost, and RunFailedError if its arguments could not be stored.
    """
    from nbflow.storage import versions

    db = stores.database(options.db, create=False)
    values = stores.value_store(settings.current(), db.url)
    version = db.retrying(lambda connection: versions.get(connection, record.version or ""), write=False)
    if version is None:
        raise FlowNotFoundError(f"Run {record.id} has no stored flow. Start a new run of the flow itself.")
    if record.inputs is None:
        raise RunFailedError(f"The arguments of run {record.id} could not be stored. Start a new run with them.")
    spec = loader.find(version, values)
    args, kwargs = values.get(values.unseal_stored(record.inputs))
    tags = tuple(tag for tag in json.loads(record.tags) if tag not in spec.tags)
    return session.begin(spec, args, kwargs, replace(options, tags=(*tags, *options.tags))), args, kwargs
