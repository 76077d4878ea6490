"""State that belongs to a process and not to a namespace: settings, random numbers, and who may change them now."""

from __future__ import annotations

import decimal
import functools
import importlib
import locale
import operator
import os
import pickle
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from nbflow.authoring.cells import logs, python_modules
from nbflow.values.secrets import places, traces
from nbflow.values.signing import KEY_VARIABLE

# Cells see and change the whole process (`sys.stdout`, `__main__`, options): one step at a time in each.
LOCK = threading.RLock()
# What `%cd` and `%pushd` remember, the latest last and first; IPython keeps it in its shell.
visited: list[str] = []
stacked: list[str] = []


def settings() -> dict[str, Any]:
    """The settings of this process that cells may change."""
    found: dict[str, Any] = {
        "environ": dict(os.environ),
        "cwd": _cwd(),
        "visited": list(visited),
        "stacked": list(stacked),
        "path": list(sys.path),
        "filters": list(warnings.filters),
        "recursion": sys.getrecursionlimit(),
        "modules": len(sys.modules),
    }
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        found["pandas"] = _pandas_options()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        found["numpy_print"] = dict(numpy.get_printoptions())
        found["numpy_errors"] = numpy.geterr()
    found["decimal"] = decimal.getcontext().copy()
    found["locale"] = locale.setlocale(locale.LC_ALL)
    found["logging"] = logs.state()
    sklearn = sys.modules.get("sklearn")
    if sklearn is not None and hasattr(sklearn, "get_config"):
        found["sklearn"] = sklearn.get_config()
    plotly = sys.modules.get("plotly.io")
    if plotly is not None and hasattr(plotly, "renderers"):
        found["plotly"] = (plotly.templates.default, plotly.renderers.default)
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is not None and hasattr(matplotlib, "rcParams"):
        found["matplotlib"] = {
            key: value for key, value in dict.items(matplotlib.rcParams) if not key.startswith("backend")
        }
    return found


def as_in_kernel() -> None:
    """Begin as a kernel does; also with libraries that it would have imported, and that are here already."""
    visited[:], stacked[:] = [_cwd()], []
    if "matplotlib.pyplot" in sys.modules:
        importlib.import_module("matplotlib").interactive(True)
    if "pandas" in sys.modules:
        config = _pandas_config()
        option = "display.max_columns"
        if config._registered_options[option].defval == 0 and config.get_option(option) == 0:
            config.set_option(option, 20)


def apply_settings(wanted: dict[str, Any]) -> None:
    """Bring this process to the given settings."""
    if dict(os.environ) != wanted["environ"]:
        os.environ.clear()
        os.environ.update(wanted["environ"])
    if wanted["cwd"] != _cwd():
        os.chdir(wanted["cwd"])
    visited[:], stacked[:] = wanted["visited"], wanted["stacked"]
    sys.path[:] = wanted["path"]
    if list(warnings.filters) != wanted["filters"]:
        warnings.filters[:] = wanted["filters"]  # type: ignore[index]
        getattr(warnings, "_filters_mutated", lambda: None)()
    sys.setrecursionlimit(wanted["recursion"])
    if "pandas" in wanted:
        import pandas as pd

        present = _pandas_options()
        for key, value in wanted["pandas"].items():
            if present.get(key) != value:
                pd.set_option(key, value)
    if "numpy_print" in wanted:
        import numpy as np

        np.set_printoptions(**wanted["numpy_print"])
        np.seterr(**wanted["numpy_errors"])
    decimal.setcontext(wanted["decimal"].copy())
    if wanted["locale"] != locale.setlocale(locale.LC_ALL):
        locale.setlocale(locale.LC_ALL, wanted["locale"])
    logs.apply(wanted["logging"])
    if "sklearn" in wanted:
        importlib.import_module("sklearn").set_config(**wanted["sklearn"])
    if "plotly" in wanted:
        plotly = importlib.import_module("plotly.io")
        plotly.templates.default, plotly.renderers.default = wanted["plotly"]
    if "matplotlib" in wanted:
        import matplotlib as mpl

        dict.update(mpl.rcParams, wanted["matplotlib"])


