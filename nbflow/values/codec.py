"""Values to bytes and back: pickle protocol 5 with its large buffers kept apart.

Plain pickle does the work wherever it can. cloudpickle, which is slow to import, steps in for code that another process
cannot import: functions and classes of `__main__`, lambdas, local classes.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple

from nbflow.model.errors import CodecError, SecretError
from nbflow.values.blame import unpicklable
from nbflow.values.secrets import traces

PROTOCOL = 5

# Values of these types never change and hold no others. complex is missing: pickle treats it as any other object.
ATOMS: frozenset[type] = frozenset({int, float, str, bytes, bool, type(None)})

Substitute = Callable[[object], int | None]
"""Asked for each object that is not an exact builtin; a number stands for "write a reference of that number"."""


class Payload(NamedTuple):
    """A value as bytes."""

    stream: bytes  # the pickle
    buffers: tuple[memoryview, ...]  # what the pickle leaves out; shares memory with the value
    has_code: bool  # whether code of functions or classes lies in the stream
    references: int  # how many different references it holds


def encode(value: object, *, substitute: Substitute | None = None, what: str = "the value") -> Payload:
    """Return `value` as bytes; its buffers share memory with it, so use them before it changes.

    Objects for which `substitute` returns a number are left out; `decode` puts its `references` in their place.
    Raises `UnpicklableError`, which names the path to the part of `what` that cannot be stored, and
    `SecretInValueError` if it holds a secret that is known here.
    """
    payload = _encoded(value, substitute, what)
    if traces.known():
        traces.check_stored(payload.stream, payload.buffers, what)
    return payload


def _encoded(value: object, substitute: Substitute | None, what: str) -> Payload:
    if type(value) in ATOMS:
        return Payload(pickle.dumps(value, PROTOCOL), (), False, 0)
    try:
        if not _by_value_modules():
            try:
                return _run(_Plain, value, substitute)
            except Exception:  # noqa: S110 - cloudpickle can do more, and its error is the one to tell
                pass
        return _run(_cloud(), value, substitute)
    except Exception as error:
        raise unpicklable(value, what, error, lambda part: _run(_cloud(), part, substitute)) from error


def decode(stream: Any, buffers: Sequence[Any] = (), references: Sequence[object] = ()) -> Any:
    """Return the value of an encoded stream, with `references[n]` wherever reference n was written.

    Raises CodecError, and in steps SecretError for a reference to a secret that cannot be used here.
    """
    try:
        if references:
            return _Referring(io.BytesIO(stream), references, buffers).load()
        return pickle.loads(stream, buffers=buffers)
    except SecretError:  # a reference that comes to nothing here, and says why
        raise
    except Exception as error:
        raise CodecError(
            f"a stored value cannot be restored: {type(error).__name__}: {error}. The modules and classes that it is "
            "made of must be importable here, in the versions it was written with.",
        ) from error


def reference(number: int) -> object:
    """Stand in a stream for reference `number`; never called, `decode` puts a lookup in its place."""
    raise CodecError(f"a stored value refers to the result of another task (number {number}), which was not given.")


class _Job:
    """What the picklers below have in common: one value on its way to bytes."""

    substitute: Substitute | None
    seen: set[int]  # the references written
    has_code: bool


class _Plain(pickle.Pickler, _Job):
    """Pickles what other processes can import, and gives up on everything else."""

    def reducer_override(self, obj: Any) -> Any:
        if self.substitute is not None:
            number = self.substitute(obj)
            if number is not None:
                self.seen.add(number)
                return reference, (number,)
        kind = type(obj)  # obj.__class__ would wake up lazy proxies
        if (kind is FunctionType or issubclass(kind, type)) and obj.__module__ == "__main__":
            raise pickle.PicklingError("code of __main__ goes by value")
        return NotImplemented


_Cloud: type[Any] | None = None


def _cloud() -> type[Any]:
    global _Cloud
    if _Cloud is None:
        import cloudpickle

        class Cloud(cloudpickle.Pickler, _Job):  # type: ignore[misc]
            """Pickles code by value where other processes could not import it."""

            def reducer_override(self, obj: Any) -> Any:
                if self.substitute is not None:
                    number = self.substitute(obj)
                    if number is not None:
                        self.seen.add(number)
                        return reference, (number,)
                reduced = super().reducer_override(obj)
                if reduced is not NotImplemented and (type(obj) is FunctionType or issubclass(type(obj), type)):
                    self.has_code = True
                return reduced

        _Cloud = Cloud
    return _Cloud


def goes_by_value(module: str) -> bool:
    """Whether what an importable module defines is sent by value."""
    return module in _by_value_modules()


@contextmanager
def by_value(module: str) -> Iterator[None]:
    """Inside the block, send what a module of this process defines by value, as that of `__main__`."""
    import cloudpickle

    known = module in _by_value_modules()
    cloudpickle.register_pickle_by_value(sys.modules[module])
    try:
        yield
    finally:
        if not known:
            cloudpickle.unregister_pickle_by_value(sys.modules[module])


def _by_value_modules() -> Collection[str]:
    """The importable modules that cloudpickle was asked to send by value."""
    module = sys.modules.get("cloudpickle.cloudpickle")
    found: Collection[str] = module._PICKLE_BY_VALUE_MODULES if module is not None else ()
    return found


def _run(kind: type[Any], value: object, substitute: Substitute | None) -> Payload:
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = kind(file, PROTOCOL, buffer_callback=buffers.append)
    pickler.substitute = substitute
    seen: set[int] = set()
    pickler.seen = seen
    pickler.has_code = False
    pickler.dump(value)
    return Payload(file.getvalue(), tuple([buffer.raw() for buffer in buffers]), pickler.has_code, len(seen))


class _Referring(pickle.Unpickler):
    """Puts references in."""

    def __init__(self, file: io.BytesIO, references: Sequence[object], buffers: Sequence[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._references = references

    def find_class(self, module: str, name: str) -> Any:
        if name == "reference" and module == __name__:
            return self._references.__getitem__
        return super().find_class(module, name)
