"""Exceptions as records and back, so that what a step raised can be raised, and shown, in another process."""

from __future__ import annotations

import builtins
import pickle
import re
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import nbflow.model
from nbflow.model.errors import NbflowError, RemoteError
from nbflow.model.records import ErrorRecord
from nbflow.values import codec
from nbflow.values.secrets import traces

_LONGEST_CHAIN = 50
_CELL_FILE = re.compile(r'File "<ipython-input-(\d+)-\w+>"')
_HEADING = "The traceback of the step, where it ran:\n"

# Frames of these folders tell the user nothing about their code.
_PACKAGE = str(Path(nbflow.model.__file__).parent.parent)
_INTERNAL = (
    _PACKAGE + "/",
    str(Path(pickle.__file__).parent / "asyncio") + "/",
    str(Path(pickle.__file__).parent / "concurrent") + "/",
)


def _internal(filename: str) -> bool:
    # Functions of nbflow.testing stand for the user's, in suites that implementers run.
    return filename.startswith(_INTERNAL) and not filename.startswith(_PACKAGE + "/testing/")


class _Node(NamedTuple):
    """One exception of a chain, as it is kept."""

    exception: bytes | None  # encoded by pickle's own means, if that gives the same again
    kind: Any  # encoded class; the rest is for exceptions that pickle cannot rebuild
    args: bytes
    state: dict[str, bytes]
    cause: int | None  # positions of others in the chain
    context: int | None
    suppress_context: bool


def of_cells(trace: str) -> str:
    """Of the traceback of a notebook's run, what lies in its cells: there is no other code of the user's."""
    inner = trace.rpartition(_HEADING)[2]
    lines = _CELL_FILE.sub(r"Cell \1", inner).splitlines()
    kept: list[str] = []
    skipping = False
    for line in lines:
        if line.startswith("  File "):
            skipping = "/IPython/core/" in line
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line)
    return "\n".join(kept)


def error_record(error: BaseException) -> ErrorRecord:
    """Return `error` as it is kept, with everything that it was caused by."""
    return ErrorRecord(_type_name(type(error)), message(error), _traceback(error), _encode(error))


def restore_error(record: ErrorRecord) -> BaseException:
    """Return the exception of a record, with the traceback of its origin as a note.

    A `RemoteError` with the text stands for an exception that cannot be rebuilt here.
    """
    error: BaseException | None = None
    if record.exception is not None:
        try:
            error = _decode(record.exception)
        except Exception:  # whatever the classes involved do when they are rebuilt; the text is left
            error = None
    if error is None:
        error = RemoteError(f"{record.type}: {record.message}", type=record.type)
    if record.traceback and not any(note.startswith(_HEADING) for note in getattr(error, "__notes__", ())):
        error.add_note(_HEADING + record.traceback.rstrip())
    return error


def without_secrets(error: BaseException, record: ErrorRecord) -> BaseException:
    """`error`, of which `record` is kept, or if it tells a secret the same without; for people in this process."""
    if not traces.known():
        return error
    try:
        told = "".join(traceback.format_exception(error)) + repr((error.args, vars(error)))
    except Exception:  # whatever the user's code does to be shown
        told = None
    if told is not None and traces.clean(told) == told:
        return error
    return restore_error(record._replace(traceback="")).with_traceback(error.__traceback__)


def message(error: BaseException) -> str:
    """What an exception says, or that it cannot say it."""
    try:
        return traces.clean(str(error))
    except Exception as problem:  # __str__ is the user's code
        return f"<its message cannot be shown: {type(problem).__name__}>"


