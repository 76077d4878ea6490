"""Versions: all that a deployment's runs need, written down once."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from nbflow.authoring.declarative.pipeline import Pipeline
from nbflow.authoring.notebook import NotebookFlow
from nbflow.deploying import snapshot
from nbflow.deploying.environments.capturing import capture
from nbflow.engine.versions import version_record
from nbflow.model.deployments import DeploymentVersionRecord
from nbflow.model.errors import ParameterError, PromotionError
from nbflow.model.records import FlowVersionRecord
from nbflow.values.codec import ATOMS, by_value
from nbflow.values.origin import is_installed, spec_of
from nbflow.values.source import names_of

if TYPE_CHECKING:
    from nbflow.authoring.flow import Flow
    from nbflow.model.specs import FlowSpec
    from nbflow.values.store import ValueStore

APART, HERE = "own", "worker"  # whether runs have a process of their own


class Draft(NamedTuple):
    """A version that is not stored yet."""

    flow: FlowVersionRecord
    record: DeploymentVersionRecord  # number 0, verdict "none"
    files: dict[str, bytes]


class Choices(NamedTuple):
    """What is chosen for the runs of a version."""

    executor: str | None = None  # None: the queue, or for runs in a process of their own what the flow says
    workers: int | None = None
    queue: str | None = None
    tags: tuple[str, ...] = ()
    isolated: bool = False  # in an environment of their own, with the packages that the flow was promoted with
    requirements: tuple[str, ...] = ()  # in place of some of these packages, or beside them


def draft(
    flow: Flow[..., Any], parameters: Mapping[str, Any], choices: Choices, values: ValueStore, now: float
) -> Draft:
    """Write down a flow as it is now. Raises ParameterError, PromotionError, UnpicklableError."""
    files = snapshot.take(flow)
    apart = choices.isolated or bool(snapshot.modules_of(files, flow)) or not _is_pure(flow)
    flow_version = _flow_version(flow, values, now, apart=apart)
    texts = {
        "files": json.dumps(snapshot.digests(files)),
        "parameters": _json_of(checked(flow, parameters)),
        "environment": capture(*snapshot.code(flow, files)).to_json(),
        "options": json.dumps({**choices._asdict(), "process": APART if apart else HERE}),
    }
    identity = "\0".join((flow_version.id, *texts.values()))
    record = DeploymentVersionRecord(
        deployment="", number=0, digest=xxhash.xxh3_128_hexdigest(identity.encode()), flow_version=flow_version.id,
        snapshot=values.seal_stored(values.put(files, f"the code of flow {flow.spec.name!r}")), root=os.getcwd(),
        verdict="none", report=None, reason=None, note=None, created_at=now, **texts,
    )  # fmt: skip
    return Draft(flow_version, record, files)


def checked(flow: Flow[..., Any], parameters: Mapping[str, Any], *, complete: bool = True) -> dict[str, Any]:
    """Parameters in the types that the flow declares. `complete`: those without a default have to be there.

    Raises ParameterError that names what is wrong.
    """
    if isinstance(flow, NotebookFlow):
        return flow.checked(parameters)
    try:
        signature = inspect.signature(flow.spec.function)
        signature.bind(**parameters) if complete else signature.bind_partial(**parameters)
    except TypeError as error:
        known = ", ".join(parameter.name for parameter in flow.spec.parameters) or "none"
        raise ParameterError(f"flow {flow.spec.name!r}: {error}. Its parameters are: {known}.") from error
    return dict(parameters)


def stored_spec(record: FlowVersionRecord, values: ValueStore) -> FlowSpec:
    """The flow of a version, as it was promoted."""
    spec: FlowSpec = values.get(values.unseal_stored(record.code or b""))
    return spec


def files_of(record: DeploymentVersionRecord, values: ValueStore) -> dict[str, bytes]:
    """The files of a version: {path: content}."""
    found: dict[str, bytes] = values.get(values.unseal_stored(record.snapshot))
    return found


def _flow_version(flow: Flow[..., Any], values: ValueStore, now: float, *, apart: bool) -> FlowVersionRecord:
    """The flow without the place where it is found now: runs of a version take what was stored."""
    spec = dataclasses.replace(flow.spec, reference=None)
    module = spec.function.__module__ if isinstance(spec.function, FunctionType) else "__main__"
    pinned = by_value(module) if not apart and module != "__main__" else nullcontext()
    with pinned:
        found = version_record(spec, values, now)
        if found.code is None:
            values.put(spec, f"the code of flow {spec.name!r}")  # raises what keeps it from being stored
    return found


def _json_of(parameters: Mapping[str, Any]) -> str:
    for name, value in parameters.items():
        try:
            same = json.loads(json.dumps(value)) == value
        except (TypeError, ValueError):
            same = False
        if not same and not isinstance(value, tuple):
            raise PromotionError(
                f"parameter {name!r} is {type(value).__name__} {value!r:.80}, which JSON cannot hold. Parameters of a "
                "deployment are numbers, texts, true, false, null, lists and objects; let a step make the rest of them."
            )
    return json.dumps(dict(parameters), sort_keys=True)


# --- code that can go by value ---------------------------------------------------------------------------------------


def _is_pure(flow: Flow[..., Any]) -> bool:
    """Whether what a flow reads of its module is code and constants alone, which can be sent without running it."""
    function = flow.spec.function
    if isinstance(flow, (NotebookFlow, Pipeline)) or getattr(function, "__module__", None) == "__main__":
        return True
    if not isinstance(function, FunctionType):
        return False
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if not _travels(value):
            return False
        waiting += _read_by(value)
    return True


def _travels(value: Any) -> bool:
    kind = type(value)
    if kind in ATOMS or kind in (FunctionType, BuiltinFunctionType, ModuleType) or spec_of(value) is not None:
        return True
    if isinstance(value, type):
        return is_installed(value.__module__)
    if kind in (tuple, frozenset):
        return all(map(_travels, value))
    return callable(value) and is_installed(getattr(value, "__module__", None) or kind.__module__)


def _read_by(value: Any) -> Iterator[Any]:
    spec = spec_of(value)
    function = spec.function if spec is not None else value
    if type(function) is not FunctionType or is_installed(function.__module__):
        return
    for name in names_of(function.__code__).globals:
        if name in function.__globals__:
            yield function.__globals__[name]
    for cell in function.__closure__ or ():
        yield cell.cell_contents
    yield from function.__defaults__ or ()
