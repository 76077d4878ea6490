"""What a notebook does when it is run from top to bottom in one namespace: the measure of its flow."""

from __future__ import annotations

import ast
import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import logging
import os
import pathlib
import random
import re
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

PATCHED = "colorsys"  # the module that generated cells set attributes of
OPAQUE = "opaque"  # a value, or a part of one, that is not compared
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_PLAIN = (datetime.date, datetime.timedelta, decimal.Decimal, fractions.Fraction, pathlib.PurePath)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a notebook printed, cell by cell, what it left, and the cell and error that ended it."""

    printed: tuple[str, ...]
    values: dict[str, Any]
    failed: tuple[int, str] | None


class Kernel:
    """One namespace posing as `__main__`, with the part of IPython that cells can see: `_`, `Out`."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__")
        self.names: dict[str, Any] = self.module.__dict__
        self.names.update(_="", __="", ___="", Out={}, In=[""])

    def run(self, source: str, number: int = 0) -> tuple[str, BaseException | None]:
        """Run one cell; returns what it printed and the error that ended it."""
        out = io.StringIO()
        old = sys.modules["__main__"]
        sys.modules["__main__"] = self.module
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                self._execute(source, number)
        except Exception as error:
            return out.getvalue(), error
        finally:
            sys.modules["__main__"] = old
        return out.getvalue(), None

    def _execute(self, source: str, number: int) -> None:
        tree = ast.parse(source)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        for statement in tree.body:  # each on its own, as IPython compiles them
            exec(compile(ast.Module([statement], []), "<cell>", "exec", dont_inherit=True), self.names)
        if last is None:
            return
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval", dont_inherit=True), self.names)
        if value is not None:
            repr(value)  # as the display hook does
            self.names.update(_=value, __=self.names["_"], ___=self.names["__"])
            self.names["Out"][number] = self.names[f"_{number}"] = value


def linear_outcome(cells: Sequence[str], seed: int = 0) -> Outcome:
    """Run the cells in order until one raises."""
    kernel = Kernel()
    printed = []
    failed = None
    with fresh_process(seed):
        for number, source in enumerate(cells, 1):
            text, error = kernel.run(source, number)
            printed.append(without_addresses(text))
            if error is not None:
                failed = (number, type(error).__name__)
                break
        values = {name: shape(value) for name, value in kernel.names.items() if is_data(name, value)}
    return Outcome(tuple(printed), values, failed)


@contextlib.contextmanager
def fresh_process(seed: int = 0) -> Iterator[None]:
    """The same state of the process for everyone who enters, and the old one afterwards."""
    patched = vars(__import__(PATCHED))
    old_patched, old_environ, old_path = dict(patched), dict(os.environ), list(sys.path)
    old_random, old_numpy = random.getstate(), np.random.get_state()
    rows = pd.get_option("display.max_rows")
    logger = logging.getLogger("k")
    with warnings.catch_warnings(), np.printoptions(), decimal.localcontext():
        warnings.simplefilter("default")
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            patched.clear()
            patched.update(old_patched)
            os.environ.clear()
            os.environ.update(old_environ)
            sys.path[:] = old_path
            random.setstate(old_random)
            np.random.set_state(old_numpy)
            pd.set_option("display.max_rows", rows)
            logger.setLevel(logging.NOTSET)


def is_data(name: str, value: Any) -> bool:
    """Whether a name of the namespace is the user's, and no module."""
    return not name.startswith("_") and name not in {"In", "Out"} and not isinstance(value, types.ModuleType)


def without_addresses(text: str) -> str:
    """`text` with the addresses of objects blotted out."""
    return _ADDRESS.sub("0x", text)


def shape(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A value as plain data that can be compared between two namespaces."""
    if id(value) in above:
        return ("circle", above.index(id(value)))
    inner = (*above, id(value))
    if isinstance(value, enum.Enum):
        return ("enum", repr(value))
    if isinstance(value, (int, float, str, bytes, complex, type(None), range, *_PLAIN)):
        return (type(value).__name__, repr(value))
    if isinstance(value, (list, tuple, collections.deque)):
        more = _attributes(value, inner) if type(value).__module__ == "__main__" else ()
        items = type(value).__mro__[-2].__iter__(value)  # a subclass may do something else when it is looped over
        return (type(value).__name__, [shape(item, inner) for item in items], more)
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, sorted(repr(item) for item in value))
    if isinstance(value, dict):
        return (type(value).__name__, [(shape(key, inner), shape(item, inner)) for key, item in value.items()])
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), value.shape, repr(value.tolist()), value.flags.writeable)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return _frame(value)
    if isinstance(value, types.FunctionType):
        return ("function", value.__name__)
    if isinstance(value, type):
        return ("class", value.__name__)
    if type(value).__module__ == "__main__":
        return ("object", type(value).__name__, _attributes(value, inner))
    return OPAQUE


def _frame(value: Any) -> Any:
    try:
        return ("frame", repr(value.to_dict()), repr(value.attrs), str(value.index.name))
    except ValueError:  # its memory was resized below it
        return OPAQUE


def _attributes(value: Any, inner: tuple[int, ...]) -> Any:
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return ()
    return [(name, shape(item, inner)) for name, item in sorted(held.items())]


def is_opaque(found: Any) -> bool:
    """Whether a shape has a part that was not looked into."""
    if isinstance(found, (list, tuple)):
        return any(is_opaque(item) for item in found)
    return isinstance(found, str) and found == OPAQUE


def is_plain(found: Any) -> bool:
    """Whether a shape holds data only, which travels whatever happens."""
    if isinstance(found, (list, tuple)):
        return found[:1] not in (("function",), ("class",), ("object",)) and all(is_plain(item) for item in found)
    return True
