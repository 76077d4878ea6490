"""Whether a deployment can be started with some parameters, said before anything is started."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from nbflow.analysis.parameters import check_parameters
from nbflow.model.deployments import DeploymentRecord
from nbflow.model.errors import ParameterError
from nbflow.model.specs import Parameter
from nbflow.storage import triggers as stored
from nbflow.storage.connection import Connection
from nbflow.values.secrets import references

_LONGEST = 100_000  # characters of parameters as JSON; more than that belongs into a file whose path is given


def parameters_of(connection: Connection, deployment: DeploymentRecord) -> list[Parameter]:
    """The parameters of a deployment's current version; what the version gives to its runs need not be given."""
    found = stored.declared(connection, deployment)
    if found is None:
        return []
    given = json.loads(found.given)
    return [_parameter(each, given) for each in json.loads(found.parameters)]


def _parameter(stored_form: Mapping[str, Any], given: Mapping[str, Any]) -> Parameter:
    name = stored_form["name"]
    required = stored_form["required"] and name not in given
    return Parameter(name, stored_form["annotation"], _value(stored_form["default"]), required, stored_form["comment"])


def _value(text: str | None) -> Any:
    """The default that a short text tells; None if it tells none, as of an object."""
    try:
        return ast.literal_eval(text or "None")
    except (ValueError, SyntaxError):
        return None


def typed(
    connection: Connection, deployment: DeploymentRecord, parameters: Mapping[str, Any], *, texts: bool = False
) -> dict[str, Any]:
    """The parameters in the types that a deployment's current version declares. `texts`: they come from `-p`.

    Raises ParameterError for names that it does not have, values of another type, and values that are missing.
    """
    declared = parameters_of(connection, deployment)
    return check_parameters(declared, parameters, f"deployment {deployment.name!r}", texts=texts)


def accepted(
    connection: Connection, deployment: DeploymentRecord, parameters: Mapping[str, Any], *, texts: bool = False
) -> dict[str, Any]:
    """What `typed` makes of parameters that come from outside.

    Raises ParameterError also for values that JSON has no form for, and SecretError for a reference to a secret, which
    only the deployment itself may hold.
    """
    where = f"deployment {deployment.name!r}"
    references.refuse_from_outside(parameters, where)
    found = typed(connection, deployment, parameters, texts=texts)
    as_json(found, where)
    return found


def as_json(parameters: Mapping[str, Any], where: str) -> str:
    """Parameters as they are stored and compared. Raises ParameterError if JSON has no form for them."""
    try:
        text = json.dumps(dict(parameters), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(
            f"{where}: parameters of an event are what JSON can hold: texts, numbers, true, false, null, lists and "
            f"objects of these ({error})."
        ) from None
    if len(text) > _LONGEST:
        raise ParameterError(
            f"{where}: the parameters are {len(text):,} characters as JSON, and {_LONGEST:,} are the most. Store what "
            "is large where the run finds it, and give its path."
        )
    return text
