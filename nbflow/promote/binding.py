"""The one place where triggers meet what others of this floor and below do: starting runs, keeping secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from nbflow.model.deployments import DeploymentVersionRecord
from nbflow.model.errors import ConfigError
from nbflow.queue.broker import Broker, NewJob


class Starter(Protocol):
    """Makes the job that is a new run of a deployment; storing it is left to the caller."""

    def __call__(self, broker: Broker, version: DeploymentVersionRecord, parameters: Mapping[str, Any], /) -> NewJob:
        """`parameters`: beside those of the version, and checked."""


def start_job(
    make: Starter | None,
    broker: Broker,
    version: DeploymentVersionRecord,
    parameters: Mapping[str, Any],
    logical_time: float | None,
) -> NewJob:
    """The job that is a new run. `make`: default: that of deployments; `logical_time`: what the run stands for."""
    make = make or cast(Starter, import_module("nbflow.promote.starting").start_job)
    new = make(broker, version, parameters)
    if logical_time is None:
        return new
    policy = {**json.loads(new.record.policy or "{}"), "zone": "UTC"}
    return new._replace(record=new.record._replace(logical_time=logical_time, policy=json.dumps(policy)))


def opened_reference(text: str) -> str:
    """What a text means: of `secret:NAME` the value of the secret, else the text itself. Raises ConfigError."""
    if not text.startswith("secret:"):
        return text
    try:
        references = import_module("nbflow.values.secrets.references")
    except ModuleNotFoundError:
        raise ConfigError(f"{text!r} cannot be looked up: this nbflow keeps no secrets.") from None
    return str(references.resolve(text.removeprefix("secret:")))
