"""Runs and flow versions as records."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING, Any

import xxhash

from nbflow.model.errors import CodecError
from nbflow.model.records import ErrorRecord, FlowVersionRecord, RunUpdate, StoredValue
from nbflow.model.states import State
from nbflow.values.identity import code_digest
from nbflow.values.secrets import traces

if TYPE_CHECKING:
    from nbflow.model.specs import FlowSpec
    from nbflow.values.store import ValueStore

_SHORT = 80  # characters of a parameter's text


def version_record(spec: FlowSpec, values: ValueStore, now: float) -> FlowVersionRecord:
    """The version of a flow that its code, as it is now, makes."""
    digest = code_digest(spec.function)
    parameters = json.dumps(
        [{**dataclasses.asdict(parameter), "default": _text(parameter.default)} for parameter in spec.parameters]
    )
    try:
        code = values.seal_stored(values.put(spec, f"the code of flow {spec.name!r}"))
    except CodecError:
        code = None  # it reads something that cannot be stored; it can be found by its reference only
    identity = "\0".join((spec.name, spec.kind, spec.reference or "", digest, parameters))
    return FlowVersionRecord(
        id=xxhash.xxh3_128_hexdigest(identity.encode()),
        flow=spec.name,
        kind=spec.kind,
        reference=spec.reference,
        source=_source(spec),
        code_digest=digest,
        parameters=parameters,
        code=code,
        created_at=now,
    )


def _source(spec: FlowSpec) -> str | None:
    text = getattr(spec.function, {"notebook": "text", "pipeline": "source"}.get(spec.kind, ""), None)
    if isinstance(text, str):
        return text
    try:
        return inspect.getsource(spec.function)
    except (OSError, TypeError):
        return None


def _text(value: Any) -> str:
    try:
        text = traces.clean(repr(value))
    except Exception:  # a repr of somebody else's
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def parameter_texts(spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The arguments of a run as JSON for people."""
    try:
        bound = inspect.signature(spec.function).bind(*args, **kwargs)
        bound.apply_defaults()
        arguments: dict[str, Any] = dict(bound.arguments)
        for parameter in bound.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name))
    except (TypeError, ValueError):
        arguments = {**{str(n): value for n, value in enumerate(args)}, **kwargs}
    return json.dumps({name: _text(value) for name, value in arguments.items()})


def input_bytes(values: ValueStore, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | None:
    """The arguments of a run, signed, or None if they cannot be stored (then the run cannot be resumed)."""
    try:
        return values.seal_stored(values.put((args, kwargs), "the arguments of the flow"))
    except CodecError:
        return None


def error_bytes(values: ValueStore, error: ErrorRecord) -> bytes:
    """An error, signed."""
    return values.seal_stored(values.put(tuple(error), "an error"))


def run_update(
    run: str, state: State, now: float, values: ValueStore, *, value: StoredValue | None, error: ErrorRecord | None
) -> RunUpdate:
    """How a run ended."""
    return RunUpdate(
        id=run,
        state=state.value,
        finished_at=now,
        result_digest=value.digest if value is not None else None,
        result_size=value.size if value is not None else None,
        result_type=value.type if value is not None else None,
        result=values.seal(value.data) if value is not None and value.data is not None else None,
        result_uri=value.uri if value is not None else None,
        error_type=error.type if error is not None else None,
        error_message=error.message if error is not None else None,
        error=error_bytes(values, error) if error is not None else None,
    )
