"""Finding a flow's code again: in this process, where it was imported from, or as it was stored."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from nbflow.model.errors import CodecError, FlowNotFoundError
from nbflow.model.specs import FlowSpec

if TYPE_CHECKING:
    from nbflow.model.records import FlowVersionRecord
    from nbflow.values.store import ValueStore

_DEFINED: dict[str, FlowSpec] = {}  # by reference; the latest definition counts, as in a notebook


def define(spec: FlowSpec) -> None:
    """Remember a flow that was defined in this process."""
    if spec.reference is not None:
        _DEFINED[spec.reference] = spec


def find(version: FlowVersionRecord, values: ValueStore) -> FlowSpec:
    """The flow of a stored version: as it is now where it can be found, else as it was stored."""
    reference = version.reference
    problem = "its code was not stored either"
    if reference is not None:
        if reference in _DEFINED:
            return _DEFINED[reference]
        if not reference.startswith("__main__:"):
            try:
                return load(reference)
            except FlowNotFoundError as error:
                problem = str(error)
    if version.code is not None:
        try:
            stored = values.get(values.unseal_stored(version.code))
        except CodecError as error:
            problem = str(error)
        else:
            if isinstance(stored, FlowSpec):
                return stored
    raise FlowNotFoundError(
        f"The code of flow {version.flow!r} cannot be found again: {problem}. Define or import the flow in this "
        "process and call run.resume() there, or name it: nbflow resume RUN --flow module:name.",
    )


def load(reference: str) -> FlowSpec:
    """The flow that `reference` names: "module:name", or "module:function@argument" for what that function returns."""
    target, _, argument = reference.partition("@")
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise FlowNotFoundError(f"{reference!r} does not name a flow; write module:flow, for example flows.py's train "
                                "as flows:train.")  # fmt: skip
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: modules of the current folder can be flows
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
        if argument:
            found = found(argument)
    except (ImportError, AttributeError) as error:
        raise FlowNotFoundError(f"{reference!r} cannot be loaded: {error}.") from error
    spec = getattr(found, "spec", None)
    if not isinstance(spec, FlowSpec):
        raise FlowNotFoundError(
            f"{target!r} is a {type(found).__name__}, not a flow. Decorate the function with @flow."
        )
    return spec
