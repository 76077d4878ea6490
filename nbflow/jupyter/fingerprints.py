"""What the cells of a kernel did to its variables, found by looking at them after each cell, within a bound of time."""

from __future__ import annotations

import io
import pickle
import time
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import xxhash

from nbflow.authoring.cells import travel
from nbflow.authoring.cells.sharing import NOTHING, Reach, components

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
    unknown: tuple[str, ...] = ()  # may have changed: too large to be looked at as a whole, or too many, to say


class _State(NamedTuple):
    held: Callable[[], Any]  # the value; weakly where that can be, so that the user's `del` frees it at once
    digest: bytes | None  # None: not known
    whole: bool  # whether the digest is one of the whole value, and not of a sample

    def of(self, value: Any) -> bool:
        """Whether it is the state of this very object."""
        found = self.held()
        return found is value and (value is not None or not isinstance(self.held, weakref.ref))


class Fingerprints:
    """The state of a namespace's variables, as last seen."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def update(self, names: Mapping[str, Any], space: dict[str, Any], first: Iterable[str], seconds: float) -> Changes:
        """Look at the variables `names` of a namespace, `first` ones first, for at most about `seconds`."""
        deadline = time.perf_counter() + seconds
        wanted = [name for name in dict.fromkeys([*first, *names]) if name in names]
        states: dict[str, _State] = {}
        reached: dict[str, Reach] = {}
        for name in wanted:
            late = time.perf_counter() > deadline
            look = (None, True, NOTHING) if late else _look(space, name)
            states[name], reached[name] = _State(_hold(names[name]), *look[:2]), look[2]
        before, self._states = self._states, states
        same = [name for name in wanted if name in before and before[name].of(names[name])]
        for name in same:
            if states[name].digest != before[name].digest and _look(space, name)[0] != states[name].digest:
                states[name] = states[name]._replace(digest=None)  # it never looks the same twice
        known = [name for name in same if states[name].digest is not None and before[name].digest is not None]
        changed = {name for name in known if states[name].digest != before[name].digest}
        sure = changed.union(name for name in known if states[name].whole)
        return Changes(
            defined=tuple(sorted(set(wanted).difference(same))),
            changed=tuple(sorted(changed)),
            deleted=tuple(sorted(set(before) - set(names))),
            shares=tuple(
                group
                for group in components({name: found for name, found in reached.items() if found.keys})
                if len(group) > 1
            ),
            unknown=tuple(sorted(set(same) - sure)),
        )


def _hold(value: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(value)
    except TypeError:  # of lists, dicts, numbers and the like there are no weak references
        return lambda: value


class _TooLarge(Exception):
    pass


class _Hash(io.RawIOBase):
    """A file that only keeps a digest of what is written to it."""

    def __init__(self) -> None:
        self.digest = xxhash.xxh3_128()
        self.sampled = False
        self.whole = True
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
            self.sampled = True
            self.whole = False
            step = view.nbytes // _SAMPLES | 1  # odd: else it would meet the same byte of each number
            self.digest.update(view[::step].tobytes())
            self.digest.update(view[-64:])


def _look(space: dict[str, Any], name: str) -> tuple[bytes | None, bool, Reach]:
    """The digest of a value, whether it is one of the whole value, and what the value reaches."""
    value = space[name]
    if isinstance(value, _ATOMS):
        return repr(value).encode(), True, NOTHING
    # A namespace for each look: functions and classes are counted in it, and other variables must not matter.
    namespace = travel.Namespace("kernel", space)
    target = _Hash()
    pickler = travel.pickler(target, namespace, target.buffer)
    try:
        pickler.dump(value)
    except Exception:  # not to be pickled, or too large
        return None, True, NOTHING
    return target.digest.digest(), target.whole, travel.reached(namespace, value, pickler)
