"""A call on its way through the database: packed where it is enqueued, run in a worker's child."""

from __future__ import annotations

import os
import pickle
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nbflow.model.errors import CodecError, DefinitionError, NbflowError, RetryLater
from nbflow.model.policies import NO_RETRY, Retry
from nbflow.model.ports import Again, Inputs, Ref
from nbflow.model.records import ErrorRecord, StoredValue
from nbflow.queue import hooks
from nbflow.queue.hooks import HookedJob
from nbflow.queue.zones import in_zone
from nbflow.running import functions, surroundings
from nbflow.running.attempt import RunAgain, load_inputs, restore_error
from nbflow.running.context import AttemptContext, current
from nbflow.running.functions import Code, Reference
from nbflow.running.interrupt import SHIELD
from nbflow.values.secrets import references, traces

if TYPE_CHECKING:
    from nbflow.values.store import ValueStore

Logical = tuple[float, str | None] | None  # the time that a schedule meant, and its zone
_ATOMS: frozenset[type] = frozenset({int, float, str, bool, type(None), bytes})
_LARGE_ATOM = 4096
_PROTOCOL = 5


class Needed(NamedTuple):
    """What came of a job that another one needs, as it is stored."""

    value: tuple[str, int, str, bytes | None, str | None] | None  # a StoredValue, its data signed
    error: bytes | None  # signed
    job: str = ""  # its id


@dataclass(frozen=True, slots=True)
class Packer:
    """Makes calls into payloads."""

    values: ValueStore
    is_job: Callable[[object], bool]  # whether an argument stands for the result of a job

    def of(self, function: Any, retry: Retry = NO_RETRY) -> CallPacker:
        """A packer for calls of one function. Raises UnpicklableError for code that cannot travel."""
        name = str(getattr(function, "__name__", type(function).__name__))
        packed = functions.pack(function, f"the function {name!r}")
        if isinstance(packed, Reference):
            code: tuple[Any, ...] = tuple(packed)
        else:
            code = tuple(self.values.put(packed, f"the code of {name!r}"))
        policy = tuple(self.values.put(retry, f"the retry policy of {name!r}")) if retry.retries else None
        return CallPacker(self, name, code, policy, _folder())


@dataclass(frozen=True, slots=True)
class CallPacker:
    """Makes calls of one function into payloads."""

    packer: Packer
    name: str
    code: tuple[Any, ...]  # the function: by name, or a stored value of its code
    retry: tuple[Any, ...] | None  # a stored value
    folder: str | None

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
        """The signed payload of a call, and the jobs whose results it needs.

        Raises UnpicklableError for an argument that cannot be stored, ValueTooLargeError for too large ones.
        """
        needs: dict[str, int] = {}
        flat = [self._flat(value, needs) for value in args]
        named = {key: self._flat(value, needs) for key, value in kwargs.items()} if kwargs else None
        if _DEEP in flat or (named is not None and _DEEP in named.values()):
            needs.clear()
            return Packed(self.seal(self._deep(args, kwargs, needs)), tuple(needs))
        return Packed(self.seal(Inputs(tuple(flat), named)), tuple(needs))

    def seal(self, inputs: Inputs, key: str | None = None) -> bytes:
        """A payload with these arguments; `key`: see AttemptContext."""
        packed = tuple(inputs.packed) if inputs.packed is not None else None
        values = tuple([tuple(value) for value in inputs.values]) if inputs.values else ()
        parts = (self.code, inputs.args, inputs.kwargs, packed, values, self.retry, self.folder, key)
        data = pickle.dumps(parts, _PROTOCOL)
        if traces.known():
            traces.check_stored(data, (), f"the call of {self.name!r}")
        return self.packer.values.seal(data)

    def _deep(self, args: tuple[Any, ...], kwargs: dict[str, Any], needs: dict[str, int]) -> Inputs:
        is_job = self.packer.is_job

        def substitute(value: object) -> int | None:
            return needs.setdefault(value.id, len(needs)) if is_job(value) else None  # type: ignore[attr-defined]

        return Inputs(packed=self.packer.values.pack_inputs(args, kwargs, f"the call of {self.name!r}", substitute))

    def _flat(self, value: Any, needs: dict[str, int]) -> Any:
        kind = type(value)
        if kind is str and value[:7] == references.PREFIX:
            return references.referring(value)
        if kind in _ATOMS and not (kind in (str, bytes) and len(value) > _LARGE_ATOM):
            return value
        if self.packer.is_job(value):
            return Ref(needs.setdefault(value.id, len(needs)))
        return _DEEP


class Packed(NamedTuple):
    """A call as it is stored."""

    payload: bytes
    needs: tuple[str, ...]  # ids of the jobs whose results are among its arguments, by number


class _Deep:
    """Marks an argument that has to be encoded."""


_DEEP = _Deep()


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


# --- in the child ------------------------------------------------------------------------------------------------


def run_call(
    payload: bytes,
    job: str,
    tries: int,
    needed: Sequence[Needed],
    *,
    tolerant: bool,
    logical: Logical = None,
) -> Any:
    """Run a stored call. `tries`: how many there were, this one included; `tolerant`: errors are passed as values."""
    with SHIELD:  # libraries catch all errors around imports, and a soft timeout comes only once
        call = _open(payload, job, logical)
        function, args, kwargs = call.ready(needed, tolerant=tolerant)
    around = hooks.active(call.values)
    try:
        if around is not None:
            return around.run(HookedJob(job, call.context.name, tries, function, args, kwargs))
        return function(*args, **kwargs)
    except Exception as error:
        call.raise_again(error, tries)
        raise


