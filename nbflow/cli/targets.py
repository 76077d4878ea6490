"""What a command is given to run: a notebook, a YAML file, module:flow or file.py:flow."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from nbflow.model.errors import FlowNotFoundError


def find(target: str) -> Any:
    """The flow that TARGET names. Raises FlowNotFoundError or NotebookError."""
    if target.endswith(".ipynb"):
        from nbflow.authoring.notebook import from_notebook

        return from_notebook(target)
    if target.endswith((".yaml", ".yml")):
        from nbflow.authoring.declarative.yaml_files import from_yaml

        return from_yaml(target)
    place, _, name = target.rpartition(":")
    if not place or not name:
        hint = f" Which flow of the file? For example {target}:main." if target.endswith(".py") else ""
        raise FlowNotFoundError(
            f"{target!r} is not something to run: name a notebook (analysis.ipynb), a YAML file "
            f"(flow.yaml), module:flow or file.py:flow.{hint}"
        )
    module = _load_file(Path(place)) if place.endswith(".py") else load_module(place)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    from nbflow.authoring.flow import Flow

    if not isinstance(found, Flow):
        flows = sorted(key for key, value in vars(module).items() if isinstance(value, Flow))
        known = f"It has: {', '.join(flows)}." if flows else "It has no flows: decorate a function with @flow."
        raise FlowNotFoundError(f"{place} has no flow {name!r}. {known}")
    return found


def load_module(name: str) -> ModuleType:
    """Import a module, from the current folder too. Raises FlowNotFoundError that says what went wrong, and where."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.split(".")[0] == error.name.split(".")[0]:
            raise FlowNotFoundError(
                f"There is no module {name!r} here. Run nbflow in the folder where it lies, or name the file: "
                f"{name.replace('.', '/')}.py:FLOW."
            ) from error
        raise _not_importable(name, error) from error
    except (Exception, SystemExit) as error:  # whatever a user's module may raise while it is imported
        raise _not_importable(name, error) from error


def _not_importable(name: str, error: BaseException) -> FlowNotFoundError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    last = frames[-1] if frames else None
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    else:
        where = f" ({last.filename}, line {last.lineno})" if last and last.filename != __file__ else ""
    message = error.msg if isinstance(error, SyntaxError) else error
    return FlowNotFoundError(f"{name} cannot be imported: {type(error).__name__}: {message}{where}.")


def _load_file(path: Path) -> ModuleType:
    """Import a file under a name by which other processes, and a later resume, can import it too."""
    if not path.is_file():
        raise FlowNotFoundError(f"There is no file {path}.")
    file = path.resolve()
    sys.path[:0] = [folder for folder in ("", str(file.parent)) if folder not in sys.path]
    here = Path.cwd().resolve()
    names = [".".join(file.relative_to(here).with_suffix("").parts)] if file.is_relative_to(here) else []
    for name in (*names, file.stem):
        if all(part.isidentifier() for part in name.split(".")) and _origin(name) == file:
            return load_module(name)
    raise FlowNotFoundError(
        f"{path} cannot be imported: another module is called {file.stem!r}, or its name is not an identifier. "
        "Rename the file."
    )


def _origin(name: str) -> Path | None:
    """The file of the module that `import name` would bring."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(found.origin).resolve() if found is not None and found.origin is not None else None
