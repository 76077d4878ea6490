"""The part of a process's settings that can be committed: what the notebook set, and nothing of the machine.

The environment is full of secrets and paths of one machine. A variable is kept only if the notebook names it, and
either writes out its value or is known to have set it; folders are kept relative to the working folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbflow.authoring.cells import process_state
from nbflow.values.secrets import references

_MACHINE = ("environ", "cwd", "visited", "stacked", "path", "modules")


def portable(settings: Mapping[str, Any], source: str, folder: Path, *, fresh: bool) -> dict[str, Any]:
    """The settings of a step's input that go into its file.

    `source` is all of the notebook's code. `fresh` says that this process ran the notebook just now, so that what its
    environment holds is known to come from outside.
    """
    kept = {name: value for name, value in settings.items() if name not in _MACHINE}
    kept["environ"] = {
        name: value
        for name, value in settings.get("environ", {}).items()
        if name in source and (_is_secret(value) or value in source or (fresh and os.environ.get(name) != value))
    }
    if "sys.path" in source:
        added = [path for path in settings.get("path", ()) if path not in sys.path]
        kept["path"] = [os.path.relpath(path, folder) if os.path.isabs(path) else path for path in added]
    cwd = settings.get("cwd")
    kept["cwd"] = os.path.relpath(cwd, folder) if cwd and ("chdir" in source or "%cd" in source) else "."
    return kept


def _is_secret(value: object) -> bool:
    """Whether it is a reference, which may be committed."""
    return isinstance(value, references.Secret)


def apply(kept: Mapping[str, Any]) -> None:
    """Bring this process, which stands in the working folder, to the settings that were kept."""
    wanted = process_state.settings()
    for name in ("environ", "pandas", "numpy_print", "numpy_errors", "matplotlib"):
        if name in kept:
            present = wanted.get(name, {})
            # Another version of a library may not know an option; a variable of the environment is never unknown.
            known = kept[name].keys() if name == "environ" or not present else kept[name].keys() & present.keys()
            wanted[name] = {**present, **{key: references.resolved(kept[name][key]) for key in known}}
    for name in ("filters", "recursion"):
        wanted[name] = kept.get(name, wanted[name])
    wanted["path"] = [*wanted["path"], *(os.path.abspath(path) for path in kept.get("path", ()))]
    wanted["cwd"] = os.path.abspath(kept.get("cwd", "."))
    process_state.apply_settings(wanted)