async def run_call_async(
    payload: bytes,
    job: str,
    tries: int,
    needed: Sequence[Needed],
    *,
    tolerant: bool,
    logical: Logical = None,
) -> Any:
    """Run a stored call of an `async def` function."""
    call = _open(payload, job, logical)
    function, args, kwargs = call.ready(needed, tolerant=tolerant)
    around = hooks.active(call.values)
    try:
        if around is not None:
            return await around.run_async(HookedJob(job, call.context.name, tries, function, args, kwargs))
        return await function(*args, **kwargs)
    except Exception as error:
        call.raise_again(error, tries)
        raise


@dataclass(slots=True)
class _Call:
    """A call that is about to be run."""

    code: tuple[Any, ...]
    inputs: Inputs
    retry: Retry
    values: ValueStore
    context: AttemptContext

    def ready(
        self, needed: Sequence[Needed], *, tolerant: bool
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """The function with its arguments."""
        function = _function(self.code, self.values)
        inputs = self.inputs
        if not needed:
            return function, *load_inputs(inputs, self.values)
        self.context.needed = tuple([each.job for each in needed])
        results = [self._result(each, tolerant=tolerant) for each in needed]
        if inputs.packed is not None:
            return function, *self.values.unpack(inputs.packed, results)

        def resolve(value: Any) -> Any:
            return results[value.number] if type(value) is Ref else value

        named = {name: resolve(value) for name, value in (inputs.kwargs or {}).items()}
        return function, tuple([resolve(value) for value in inputs.args]), named

    def raise_again(self, error: Exception, tries: int) -> None:
        """Raise RunAgain if the call is to be tried again after `error`."""
        if not self.context.alive:
            return  # it timed out or was cancelled, which somebody else decides on
        now = time.time()
        if isinstance(error, RetryLater):
            raise RunAgain(Again(error.moment(now), None), error) from None
        if self.retry.wants(error, tries - 1):
            delay = self.retry.delay(tries, random.SystemRandom().random)
            raise RunAgain(Again(now + delay, None, end=True), error) from None

    def _result(self, needed: Needed, *, tolerant: bool) -> Any:
        values = self.values
        if needed.value is not None:
            stored = StoredValue(*needed.value)
            if stored.data is not None:
                stored = stored._replace(data=values.unseal(stored.data))
            return values.get(stored)
        if needed.error is None:
            return None
        error = restore_error(ErrorRecord(*values.get(values.unseal_stored(needed.error))))
        if tolerant:
            return error
        raise error


def _open(payload: bytes, job: str, logical: Logical) -> _Call:
    """Check the signature of a payload and take it apart."""
    context = current()
    if context is None or context.values is None:
        raise NbflowError("A stored call runs in the child of a worker only; call the function itself.")
    values = context.values
    code, args, kwargs, packed, upstream, retry, folder, key = pickle.loads(values.unseal(payload))  # noqa: S301 - signed
    context.job = job
    if logical is not None:
        context.logical_time = in_zone(*logical)
    if key is not None:
        context.key = key
    if folder is not None and folder not in sys.path and os.path.isdir(folder):
        sys.path.append(folder)  # where whoever enqueued it imported its modules from
    surroundings.go_to(folder)  # relative paths mean what they meant there
    inputs = Inputs(args, kwargs, StoredValue(*packed) if packed else None, tuple([StoredValue(*v) for v in upstream]))
    policy = values.get(StoredValue(*retry)) if retry is not None else NO_RETRY
    return _Call(code, inputs, policy, values, context)


def stored_in(payload: bytes, values: ValueStore) -> list[StoredValue]:
    """The stored values that a payload names. Raises SignatureError."""
    code, _, _, packed, upstream, retry, *_ = pickle.loads(values.unseal(payload))  # noqa: S301 - signed
    found = [packed, *upstream, retry, code if len(code) != len(Reference._fields) else None]
    return [StoredValue(*parts) for parts in found if parts is not None]


_FUNCTIONS: dict[tuple[Any, ...], Callable[..., Any]] = {}
_MOST_FUNCTIONS = 256


def _function(code: tuple[Any, ...], values: ValueStore) -> Callable[..., Any]:
    found = _FUNCTIONS.get(code)
    if found is not None:
        return found
    packed = Reference(*code) if len(code) == len(Reference._fields) else values.get(StoredValue(*code))
    if not isinstance(packed, (Reference, Code)):
        raise CodecError("a stored call holds no function; it was written by another version of nbflow.")
    try:
        function = functions.unpack(packed)
    except (ImportError, AttributeError) as error:
        name = f"{code[0]}.{code[1]}" if isinstance(packed, Reference) else "the function"
        raise DefinitionError(
            f"{name} cannot be imported by the worker: {error}. Start the worker where its modules are found, install "
            "them there, or define the function in the notebook, whose code travels."
        ) from error
    if len(_FUNCTIONS) >= _MOST_FUNCTIONS:
        _FUNCTIONS.clear()
    if isinstance(packed, Reference):  # code by value is made anew each time: its globals belong to one call
        _FUNCTIONS[code] = function
    return function
