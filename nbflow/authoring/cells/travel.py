"""How the values of cells leave one namespace and arrive in another.

Functions and classes that cells define travel as code and are bound to the globals of the namespace where they arrive
(cases 15 to 18 of the specification of cells), never with a frozen copy of the old ones. Each carries a token, so that
it arrives once in a namespace however many values refer to it.
"""

from __future__ import annotations

import functools
import io
import linecache
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, cast

import cloudpickle
import xxhash
from cloudpickle import cloudpickle as internals

from nbflow.authoring.cells.records import Piece
from nbflow.authoring.cells.reductions import special
from nbflow.authoring.cells.sharing import Reach, is_frame, is_index, reach, reach_of_loaded
from nbflow.values.secrets import traces

_SMALL = 32_768  # bytes
_place = threading.local()


class Namespace:
    """The globals of one execution of a step, posing as the module `__main__`."""

    def __init__(self, step: str, names: dict[str, Any] | None = None) -> None:
        self.module = types.ModuleType("__main__")
        self.globals: dict[str, Any] = self.module.__dict__ if names is None else names
        self.step = step
        self._tokens: dict[int, str] = {}
        self._objects: dict[str, Any] = {}
        self._held: dict[type, Seen] = {}
        self._sources: dict[str, str] = {}

    def token(self, found: Any) -> str:
        """The token of a function or class that a cell defined."""
        token = self._tokens.get(id(found))
        if token is None:
            token = f"{self.step}:{found.__qualname__}:{len(self._tokens)}"
            self.adopt(token, found)
        return token

    def adopt(self, token: str, found: Any) -> None:
        """Know `found` by `token`; it is kept alive, so that its id stays its own."""
        self._tokens[id(found)] = token
        self._objects[token] = found

    def known(self, token: str) -> Any:
        """What has arrived under `token`, or None."""
        return self._objects.get(token)

    def classes(self) -> dict[str, type]:
        """The classes of the notebook's that are known here, by their tokens."""
        return {token: found for token, found in self._objects.items() if isinstance(found, type)}

    def source(self, filename: str) -> str:
        """The source of a cell that is known under `filename`; "" for others."""
        if filename not in self._sources:
            mine = filename.startswith("<ipython-input-")
            self._sources[filename] = "".join(linecache.getlines(filename)) if mine else ""
        return self._sources[filename]

    def held_by(self, found: type) -> Seen:
        """What a class holds, as it was when somebody first asked since `forget`."""
        if found not in self._held:
            self._held[found] = _look(self, {"": found})
        return self._held[found]

    def forget(self) -> None:
        """Code has run, and classes may hold other things by now."""
        self._held.clear()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(
        self, file: Any, namespace: Namespace, take: Callable[[pickle.PickleBuffer], Any], views: bool
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=take)
        self._namespace = namespace
        self._views = views
        self.frames: list[Any] = []
        self.classes = False  # whether it met one of the notebook's
        self.bare = False  # whether these count as if they held nothing: they arrive once, whatever refers to them

    def reducer_override(self, found: Any) -> Any:
        kind = type(found)
        if is_frame(found):
            self.frames.append(found)
            if self._views:  # the arrays of frames that copy on write must not arrive as one
                found = found.copy()
                self.frames.append(found)
            return found.__reduce_ex__(5)
        if is_index(found):
            self.frames.append(found)
        if kind is types.FunctionType and found.__globals__ is self._namespace.globals:
            return self._function(found)
        if kind is functools._lru_cache_wrapper and hasattr(found, "__wrapped__"):
            if any(found.cache_info()[:2]) or found.cache_info().currsize:
                raise pickle.PicklingError("what lru_cache remembers cannot be read out of it")
            return _cached, (found.__wrapped__, found.cache_parameters())
        if isinstance(found, type) and found.__module__ == "__main__":
            return self._class(found)
        if kind is types.CellType:  # filled afterwards, since a function may refer to itself
            try:
                return _empty_cell, (), found.cell_contents, None, None, _fill_cell
            except ValueError:
                return _empty_cell, ()
        if kind is functools.cached_property:  # holds a lock in Python 3.11
            return functools.cached_property, (found.func,), {"attrname": found.attrname, "__doc__": found.__doc__}
        if isinstance(found, BaseException) and kind.__module__ == "__main__":
            return kind.__new__, (kind, *found.args), found.__dict__ or None  # without its own __init__
        reduced = special(found, together=self._views)
        if reduced is not None:
            return reduced
        if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            return self._array(found)
        if kind.__module__ == "numpy" and kind.__name__ == "void" and found.base is not None:
            raise pickle.PicklingError("it is a row of an array, and changes with it")
        return super().reducer_override(found)

    def _array(self, found: Any) -> Any:
        reduced = _view_reduction(found) if self._views and found.base is not None else None
        if reduced is None and not found.flags.writeable:
            # As a copy the memory arrives writeable: writeable views of it may follow.
            reduced = (found.copy() if self._views and found.base is None else found).__reduce_ex__(5)
        if reduced is None and found.base is None and found.nbytes <= _SMALL:
            return found.__reduce__()  # in the stream itself: it arrives as the owner of its memory, as it was
        if reduced is None or found.flags.writeable:
            return reduced or super().reducer_override(found)
        return (_read_only, reduced[:2]) if len(reduced) == 2 else (_read_only, (_same, (found.copy(),)))

    def _function(self, found: types.FunctionType) -> Any:
        closure = list(found.__closure__ or ())
        state = (
            found.__defaults__, found.__kwdefaults__, found.__dict__ or None, found.__qualname__, found.__doc__,
            dict(found.__annotations__), found.__module__, closure, self._namespace.source(found.__code__.co_filename),
        )  # fmt: skip
        made = (_function, (self._namespace.token(found), found.__code__, found.__name__, found.__closure__))
        return (*made, state, None, None, _fill_function)

    def _class(self, found: type) -> Any:
        self.classes = True
        if self.bare:
            return _class, (self._namespace.token(found), None, ())
        reduced = super().reducer_override(found)
        if not isinstance(reduced, tuple) or len(reduced) < 6:
            return reduced
        maker, args = reduced[0], list(reduced[1])
        reduced[2][0].pop("__slotnames__", None)  # pickle's own note of how instances are pickled
        # Without cloudpickle's own identity, which holds for a whole process and so for all its namespaces.
        position = 4 if maker is internals._make_skeleton_class else 5
        args[position] = None
        if maker is internals._make_skeleton_class:
            # The bases that it really has; and what a class has to know from the start, which cloudpickle leaves out.
            early = {key: found.__dict__[key] for key in ("__slots__", "__orig_bases__") if key in found.__dict__}
            args[2], args[3] = found.__bases__, {**args[3], **early}
        maker = _skeleton if maker is internals._make_skeleton_class else maker
        return (_class, (self._namespace.token(found), maker, tuple(args)), reduced[2], None, None, _fill_class)