def same_settings(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether nothing was changed; what libraries bring with them when they are imported does not count."""
    imported = new["modules"] != old["modules"]
    ignored = {"modules", "environ", "filters", "path", "matplotlib", "logging"} if imported else {"modules"}
    if old["logging"][""] != new["logging"][""]:  # the root logger is nobody's but the user's
        return False
    return all(_same(old[key], new.get(key, old[key])) for key in old if key not in ignored)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, decimal.Context):  # compares by identity
        return repr(old) == repr(new)
    try:
        return bool(old == new)
    except ValueError:  # arrays among them
        return False


def pack_settings(found: dict[str, Any]) -> bytes:
    """Settings as bytes; what cannot be pickled stays behind, and secrets go as references."""
    kept = {}
    environ = {name: value for name, value in found["environ"].items() if not _is_own(name)}
    for key, value in {**found, "environ": traces.references_for(environ)}.items():
        with suppress(Exception):
            kept[key] = pickle.loads(pickle.dumps(value))  # noqa: S301 - made a moment ago
    return pickle.dumps(kept)


def unpack_settings(packed: bytes) -> dict[str, Any]:
    """The settings of `pack_settings`, with what this process keeps for itself. `packed`: verified by the store."""
    found: dict[str, Any] = pickle.loads(packed)  # noqa: S301 - see above
    own = {name: value for name, value in os.environ.items() if _is_own(name)}
    return {**found, "environ": {**own, **found["environ"]}}


def _is_own(variable: str) -> bool:
    """Whether a variable holds what each process has for itself, and nobody is to store."""
    return variable.startswith(places.VARIABLE) or variable == KEY_VARIABLE


def random_state() -> dict[str, Any]:
    """The states of the global random number generators."""
    found: dict[str, Any] = {"random": random.getstate()}
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        state = numpy.get_state()
        found["numpy"] = (state[0], state[1].tobytes(), *state[2:])
    torch = sys.modules.get("torch")
    if torch is not None:
        found["torch"] = torch.get_rng_state().numpy().tobytes()
    return found


def apply_random_state(wanted: dict[str, Any]) -> None:
    """Set the global random number generators."""
    random.setstate(wanted["random"])
    if "numpy" in wanted:
        import numpy as np

        name, keys, *rest = wanted["numpy"]
        np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))
    if "torch" in wanted:
        torch = importlib.import_module("torch")

        torch.set_rng_state(torch.frombuffer(bytearray(wanted["torch"]), dtype=torch.uint8))


@contextmanager
def kept(*, modules: bool = False) -> Iterator[None]:
    """Leave the process as it was: settings, random numbers, the module `__main__`, and `modules`, what is in them."""
    with LOCK, python_modules.kept() if modules else nullcontext():
        old_settings, old_random, old_main = settings(), random_state(), sys.modules["__main__"]
        try:
            yield
        finally:
            sys.modules["__main__"] = old_main
            present = settings()
            if present.keys() != old_settings.keys() or not all(
                _same(old_settings[key], present[key]) for key in present
            ):
                apply_settings({**_defaults(set(present) - set(old_settings)), **old_settings})
            apply_random_state(old_random)


def _defaults(keys: set[str]) -> dict[str, Any]:
    """The settings of libraries that were imported just now, as they are on import."""
    found: dict[str, Any] = {}
    if "pandas" in keys:
        config = _pandas_config()
        found["pandas"] = {key: config._registered_options[key].defval for key in _pandas_options()}
    if "numpy_print" in keys:
        found["numpy_print"] = {
            "edgeitems": 3, "threshold": 1000, "floatmode": "maxprec", "precision": 8, "suppress": False,
            "linewidth": 75, "nanstr": "nan", "infstr": "inf", "sign": "-", "formatter": None, "legacy": False,
        }  # fmt: skip
        found["numpy_errors"] = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    if "matplotlib" in keys:
        import matplotlib as mpl

        kept = dict.items(mpl.rcParamsDefault)
        found["matplotlib"] = {key: value for key, value in kept if not key.startswith("backend")}
        found["matplotlib"]["interactive"] = True  # as the shell that runs cells makes it
    return found


def _pandas_options() -> dict[str, Any]:
    # pandas has no public way to list its options, and get_option takes four times as long.
    config = _pandas_config()
    held = config._global_config
    return {
        key: functools.reduce(operator.getitem, key.split("."), held)
        for key in config._registered_options
        if key not in config._deprecated_options
    }


def _pandas_config() -> Any:
    # All of pandas first: if another thread imports it just now, each would wait for the other's part, and one fails.
    importlib.import_module("pandas")
    return importlib.import_module("pandas._config.config")


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.path.expanduser("~")