def without_internal_frames(error: BaseException) -> BaseException:
    """`error` with the frames of nbflow above the user's code taken off its traceback."""
    trace = error.__traceback__
    while trace is not None and _internal(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    # With no frame of the user's it is nbflow's own error, which either speaks for itself or is a defect.
    return error.with_traceback(trace) if trace is not None or isinstance(error, NbflowError) else error


def with_user_frames(error: BaseException) -> BaseException:
    """`error` with no frames of nbflow on its traceback, unless it has no others."""
    kept = []
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_INTERNAL):
            kept.append(trace)
        trace = trace.tb_next
    rebuilt = None
    for trace in reversed(kept):
        rebuilt = TracebackType(rebuilt, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
    return error.with_traceback(rebuilt) if rebuilt is not None else error


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == builtins.__name__ else f"{kind.__module__}.{kind.__qualname__}"


def _traceback(error: BaseException) -> str:
    try:
        shown = traceback.TracebackException.from_exception(error, compact=True)
    except Exception:  # the exception's own __str__ or attributes may fail
        return f"{_type_name(type(error))}: {message(error)}\n"
    _trim(shown, 0)
    return traces.clean("".join(shown.format()))


def _trim(shown: traceback.TracebackException, depth: int) -> None:
    kept = [frame for frame in shown.stack if not _internal(frame.filename)]
    if kept or issubclass(shown.exc_type, NbflowError):
        shown.stack[:] = kept
    if depth < _LONGEST_CHAIN:
        for other in (shown.__cause__, shown.__context__, *(shown.exceptions or ())):
            if other is not None:
                _trim(other, depth + 1)


def _encode(error: BaseException) -> bytes | None:
    chain: list[BaseException] = [error]
    positions = {id(error): 0}
    nodes: list[_Node] = []
    try:
        for each in chain:  # grows while it is walked
            links: list[int | None] = []
            for other in (each.__cause__, each.__context__):
                if other is not None and id(other) not in positions and len(chain) < _LONGEST_CHAIN:
                    positions[id(other)] = len(chain)
                    chain.append(other)
                links.append(positions.get(id(other)) if other is not None else None)
            nodes.append(_node(each, links[0], links[1]))
        return pickle.dumps(nodes, codec.PROTOCOL)
    except Exception:  # not even its class can be encoded; its text is kept in any case
        return None


def _node(error: BaseException, cause: int | None, context: int | None) -> _Node:
    links = (cause, context, error.__suppress_context__)
    state: dict[str, Any] = vars(error)
    try:
        encoded = _dump(error)
        copy = _load(encoded)
        if type(copy) is type(error) and message(copy) == message(error):
            return _Node(encoded, None, b"", {}, *links)
    except Exception:  # noqa: S110 - it will be rebuilt from its parts
        pass
    kept: dict[str, bytes] = {}
    for key, value in state.items():
        kept[key] = _dump(_portable(value))
    return _Node(None, _dump(type(error)), _dump(tuple([_portable(item) for item in error.args])), kept, *links)


def _portable(value: object) -> object:
    for portable in (value, traces.clean_data(list(value) if type(value) is tuple else value)):
        try:
            _dump(portable)
        except Exception:  # noqa: S112 - it cannot be pickled, or holds a secret
            continue
        return portable
    return _short(value)


def _short(value: object) -> str:
    try:
        return traces.clean(repr(value))[:1000]
    except Exception:  # __repr__ is the user's code
        return f"<{type(value).__name__}>"


def _decode(encoded: bytes) -> BaseException:
    nodes: list[_Node] = pickle.loads(encoded)  # noqa: S301 - made by _encode; signed wherever it is stored
    errors = [_rebuild(node) for node in nodes]
    for error, node in zip(errors, nodes, strict=True):
        error.__cause__ = errors[node.cause] if node.cause is not None else None
        error.__context__ = errors[node.context] if node.context is not None else None
        error.__suppress_context__ = node.suppress_context
    return errors[0]


def _rebuild(node: _Node) -> BaseException:
    if node.exception is not None:
        error = _load(node.exception)
    else:
        # Without __init__, whose arguments an exception does not keep.
        kind, args = _load(node.kind), _load(node.args)
        error = kind.__new__(kind, *args)
        error.args = args
        vars(error).update({key: _load(value) for key, value in node.state.items()})
    if not isinstance(error, BaseException):
        raise TypeError(f"{type(error)} is not an exception")
    return error


def _dump(value: object) -> bytes:
    payload = codec.encode(value)
    return pickle.dumps((payload.stream, [bytes(buffer) for buffer in payload.buffers]), codec.PROTOCOL)


def _load(encoded: bytes) -> Any:
    stream, buffers = pickle.loads(encoded)  # noqa: S301 - made by _dump
    return codec.decode(stream, buffers)