class Seen(NamedTuple):
    """One look at a value: its pickle and what it reaches."""

    piece: Piece | None  # None: it cannot be pickled
    reach: Reach
    error: Exception | None = None

    def digest(self) -> bytes | None:
        """What differs once the value was changed in place; None if it cannot be pickled."""
        if self.piece is None:
            return None
        hasher = xxhash.xxh3_128(self.piece.stream)
        for buffer in self.piece.buffers:
            hasher.update(buffer)
        return hasher.digest()


def pickler(file: Any, namespace: Namespace, take: Callable[[pickle.PickleBuffer], Any]) -> Any:
    """A pickler for the values of one name; large buffers go to `take`."""
    return _Pickler(file, namespace, take, views=False)


def look(namespace: Namespace, name: str) -> Seen:
    """Pickle the value of one name, and see what it reaches, as far as that goes."""
    return _look(namespace, {name: namespace.globals[name]})


def _look(namespace: Namespace, values: dict[str, Any]) -> Seen:
    ((name, value),) = values.items()
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    found = pickler(file, namespace, buffers.append)
    error, piece = None, None
    try:
        found.dump(values)
        piece = _piece((name,), file, buffers)
        # Some objects can be pickled, and only fail to come back.
        if name and (found.classes or b"__main__" in piece.stream):
            _try(piece, name)
    except Exception as problem:
        error, piece = problem, None
    return Seen(piece, reached(namespace, value, found), error)


def reached(namespace: Namespace, value: Any, found: Any) -> Reach:
    """What a value reaches, of which `found` is the pickler; what it reaches by way of its class does not count."""
    if found.classes and not isinstance(value, type):
        found = pickler(io.BytesIO(), namespace, lambda _: None)
        found.bare = True
        with suppress(Exception):
            found.dump(value)
    return reach(found.memo.copy(), found.frames)


def _try(piece: Piece, name: str) -> None:
    trial = Namespace("trial")
    present, sys.modules["__main__"] = sys.modules["__main__"], trial.module  # where its own names are not
    try:
        load(trial, piece, (name,))
    finally:
        sys.modules["__main__"] = present


def dump(namespace: Namespace, names: Iterable[str]) -> Piece:
    """Pickle the values of `names` as one piece, in which they share what they share."""
    values = {name: namespace.globals[name] for name in names}
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    _Pickler(file, namespace, buffers.append, len(values) > 1).dump(values)
    return _piece(tuple(values), file, buffers)


def _piece(names: tuple[str, ...], file: io.BytesIO, buffers: Iterable[pickle.PickleBuffer]) -> Piece:
    """What was pickled. Raises SecretInValueError: a text made with a secret stays in the process that made it."""
    piece = Piece(names, file.getvalue(), [buffer.raw() for buffer in buffers])
    if traces.known():
        traces.check_stored(piece.stream, piece.buffers, " and ".join(filter(None, names)) or "it")
    return piece


