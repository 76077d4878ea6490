"""What the cells of a kernel did to its variables, found by looking at them after each cell, within a bound of time."""

from __future__ import annotations

import io
import pickle
import time
import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import xxhash

from nbflow.authoring.cells import travel
from nbflow.authoring.cells.sharing import NOTHING, Reach, components, reach

_WHOLE = 65_536  # bytes of a buffer up to which all of it is hashed
_SAMPLES = 4_096  # places of a larger buffer that are looked at
_LARGEST = 2_000_000  # bytes of a pickle, buffers aside; larger values are not looked into
_ATOMS = (int, float, complex, bool, type(None), types.ModuleType, types.BuiltinFunctionType)


class Changes(NamedTuple):
    """What became of the variables since the last look."""

    defined: tuple[str, ...] = ()  # bound anew
    changed: tuple[str, ...] = ()  # the same object as before, changed in place
    deleted: tuple[str, ...] = ()
    shares: tuple[tuple[str, ...], ...] = ()  # groups of names that share objects
    unknown: tuple[str, ...] = ()  # too large or too many to say


class _State(NamedTuple):
    value: Any  # kept, so that its id stays its own
    digest: bytes | None  # None: not known
    reach: Reach


class Fingerprints:
    """The state of a namespace's variables, as last seen."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def update(self, names: Mapping[str, Any], space: dict[str, Any], first: Iterable[str], seconds: float) -> Changes:
        """Look at the variables `names` of a namespace, `first` ones first, for at most about `seconds`."""
        deadline = time.perf_counter() + seconds
        wanted = [name for name in dict.fromkeys([*first, *names]) if name in names]
        states: dict[str, _State] = {}
        namespace = travel.Namespace("kernel", space)
        for name in wanted:
            late = time.perf_counter() > deadline
            states[name] = _State(names[name], None, NOTHING) if late else _look(namespace, name)
        before, self._states = self._states, states
        same = [name for name in wanted if name in before and before[name].value is names[name]]
        for name in same:
            if states[name].digest != before[name].digest and _look(namespace, name).digest != states[name].digest:
                states[name] = _State(names[name], None, states[name].reach)  # it never looks the same twice
        known = [name for name in same if states[name].digest is not None and before[name].digest is not None]
        return Changes(
            defined=tuple(sorted(set(wanted).difference(same))),
            changed=tuple(sorted(name for name in known if states[name].digest != before[name].digest)),
            deleted=tuple(sorted(set(before) - set(names))),
            shares=tuple(
                group
                for group in components({name: state.reach for name, state in states.items() if state.reach.keys})
                if len(group) > 1
            ),
            unknown=tuple(sorted(set(same).difference(known))),
        )


class _TooLarge(Exception):
    pass


class _Hash(io.RawIOBase):
    """A file that only keeps a digest of what is written to it."""

    def __init__(self) -> None:
        self.digest = xxhash.xxh3_128()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._size += len(data)
        if self._size > _LARGEST:
            raise _TooLarge
        self.digest.update(data)
        return len(data)

    def buffer(self, found: pickle.PickleBuffer) -> None:
        """Take a large buffer: a sample of it, if it is very large."""
        with found.raw() as view:
            if view.nbytes <= _WHOLE:
                self.digest.update(view)
                return
            step = view.nbytes // _SAMPLES
            self.digest.update(view[::step].tobytes())
            self.digest.update(view[-64:])


def _look(namespace: travel.Namespace, name: str) -> _State:
    value = namespace.globals[name]
    if isinstance(value, _ATOMS):
        return _State(value, repr(value).encode(), NOTHING)
    target = _Hash()
    pickler = travel.pickler(target, namespace, target.buffer)
    try:
        pickler.dump(value)
    except Exception:  # not to be pickled, or too large
        return _State(value, None, NOTHING)
    return _State(value, target.digest.digest(), reach(pickler.memo.copy(), pickler.frames))
