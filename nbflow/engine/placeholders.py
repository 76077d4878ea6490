"""Placeholders: what a step call inside a flow returns, and how arguments that hold some are packed.

A placeholder is a lazy proxy. Whatever touches its value (an operator, iteration, a truth test) waits for the task;
passing it to another step does not. Python gives a proxy no say in `x is None` and in C code that asks for an exact
type; `wait(x)` returns the plain value for those.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import wrapt
import xxhash

from nbflow.model.errors import DefinitionError, TaskError
from nbflow.model.ports import Inputs, Ref
from nbflow.values.digest import digest, find_cycle
from nbflow.values.secrets import references

if TYPE_CHECKING:
    from nbflow.engine.decide import Task
    from nbflow.values.store import ValueStore

# Values of these types never change, so that they may be handed on without a copy.
ATOMS: frozenset[type] = frozenset({int, float, str, bool, type(None), bytes, complex})
_LARGE_ATOM = 4096  # characters, or bits of a number; larger atoms travel packed

_UNSET: Any = object()


class Placeholder(wrapt.BaseObjectProxy[Any]):
    """Stands for the result of a task until the value is used."""

    def __init__(self, task: Task, resolve: Callable[[Task], Any]) -> None:
        super().__init__(None)
        self._self_task = task
        self._self_resolve = resolve
        self._self_value = _UNSET

    def __wrapped_factory__(self) -> Any:
        return self.__wrapped_get__()

    def __wrapped_get__(self) -> Any:
        value = self._self_value
        if value is _UNSET:
            value = self._self_value = self._self_resolve(self._self_task)
            self.__wrapped__ = value
        return value

    @property
    def __class__(self) -> Any:
        """The class of the value, so that isinstance() is true of what it is true of."""
        try:
            return type(self.__wrapped__)
        except AttributeError as error:
            # isinstance() would swallow it and answer False.
            raise TaskError(f"step {self._self_task.spec.name!r} failed: AttributeError: {error}") from error

    @__class__.setter
    def __class__(self, kind: type) -> None:
        self.__wrapped__.__class__ = kind

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the value."""
        return self.__wrapped__(*args, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__wrapped__)

    def __next__(self) -> Any:
        return next(self.__wrapped__)

    def __copy__(self) -> Any:
        return copy.copy(self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.__wrapped__, memo)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # else numpy makes arrays of objects
        import numpy

        return numpy.array(self.__wrapped__, dtype=dtype, copy=copy)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _itself, (self.__wrapped__,)


def _itself(value: Any) -> Any:
    return value


def _in_place(operation: Callable[[Any, Any], Any]) -> Callable[[Placeholder, Any], Any]:
    """An operator such as `+=`: what cannot be changed in place gives a plain value, as it would without nbflow."""

    def operator_of(self: Placeholder, other: Any) -> Any:
        value = self.__wrapped__
        result = operation(value, other)
        return self if result is value else result

    return operator_of


for _name in (
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "xor",
    "or",
):
    setattr(Placeholder, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))


def is_placeholder(value: object) -> bool:
    """Whether `value` is a placeholder; never touches its value."""
    return type(value) is Placeholder


def task_of(placeholder: Placeholder) -> Task:
    """The task behind a placeholder."""
    task: Task = placeholder._self_task
    return task


def materialised(placeholder: Placeholder) -> bool:
    """Whether the flow function holds the value already, and may have changed it."""
    return placeholder._self_value is not _UNSET


class Packed(NamedTuple):
    """The arguments of one call."""

    inputs: Inputs  # without the values of upstream tasks
    upstream: tuple[Task, ...]
    encoding: bytes  # canonical form for digests
    after: tuple[Task, ...] = ()  # tasks that have to succeed before it, though it does not get their values


def pack(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    values: ValueStore,
    what: str,
) -> Packed:
    """Snapshot the arguments of a call of `what`, so that later changes to them by the caller are not seen by it."""
    upstream: dict[Task, int] = {}
    flat_args = [_flat(value, upstream, values) for value in args]
    flat_kwargs = {name: _flat(value, upstream, values) for name, value in kwargs.items()} if kwargs else None
    if _DEEP not in flat_args and (flat_kwargs is None or _DEEP not in flat_kwargs.values()):
        inputs = Inputs(tuple(flat_args), flat_kwargs)
        text = repr((flat_args, flat_kwargs))
        return Packed(inputs, tuple(upstream), text.encode("utf-8", "surrogatepass"))
    return _pack_deep(args, kwargs, values, what)


class _Deep:
    """Marks an argument that has to be encoded."""

    def __repr__(self) -> str:
        return "<deep>"


_DEEP = _Deep()


def _flat(value: Any, upstream: dict[Task, int], values: ValueStore) -> Any:
    kind = type(value)
    if kind in ATOMS:
        if (kind is str or kind is bytes) and len(value) > _LARGE_ATOM:
            return _DEEP
        if kind is str and value[:7] == references.PREFIX and references.named(value):
            return _DEEP
        if kind is int and value.bit_length() > _LARGE_ATOM:  # Python limits the digits of its text
            return _DEEP
        return value
    if kind is Placeholder and not _changed(value, values):
        return Ref(upstream.setdefault(value._self_task, len(upstream)))
    return _DEEP


def _changed(placeholder: Placeholder, values: ValueStore) -> bool:
    """Whether the flow function changed the value that it took out of this placeholder."""
    value = placeholder._self_value
    if value is _UNSET or type(value) in ATOMS:
        return False
    stored = placeholder._self_task.value
    return stored is None or digest(value) != digest(values.get(stored))


def _pack_deep(args: tuple[Any, ...], kwargs: dict[str, Any], values: ValueStore, what: str) -> Packed:
    upstream: dict[Task, int] = {}  # in order of first use
    changed: dict[int, bool] = {}

    def substitute(found: object) -> int | None:
        if type(found) is not Placeholder:
            return None
        known = changed.get(id(found))
        if known is None:
            known = changed[id(found)] = _changed(found, values)
        return None if known else upstream.setdefault(task_of(found), len(upstream))

    cycle = find_cycle((args, kwargs))
    if cycle:
        raise DefinitionError(
            f"an argument of {what} contains itself ({cycle}); nbflow cannot search it for results of other steps. "
            "Pass the parts separately.",
        )
    args = tuple([_referring(value) for value in args])
    kwargs = {name: _referring(value) for name, value in kwargs.items()}
    packed = values.pack_inputs(args, kwargs, what, substitute)
    encoding = b"packed" + packed.digest.encode()
    return Packed(Inputs(packed=packed), tuple(upstream), encoding)


def _referring(value: Any) -> Any:
    return references.referring(value) if type(value) is str else value


def input_digest(encoding: bytes, upstream: tuple[Task, ...]) -> str:
    """Digest of a call's arguments once the tasks that they come from have succeeded."""
    hasher = xxhash.xxh3_128(encoding)
    for task in upstream:
        assert task.value is not None
        hasher.update(task.value.digest.encode())
    return hasher.hexdigest()