def load(namespace: Namespace, piece: Piece, names: Iterable[str]) -> Reach:
    """Bring a fresh copy of the values of `names` into a namespace; returns what the whole piece reaches."""
    buffers = [_writable(buffer) for buffer in piece.buffers]
    previous, _place.namespace = getattr(_place, "namespace", None), namespace
    unpickler = pickle.Unpickler(io.BytesIO(piece.stream), buffers=buffers)  # noqa: S301 - verified by the store
    try:
        values = unpickler.load()
    finally:
        _place.namespace = previous
    for name in names:
        namespace.globals[name] = values[name]
    return reach_of_loaded(cast("Any", unpickler).memo.copy())


def _writable(buffer: Any) -> Any:
    view = memoryview(buffer)
    return bytearray(view) if view.readonly else view


def _empty_cell() -> types.CellType:
    return types.CellType()


def _fill_cell(cell: types.CellType, content: Any) -> None:
    cell.cell_contents = content


def _function(token: str, code: types.CodeType, name: str, closure: tuple[types.CellType, ...] | None) -> Any:
    namespace: Namespace = _place.namespace
    found = namespace.known(token)
    if found is None:
        found = types.FunctionType(code, namespace.globals, name, None, closure)
        namespace.adopt(token, found)
    return found


def _fill_function(found: types.FunctionType, state: tuple[Any, ...]) -> None:
    defaults, keywords, attributes, qualname, doc, annotations, module, closure, source = state
    filename = found.__code__.co_filename
    if source and filename not in linecache.cache:  # tracebacks show the lines of the cell
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    found.__defaults__, found.__kwdefaults__, found.__qualname__ = defaults, keywords, qualname
    found.__doc__, found.__annotations__, found.__module__ = doc, annotations, module
    found.__dict__.update(attributes or {})
    for cell, other in zip(found.__closure__ or (), closure, strict=True):
        if cell is other:
            continue
        try:  # it was here already; what arrives now is newer
            cell.cell_contents = other.cell_contents
        except ValueError:
            continue  # not filled where it came from either


def _class(token: str, maker: Any, args: tuple[Any, ...]) -> Any:
    namespace: Namespace = _place.namespace
    found = namespace.known(token)
    if found is None:
        found = maker(*args)
        namespace.adopt(token, found)
    return found


def _skeleton(meta: type, name: str, bases: tuple[Any, ...], namespace: dict[str, Any], *_: Any) -> type:
    """A class without its content. Nothing of the user's runs: the class was made before, and only arrives here."""
    found = bases
    foreign = next(kind for kind in meta.__mro__ if kind.__module__ != "__main__" and "__new__" in kind.__dict__)
    hooks = [
        (kind, kind.__dict__["__init_subclass__"])
        for base in found
        for kind in base.__mro__
        if kind.__module__ == "__main__" and "__init_subclass__" in kind.__dict__
    ]
    for kind in dict(hooks):
        type.__delattr__(kind, "__init_subclass__")
    try:
        return cast("type", foreign.__new__(meta, name, found, dict(namespace)))
    finally:
        for kind, hook in dict(hooks).items():
            type.__setattr__(kind, "__init_subclass__", hook)


def _fill_class(found: type, state: Any) -> None:
    internals._class_setstate(found, state)


def _cached(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _view_reduction(array: Any) -> Any:
    """Pickle a view of an array as a view, so that both still share their memory where they arrive."""
    root = array
    while type(root.base) is type(array):
        root = root.base
    if (
        root is array
        or not (root.flags.c_contiguous or root.flags.f_contiguous)
        or root.dtype.hasobject
        or array.dtype.hasobject
    ):
        return None
    inside, whole = _bounds(array), _bounds(root)
    if inside[0] < whole[0] or inside[1] > whole[1]:
        return None  # the root was resized below its views
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return _view, (root, offset, array.shape, array.strides, array.dtype)


def _bounds(array: Any) -> tuple[int, int]:
    """The first address of an array's memory, and the one behind its last."""
    start = end = array.__array_interface__["data"][0]
    for length, stride in zip(array.shape, array.strides, strict=True):
        if length == 0:
            return start, start
        start, end = start + min(0, (length - 1) * stride), end + max(0, (length - 1) * stride)
    return start, end + array.itemsize


def _same(array: Any) -> Any:
    return array


def _read_only(make: Any, args: tuple[Any, ...]) -> Any:
    array = make(*args)
    array.flags.writeable = False
    return array


def _view(root: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any) -> Any:
    import numpy as np

    writeable = root.flags.writeable
    root.flags.writeable = True  # a view may be writeable though its root is not any more
    memory = root.ravel(order="K").view(np.uint8)
    root.flags.writeable = writeable
    return np.ndarray(shape, dtype, buffer=memory, offset=offset, strides=strides)
